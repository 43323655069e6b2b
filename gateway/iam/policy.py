"""Policies: who may do what, where, and under which conditions. Pure.

policy = principals + rules; rule = permission sets x scope x conditions. Nothing is allowed
unless a rule allows it, and no rule forbids: what is allowed is the union of all rules.

Policies are not read when a request comes. Whenever one is written, `compile_lines` makes
of all policies of a principal the lines that go into its record and those of its keys
(`store/compilation.py`); a request is decided upon these (`decision.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.iam.conditions import (
    NO_CONDITIONS,
    Conditions,
    conditions_to_json,
    read_conditions,
)
from gateway.iam.ids import is_id, principal_kind
from gateway.iam.permissions import PERMISSION_SETS
from gateway.iam.project_id import is_project_id

MAX_RULES = 50
MAX_PRINCIPALS = 1000
MAX_PROJECTS = 100


@dataclass(frozen=True, slots=True)
class Projects:
    """A scope: these projects."""

    project_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Organisation:
    """A scope: an organisation itself, and all its projects, those that are yet to come as well."""

    organisation_id: str


Scope = Projects | Organisation


@dataclass(frozen=True, slots=True)
class Rule:
    """Raises ValueError for what names nothing, or what there is not."""

    permission_sets: frozenset[str]
    scope: Scope
    conditions: Conditions = NO_CONDITIONS

    def __post_init__(self) -> None:
        if not self.permission_sets:
            raise ValueError("a rule needs a permission set")
        unknown = sorted(self.permission_sets - PERMISSION_SETS.keys())
        if unknown:
            raise ValueError(
                f"{unknown[0]!r} is no permission set; there are {', '.join(PERMISSION_SETS)}"
            )
        match self.scope:
            case Projects(ids) if not 1 <= len(ids) <= MAX_PROJECTS:
                raise ValueError(f"a rule names 1 to {MAX_PROJECTS} projects, or an organisation")
            case Projects(ids):
                for each in ids:
                    if not is_project_id(each):
                        raise ValueError(f"{each!r} is no project id")
            case Organisation(organisation_id) if not is_id("organisation", organisation_id):
                raise ValueError(f"{organisation_id!r} is no id of an organisation")


@dataclass(frozen=True, slots=True)
class Policy:
    """What an organisation lets some of its principals do. Raises ValueError as `Rule` does."""

    policy_id: str
    name: str
    organisation_id: str
    principal_ids: frozenset[str]
    rules: tuple[Rule, ...]
    managed: bool = False  # declared in a file: not to be edited

    def __post_init__(self) -> None:
        if not is_id("policy", self.policy_id):
            raise ValueError(f"{self.policy_id!r} is no id of a policy")
        if len(self.rules) > MAX_RULES:
            raise ValueError(f"a policy has at most {MAX_RULES} rules")
        if len(self.principal_ids) > MAX_PRINCIPALS:
            raise ValueError(f"a policy has at most {MAX_PRINCIPALS} principals")
        for each in self.principal_ids:
            if principal_kind(each) is None:
                raise ValueError(f"{each!r} is no id of an application or a user")

    @property
    def scopes(self) -> frozenset[Scope]:
        return frozenset(rule.scope for rule in self.rules)


@dataclass(frozen=True, slots=True)
class Line:
    """One rule of one policy, as the record of a principal or a key holds it."""

    policy_id: str
    rule: int  # the first is 1, as people count
    permission_sets: frozenset[str]
    scope: Scope
    conditions: Conditions = NO_CONDITIONS


def compile_lines(policies: Iterable[Policy]) -> tuple[Line, ...]:
    """What these policies allow, in the order of their ids."""
    return tuple(
        Line(policy.policy_id, number, rule.permission_sets, rule.scope, rule.conditions)
        for policy in sorted(policies, key=lambda each: each.policy_id)
        for number, rule in enumerate(policy.rules, start=1)
    )


def scopes_of(lines: Iterable[Line]) -> frozenset[Scope]:
    return frozenset(line.scope for line in lines)


def rule_to_json(rule: Rule | Line) -> dict[str, object]:
    """As the admin API and Redis write a rule; `read_rule` reads it."""
    told: dict[str, object] = {"permission_sets": sorted(rule.permission_sets)}
    match rule.scope:
        case Projects(project_ids):
            told["project_ids"] = sorted(project_ids)
        case Organisation(organisation_id):
            told["organization_id"] = organisation_id
    if rule.conditions != NO_CONDITIONS:
        told["conditions"] = conditions_to_json(rule.conditions)
    return told


def read_rule(stored: Mapping[str, object]) -> Rule:
    """Raises ValueError, naming the field."""
    known = {"permission_sets", "project_ids", "organization_id", "conditions"}
    unknown = sorted(set(stored) - known)
    if unknown:
        raise ValueError(f"a rule has no {unknown[0]!r}; it has {', '.join(sorted(known))}")
    project_ids, organisation_id = stored.get("project_ids"), stored.get("organization_id")
    if (project_ids is None) == (organisation_id is None):
        raise ValueError("a rule has either project_ids or organization_id")
    if organisation_id is not None and not isinstance(organisation_id, str):
        raise ValueError("organization_id must be a text")
    conditions = stored.get("conditions") or {}
    if not isinstance(conditions, Mapping):
        raise ValueError("conditions must be an object")  # noqa: TRY004 - told to who sent it
    return Rule(
        permission_sets=_texts(stored.get("permission_sets"), "permission_sets"),
        scope=Projects(_texts(project_ids, "project_ids"))
        if organisation_id is None
        else Organisation(organisation_id),
        conditions=read_conditions(conditions) if conditions else NO_CONDITIONS,
    )


def lines_text(lines: Sequence[Line]) -> str:
    """One field of a Redis hash."""
    told = [{"policy": each.policy_id, "rule": each.rule, **rule_to_json(each)} for each in lines]
    return json.dumps(told, separators=(",", ":"))


def read_lines(text: str) -> tuple[Line, ...]:
    """The lines in that field. Raises ValueError for anything else."""
    lines = []
    for stored in json.loads(text):
        policy_id, number = stored.pop("policy"), stored.pop("rule")
        rule = read_rule(stored)
        lines.append(Line(policy_id, number, rule.permission_sets, rule.scope, rule.conditions))
    return tuple(lines)


def rules_text(rules: Sequence[Rule]) -> str:
    """One field of a Redis hash."""
    return json.dumps([rule_to_json(each) for each in rules], separators=(",", ":"))


def read_rules(text: str) -> tuple[Rule, ...]:
    """The rules in that field. Raises ValueError for anything else."""
    return tuple(read_rule(each) for each in json.loads(text))


def _texts(value: object, name: str) -> frozenset[str]:
    if not isinstance(value, list | tuple | frozenset | set) or not all(
        isinstance(each, str) for each in value
    ):
        raise ValueError(f"{name} must be a list of texts")
    return frozenset(value)
