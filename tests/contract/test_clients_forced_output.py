"""Structured output and forced tool calls, as the clients that tenants have ask for them."""

from __future__ import annotations

import pytest

from tests.contract import test_clients
from tests.contract.conftest import Clients


@pytest.mark.parametrize("script", test_clients.ALL)
def test_structured_output_is_what_the_schema_says(clients: Clients, script: str) -> None:
    parsed = clients.facts(script, "schema")["parsed"]
    assert {key: type(value) for key, value in parsed.items()} == {"name": str, "population": int}


@pytest.mark.parametrize("script", test_clients.ALL)
def test_the_tool_that_is_named_is_the_one_called(clients: Clients, script: str) -> None:
    expected = "give_city" if script == test_clients.PYDANTIC_AI else "get_time"
    assert clients.facts(script, "forced") == {"calls": [expected]}
