"""Shared by the tests of the gateway: the vocabulary."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.harmony.encoding import Encoding
from tests.gateway.harmony.spelled import read_spelled
from wire.vocabulary import load_ranks


@pytest.fixture(scope="session")
def encoding() -> Encoding:
    return Encoding(load_ranks())


@pytest.fixture(scope="session")
def ids(encoding: Encoding) -> Callable[[str], list[int]]:
    """Token ids of harmony that is spelled out: `<|start|>` is the control token."""
    return lambda spelled: read_spelled(spelled, encoding)
