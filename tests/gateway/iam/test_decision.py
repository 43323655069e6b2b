"""Who may do what, where: decided, and explained."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.iam.conditions import NO_CONDITIONS, USUAL_TIERS, RequestFacts, read_conditions
from gateway.iam.decision import (
    DENIED,
    Allowed,
    Grant,
    Target,
    decide,
    explain,
)
from gateway.iam.permissions import PERMISSION_SETS, PERMISSIONS, Permission
from gateway.iam.policy import (
    Line,
    Organisation,
    Policy,
    Projects,
    Rule,
    Scope,
    compile_lines,
    lines_text,
    read_lines,
    read_rule,
    rule_to_json,
)

ORG, OTHER_ORG = "org_one", "org_two"
MINE, ALSO_MINE, OTHERS = "prj_mine", "prj_also_mine", "prj_others"
NOW = RequestFacts(at=1_800_000_000)


def projects(*project_ids: str) -> Projects:
    return Projects(frozenset(project_ids))


def policy(policy_id: str, *rules: Rule) -> Policy:
    return Policy(policy_id, "", ORG, frozenset({"app_ci"}), rules)


def rule(sets: str, scope: Scope, **conditions: object) -> Rule:
    return Rule(
        frozenset(sets.split()),
        scope,
        read_conditions(conditions) if conditions else NO_CONDITIONS,
    )


GRANT = Grant(
    ORG,
    compile_lines(
        [
            policy("pol_b", rule("UsageReadOnly", Organisation(ORG))),
            policy(
                "pol_a",
                rule("GenerativeApisModelAccess", projects(MINE), source_cidrs=["10.0.0.0/8"]),
                rule("GenerativeApisModelAccess", projects(MINE, ALSO_MINE), models=["small"]),
            ),
        ]
    ),
)


@pytest.mark.parametrize(
    ("permission", "target", "facts", "decision"),
    [
        ("model:use", Target(ORG, MINE), NOW, Allowed("pol_a", 2)),
        ("model:use", Target(ORG, MINE), RequestFacts(at=1, model="large"), DENIED),
        ("model:use", Target(ORG, OTHERS), NOW, DENIED),
        ("model:use", Target(ORG), NOW, DENIED),
        ("usage:read", Target(ORG, OTHERS), NOW, Allowed("pol_b", 1)),
        ("usage:read", Target(ORG), NOW, Allowed("pol_b", 1)),
        ("usage:read", Target(OTHER_ORG, MINE), NOW, DENIED),
        ("model:use", Target(OTHER_ORG, MINE), NOW, DENIED),
        ("iam:write", Target(ORG, MINE), NOW, DENIED),
    ],
)
def test_what_a_rule_gives_is_allowed_and_nothing_else(
    permission: Permission, target: Target, facts: RequestFacts, decision: object
) -> None:
    assert decide(GRANT, permission, target, facts) == decision


def test_an_explanation_names_the_line_that_allowed_and_why_each_other_did_not() -> None:
    facts = RequestFacts(at=1, model="small")
    assert explain(GRANT, "model:use", Target(ORG, MINE), facts) == (
        "allowed: model:use on prj_mine, by rule 2 of pol_a",
        "pol_a, rule 1: the source address is not known",
        "pol_a, rule 2: allows it",
        "pol_b, rule 1: UsageReadOnly does not give model:use",
    )
    assert explain(GRANT, "model:use", Target(ORG, ALSO_MINE), RequestFacts(at=1, model="x")) == (
        "denied: model:use on prj_also_mine; no rule allows it",
        "pol_a, rule 1: its scope is prj_mine",
        "pol_a, rule 2: the model is not one of small",
        "pol_b, rule 1: UsageReadOnly does not give model:use",
    )
    assert explain(GRANT, "model:use", Target(OTHER_ORG, MINE), facts)[1:] == (
        "the principal is of the organisation org_one",
    )
    assert explain(Grant(ORG), "iam:read", Target(ORG), facts) == (
        "denied: iam:read on org_one; no rule allows it",
        "no policy names this principal",
    )


SCOPES = st.sampled_from([projects(MINE), projects(MINE, OTHERS), Organisation(ORG)])
LINES = st.lists(
    st.builds(
        Line,
        st.sampled_from(["pol_a", "pol_b"]),
        st.integers(1, 5),
        st.frozensets(st.sampled_from(sorted(PERMISSION_SETS)), min_size=1),
        SCOPES,
        st.sampled_from([NO_CONDITIONS, read_conditions({"expires_at": 50})]),
    ),
    max_size=6,
)
TARGETS = st.builds(
    Target, st.sampled_from([ORG, OTHER_ORG]), st.sampled_from([None, MINE, OTHERS, "prj_x"])
)


@given(LINES, st.sampled_from(PERMISSIONS), TARGETS, st.integers(0, 100))
def test_decisions_are_the_union_of_all_lines_and_more_lines_never_take_away(
    lines: list[Line], permission: Permission, target: Target, at: int
) -> None:
    facts = RequestFacts(at=at)

    def allows(line: Line) -> bool:
        given = any(permission in PERMISSION_SETS[each].gives for each in line.permission_sets)
        covered = (
            isinstance(line.scope, Organisation) or target.project_id in line.scope.project_ids
        )
        holds = line.conditions == NO_CONDITIONS or at < 50
        return target.organisation_id == ORG and given and covered and holds

    expected = any(allows(line) for line in lines)
    assert isinstance(decide(Grant(ORG, lines), permission, target, facts), Allowed) == expected
    said = explain(Grant(ORG, lines), permission, target, facts)
    assert said[0].startswith("allowed" if expected else "denied")
    more = [*lines, *lines[:1]]
    assert isinstance(decide(Grant(ORG, more), permission, target, facts), Allowed) == expected


LOOKING = [{"models": ["small"]}, {"tiers": ["flex"]}, {"expires_at": 50}, {"tiers": ["priority"]}]


@given(
    LINES,
    st.lists(st.sampled_from(LOOKING), max_size=2),
    TARGETS,
    st.sampled_from(["small", "large"]),
    st.sampled_from(sorted(USUAL_TIERS)),
)
def test_who_looks_at_no_body_decides_the_same_whatever_is_in_it(
    lines: list[Line], more: list[dict[str, object]], target: Target, model: str, tier: str
) -> None:
    use: Permission = "model:use"
    sets = frozenset({"GenerativeApisModelAccess"})
    lines += [Line("pol_c", 1, sets, projects(MINE), read_conditions(each)) for each in more]
    grant = Grant(ORG, lines)
    if not grant.looks_at_body(use):
        known = RequestFacts(at=1, model=model, tier=tier)
        assert decide(grant, use, target, known) == decide(grant, use, target, RequestFacts(at=1))
    assert grant.looks_at_body(use) == any("expires_at" not in each for each in more)


@given(LINES)
def test_lines_are_read_back_as_they_were_written(lines: list[Line]) -> None:
    assert read_lines(lines_text(lines)) == tuple(lines)


@given(LINES, st.text(min_size=8, max_size=12))
def test_who_could_never_be_allowed_is_known_without_asking_for_the_project(
    lines: list[Line], project_id: str
) -> None:
    grant = Grant(ORG, lines)
    if not grant.may_concern(project_id):
        for permission in PERMISSIONS:
            assert decide(grant, permission, Target(ORG, project_id), NOW) == DENIED


@pytest.mark.parametrize(
    ("stored", "complaint"),
    [
        ({}, "either project_ids or organization_id"),
        ({"project_ids": [MINE], "organization_id": ORG}, "either project_ids or"),
        ({"project_ids": [MINE]}, "permission_sets must be a list"),
        ({"project_ids": [MINE], "permission_sets": []}, "a rule needs a permission set"),
        ({"project_ids": [MINE], "permission_sets": ["Root"]}, "'Root' is no permission set"),
        ({"project_ids": [], "permission_sets": ["IAMManager"]}, "names 1 to 100 projects"),
        ({"project_ids": ["a}:b:cfg"], "permission_sets": ["IAMManager"]}, "is no project id"),
        ({"organization_id": "x", "permission_sets": ["IAMManager"]}, "no id of an organisation"),
        ({"organization_id": 1, "permission_sets": ["IAMManager"]}, "must be a text"),
        ({"project": MINE}, "a rule has no 'project'"),
        (
            {"project_ids": [MINE], "permission_sets": ["IAMManager"], "conditions": {"x": 1}},
            "'x' is no condition",
        ),
        (
            {"project_ids": [MINE], "permission_sets": ["IAMManager"], "conditions": [1]},
            "an object",
        ),
    ],
)
def test_what_is_no_rule_is_told_by_the_name_of_its_field(
    stored: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_rule(stored)


def test_a_rule_is_read_back_as_it_was_told() -> None:
    stored = {
        "permission_sets": ["GenerativeApisModelAccess"],
        "project_ids": [MINE],
        "conditions": {"source_cidrs": ["10.0.0.0/8"], "hours": "08:00-18:00"},
    }
    assert rule_to_json(read_rule(stored)) == stored


def test_a_policy_names_principals_by_their_ids() -> None:
    with pytest.raises(ValueError, match="'somebody' is no id of an application or a user"):
        Policy("pol_a", "", ORG, frozenset({"somebody"}), ())
    with pytest.raises(ValueError, match="is no id of a policy"):
        Policy("a", "", ORG, frozenset(), ())
