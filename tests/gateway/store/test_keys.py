"""Every key has its line in docs/redis-keys.md, and no project can reach another's."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from gateway.store import keys

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
    key: str = BUILDERS[name](**{each: f"x-{each}-x" for each in parameters})
    return re.sub(r"x-(\w+)-x", lambda match: f"<{match[1].removesuffix('_id')}>", key)


def documented() -> set[str]:
    return set(re.findall(r"^\| `(gw:[^`]+)` \|", DOCUMENT.read_text(), re.MULTILINE))


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    assert documented() == {pattern(name) for name in BUILDERS} | {keys.PROJECTS, keys.PEPPERS}


@pytest.mark.parametrize("project_id", ["prj_a}:cfg", "a:b:c:d:e", "short", "", "prj_test\n"])
def test_what_is_no_project_id_never_becomes_a_key(project_id: str) -> None:
    with pytest.raises(AssertionError, match="not a project id"):
        keys.config(project_id)
