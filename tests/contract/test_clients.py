"""The clients that tenants have, against the running gateway; docs/clients.md is about them.

What a client does is in its script, in clients/ or node/; here is what has to come of it.
"""

from __future__ import annotations

import pytest

from tests.contract.conftest import Clients

OPENAI_AGENTS = ".venv-clients/openai_agents_client.py"
LANGCHAIN = ".venv-clients/langchain_client.py"
PYDANTIC_AI = ".venv-clients/pydantic_ai_client.py"
LITELLM = ".venv-clients-openai2/litellm_client.py"
LITELLM_CHAT = ".venv-clients-openai2/litellm_chat_client.py"
LLAMA_INDEX = ".venv-clients-openai2/llama_index_client.py"
NODE_OPENAI = "node/openai.mjs"
NODE_OPENAI_AGENTS = "node/openai_agents.mjs"
NODE_LANGCHAIN = "node/langchain.mjs"
AI_SDK_OPENAI = "node/ai_sdk_openai.mjs"
AI_SDK_OPEN_RESPONSES = "node/ai_sdk_open_responses.mjs"

# The error classes for a wrong key and for a wrong parameter.
ERRORS = {
    OPENAI_AGENTS: ("openai.AuthenticationError", "openai.BadRequestError"),
    LANGCHAIN: (
        "langchain_openai.OpenAIAuthenticationError",
        "langchain_openai.OpenAIInvalidRequestError",
    ),
    PYDANTIC_AI: ("pydantic_ai.ModelAuthenticationError", "pydantic_ai.ModelRequestRejectedError"),
    LITELLM: ("litellm.AuthenticationError", "litellm.BadRequestError"),
    LITELLM_CHAT: ("litellm.AuthenticationError", "litellm.BadRequestError"),
    LLAMA_INDEX: ("openai.AuthenticationError", "openai.BadRequestError"),
    NODE_OPENAI: ("AuthenticationError 401", "BadRequestError 400"),
    NODE_OPENAI_AGENTS: ("AuthenticationError 401", "BadRequestError 400"),
    NODE_LANGCHAIN: ("AuthenticationError 401", "BadRequestError 400"),
    AI_SDK_OPENAI: ("APICallError 401", "APICallError 400"),
    AI_SDK_OPEN_RESPONSES: ("APICallError 401", "APICallError 400"),
}
ALL = list(ERRORS)
# These keep the text of the reasoning out of the next request (docs/clients.md).
FORGETFUL = {LITELLM_CHAT, LLAMA_INDEX, AI_SDK_OPENAI}
# These cannot ask for sealed reasoning, or do not send it back.
NEVER_SEAL = {LITELLM_CHAT, LLAMA_INDEX, AI_SDK_OPEN_RESPONSES}


@pytest.mark.parametrize("script", ALL)
def test_a_plain_answer_arrives(clients: Clients, script: str) -> None:
    assert clients.facts(script, "plain") == {"text": "Blue light is scattered most."}


@pytest.mark.parametrize("script", ALL)
def test_a_streamed_answer_arrives_in_parts(clients: Clients, script: str) -> None:
    facts = clients.facts(script, "stream")
    assert facts["text"] == "".join(facts["deltas"]) == "Blue light is scattered most."
    assert len(facts["deltas"]) > 1


@pytest.mark.parametrize("script", ALL)
def test_a_tool_is_called_and_its_output_decides_the_answer(clients: Clients, script: str) -> None:
    assert clients.facts(script, "tool") == {
        "calls": ["get_weather"],
        "text": "It is 21 degrees in Paris.",
    }


@pytest.mark.parametrize("script", [each for each in ALL if each not in FORGETFUL])
def test_reasoning_goes_back_with_the_tools_output(clients: Clients, script: str) -> None:
    assert clients.facts(script, "remember") == {"text": "I remember."}


@pytest.mark.parametrize("script", sorted(FORGETFUL))
def test_a_client_that_drops_the_reasoning_gets_an_answer_all_the_same(
    clients: Clients, script: str
) -> None:
    assert clients.facts(script, "remember")["text"] not in (None, "", "I remember.")


@pytest.mark.parametrize("script", [each for each in ALL if each not in NEVER_SEAL])
def test_reasoning_goes_back_sealed(clients: Clients, script: str) -> None:
    assert clients.facts(script, "remember_encrypted") == {"text": "I remember."}


@pytest.mark.parametrize("script", ALL)
def test_errors_are_the_clients_own(clients: Clients, script: str) -> None:
    facts = clients.facts(script, "errors")
    assert (facts["key"], facts["parameter"]) == ERRORS[script]


def test_the_ai_sdk_needs_store_false_for_the_history_of_a_chat(clients: Clients) -> None:
    assert clients.facts(AI_SDK_OPENAI, "history") == {
        "stored": "APICallError 404",
        "sent": "More.",
    }


def test_llama_index_sends_reasoning_back_as_a_summary_where_it_believes_it_stored(
    clients: Clients,
) -> None:
    assert clients.facts(LLAMA_INDEX, "remember_stored") == {"text": "I remember."}


@pytest.mark.parametrize(
    "script",
    [OPENAI_AGENTS, PYDANTIC_AI, LITELLM, LLAMA_INDEX, NODE_OPENAI, AI_SDK_OPENAI],
)
def test_log_probabilities_arrive(clients: Clients, script: str) -> None:
    assert clients.facts(script, "logprobs") == {
        "text": "Blue light is scattered most.",
        "alternatives": script != LLAMA_INDEX,  # it cannot ask for any
        "negative": True,
    }
