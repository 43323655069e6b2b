"""Every key has its line in docs/redis-keys.md, and no project can reach another's."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from gateway.store import keys

# Of those that have a shape.
SAMPLES = {
    "kid": "k" * 16,
    "organisation_id": "org_sample",
    "principal_id": "app_sample",
    "policy_id": "pol_sample",
}
DOCUMENT = Path(__file__).parents[3] / "docs" / "redis-keys.md"
BUILDERS = {
    name: builder
    for name, builder in vars(keys).items()
    if inspect.isfunction(builder)
    and builder.__module__ == keys.__name__
    and not name.startswith("_")
}


def pattern(name: str) -> str:
    """A key with its variable parts as the document writes them."""
    parameters = inspect.signature(BUILDERS[name]).parameters
    key: str = BUILDERS[name](**{each: SAMPLES.get(each, f"x-{each}-x") for each in parameters})
    for each, sample in SAMPLES.items():
        key = key.replace(sample, f"<{each.removesuffix('_id')}>")
    return re.sub(r"x-(\w+)-x", lambda match: f"<{match[1].removesuffix('_id')}>", key)


def documented() -> set[str]:
    return set(re.findall(r"^\| `(gw:[^`]+)` \|", DOCUMENT.read_text(), re.MULTILINE))


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    assert documented() == {pattern(name) for name in BUILDERS} | {
        *(keys.PROJECTS, keys.PEPPERS, keys.ORGANISATIONS),
        *(keys.AUDIT, keys.REPLICAS, keys.DURABLE, keys.PROBE),
    }


@pytest.mark.parametrize("project_id", ["prj_a}:cfg", "a:b:c:d:e", "short", "", "prj_test\n"])
def test_what_is_no_project_id_never_becomes_a_key(project_id: str) -> None:
    with pytest.raises(AssertionError, match="not a project id"):
        keys.config(project_id)


@pytest.mark.parametrize(
    "text", ["", "app_", "app_a:keys", "app_a}", "pol_a b", "org_ä", "app_a\n"]
)
def test_what_is_no_id_of_iam_never_becomes_a_key(text: str) -> None:
    for builder in (keys.organisation, keys.principal, keys.policy, keys.api_key):
        with pytest.raises(AssertionError, match="not a"):
            builder(text)
