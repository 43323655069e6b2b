"""Chat completions through the newest `openai` client for Python, against the running gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, ConfigDict

from tests.stack.demo import Tenant
from tests.stack.product import Product
from tests.system.waiting import wait_until

MODEL = "gpt-oss-120b"
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


@pytest.fixture(scope="module")
def tenant(product: Product) -> Tenant:
    return product.new_project()


@pytest.fixture
def client(product: Product, tenant: Tenant) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{product.url}/v1", api_key=tenant.key, max_retries=0) as client:
        yield client


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_a_plain_answer_has_text_reasoning_and_usage(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model=MODEL, messages=user("Why is the sky blue?"), temperature=0
    )

    assert completion.id.startswith("chatcmpl-")
    choice = completion.choices[0]
    assert choice.finish_reason == "stop"
    assert choice.message.content
    extra: Any = choice.message
    assert extra.reasoning_content == extra.reasoning != ""
    usage = completion.usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens > (usage.completion_tokens_details.reasoning_tokens or 0) > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_chat_is_answered_as_the_same_request_for_a_response_is(client: OpenAI) -> None:
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Count to ten"}]},
    ]
    completion = client.chat.completions.create(
        model="openai/gpt-oss-120b",
        messages=messages,
        seed=7,
        max_completion_tokens=2000,
        reasoning_effort="high",
    )
    response = client.responses.create(
        model=MODEL,
        input=messages,
        max_output_tokens=2000,
        reasoning={"effort": "high"},
        extra_body={"seed": 7},
    )

    assert completion.model == MODEL
    assert completion.choices[0].message.content == response.output_text
    assert completion.usage is not None
    assert response.usage is not None
    assert completion.usage.total_tokens == response.usage.total_tokens


def test_the_stream_helper_of_the_client_accumulates_the_answer_that_comes_whole(
    client: OpenAI,
) -> None:
    asked: Any = {"model": MODEL, "messages": user("Count to ten"), "temperature": 0}
    with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        final = stream.get_final_completion()

    whole = client.chat.completions.create(**asked)
    assert final.choices[0].message.content == text == whole.choices[0].message.content
    assert final.choices[0].finish_reason == "stop"
    extra: Any = final.choices[0].message
    assert extra.reasoning_content == whole.choices[0].message.reasoning_content
    assert final.usage is not None
    assert whole.usage is not None
    assert final.usage.completion_tokens == whole.usage.completion_tokens


def frames(product: Product, tenant: Tenant, **fields: Any) -> list[str]:
    """The chunks of a streamed answer as they come over the wire, without the blank lines."""
    with httpx.stream(
        "POST",
        f"{product.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {tenant.key}"},
        json={"model": MODEL, "messages": user("Hello"), "stream": True, **fields},
        timeout=30,
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        return answer.read().decode().split("\n\n")


@pytest.mark.parametrize(
    ("fields", "finish_reason"),
    [
        ({}, "stop"),
        ({"max_tokens": 5}, "length"),
        ({"tools": TOOLS}, "tool_calls"),
        ({"stream_options": {"include_usage": True}}, "stop"),
    ],
    ids=["answer", "cut", "function call", "usage"],
)
def test_every_chunk_is_one_that_the_clients_models_know(
    product: Product, tenant: Tenant, fields: dict[str, Any], finish_reason: str
) -> None:
    *sent, done, rest = frames(product, tenant, **fields)
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in sent]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    if "stream_options" in fields:
        last = chunks.pop()
        assert (last["choices"], last["usage"]["prompt_tokens"] > 0) == ([], True)
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + [finish_reason]


@pytest.mark.parametrize("fields", [{}, {"tools": TOOLS}, {"max_tokens": 5}])
def test_a_whole_completion_is_one_that_the_clients_models_know(
    product: Product, tenant: Tenant, fields: dict[str, Any]
) -> None:
    answer = httpx.post(
        f"{product.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {tenant.key}"},
        json={"model": MODEL, "messages": user("Hello"), **fields},
        timeout=30,
    )
    ChatCompletion.model_validate(answer.json(), strict=True)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_comes_back_and_its_output_goes_in_with_what_was_thought(
    client: OpenAI, streamed: bool
) -> None:
    asked: Any = {"model": MODEL, "tools": TOOLS}
    messages = user("How is the weather in Paris?")
    if streamed:
        with client.chat.completions.stream(**asked, messages=messages) as stream:
            first: ChatCompletion = stream.get_final_completion()
    else:
        first = client.chat.completions.create(**asked, messages=messages)
    assert first.choices[0].finish_reason == "tool_calls"
    message = first.choices[0].message
    assert message.tool_calls is not None
    call = message.tool_calls[0]
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)

    # The message goes back as it came, nulls and reasoning included.
    history = [*messages, message.model_dump()]
    history.append({"role": "tool", "tool_call_id": call.id, "content": "21 C"})
    second = client.chat.completions.create(**asked, messages=history)
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content

    del history[1]["reasoning"], history[1]["reasoning_content"]
    forgotten = client.chat.completions.create(**asked, messages=history)
    assert second.usage is not None
    assert forgotten.usage is not None
    assert second.usage.prompt_tokens > forgotten.usage.prompt_tokens


def test_what_was_said_before_a_call_is_content(client: OpenAI) -> None:
    raw = (
        "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant"
        "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{}<|call|>"
    )
    completion = client.chat.completions.create(
        model=MODEL, messages=user(f"SIM: {json.dumps({'raw': raw})}"), tools=TOOLS
    )
    message = completion.choices[0].message
    assert message.content == "I look."
    assert message.tool_calls


class City(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    population: int


@pytest.mark.parametrize("strict", [True, False])
def test_an_answer_is_json_that_matches_the_schema(client: OpenAI, strict: bool) -> None:
    schema = {"name": "city", "schema": City.model_json_schema(), "strict": strict}
    asked: Any = {
        "model": MODEL,
        "messages": user("The largest city of France?"),
        "response_format": {"type": "json_schema", "json_schema": schema},
        "temperature": 0,
    }
    whole = client.chat.completions.create(**asked).choices[0]
    assert whole.finish_reason == "stop"
    assert whole.message.content
    City.model_validate_json(whole.message.content)

    with client.chat.completions.create(**asked, stream=True) as stream:
        contents = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(contents) == whole.message.content


def test_the_parse_helpers_of_the_client_get_their_models(client: OpenAI) -> None:
    asked: Any = {
        "model": MODEL,
        "messages": user("The largest city of France?"),
        "response_format": City,
        "temperature": 0,
    }
    parsed = client.chat.completions.parse(**asked).choices[0].message.parsed
    assert isinstance(parsed, City)
    with client.chat.completions.stream(**asked) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == parsed


def test_a_schema_that_cannot_be_enforced_is_refused_in_the_words_of_chats(client: OpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"not": {}}}}
    format_: Any = {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": schema, "strict": True},
    }
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=MODEL, messages=user("hi"), response_format=format_)
    assert (bad.value.code, bad.value.param) == (
        "invalid_json_schema",
        "response_format.json_schema.schema",
    )


TIME: Any = {"type": "function", "function": {"name": "get_time", "parameters": {}}}
NAMED_TIME: Any = {"type": "function", "function": {"name": "get_time"}}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("choice", "callable_"),
    [
        (NAMED_TIME, {"get_time"}),
        ("required", {"get_weather", "get_time"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [NAMED_TIME]},
            },
            {"get_time"},
        ),
        ("none", set()),
    ],
    ids=["named", "required", "allowed", "none"],
)
def test_a_call_that_is_forced_or_forbidden_is_made_or_not(
    client: OpenAI, choice: Any, callable_: set[str], streamed: bool
) -> None:
    asked: Any = {
        "model": MODEL,
        "messages": user("Hello"),
        "tools": [*TOOLS, TIME],
        "tool_choice": choice,
    }
    if streamed:
        with client.chat.completions.stream(**asked) as stream:
            completion: ChatCompletion = stream.get_final_completion()
    else:
        completion = client.chat.completions.create(**asked)
    answer = completion.choices[0]
    if not callable_:
        assert (answer.finish_reason, answer.message.tool_calls) == ("stop", None)
        assert answer.message.content
        return
    assert answer.finish_reason == "tool_calls"
    assert answer.message.tool_calls
    for call in answer.message.tool_calls:
        assert call.type == "function"
        assert call.function.name in callable_
        assert isinstance(json.loads(call.function.arguments), dict)


def test_log_probabilities_are_those_of_the_content_whole_and_streamed(client: OpenAI) -> None:
    asked: Any = {
        "model": MODEL,
        "messages": user("Count to ten"),
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 3,
    }
    whole = client.chat.completions.create(**asked).choices[0]
    assert whole.logprobs is not None
    assert whole.logprobs.content
    told = b"".join(bytes(entry.bytes or ()) for entry in whole.logprobs.content)
    assert told.decode() == whole.message.content
    for entry in whole.logprobs.content:
        assert entry.logprob <= 0
        likeliest = [other.logprob for other in entry.top_logprobs]
        assert len(likeliest) == 3
        assert likeliest == sorted(likeliest, reverse=True)

    with client.chat.completions.stream(**asked) as stream:
        final = stream.get_final_completion().choices[0]
    assert final.logprobs is not None
    assert final.logprobs.content is not None
    assert [(entry.token, entry.logprob) for entry in final.logprobs.content] == [
        (entry.token, entry.logprob) for entry in whole.logprobs.content
    ]

    del asked["logprobs"]
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(**asked)
    assert (bad.value.code, bad.value.param) == ("invalid_value", "top_logprobs")


def test_a_project_in_the_path_is_billed_for_its_chats(product: Product) -> None:
    tenant = product.new_project()
    with OpenAI(
        base_url=f"{product.url}/{tenant.project_id}/v1", api_key=tenant.key, max_retries=0
    ) as client:
        usage = client.chat.completions.create(model=MODEL, messages=user("hi")).usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    billed = product.usage(tenant.project_id)
    assert billed["requests"] == 1
    assert billed["input_tokens"] == usage.prompt_tokens
    assert billed["output_tokens"] == usage.completion_tokens
    assert billed["reasoning_tokens"] == usage.completion_tokens_details.reasoning_tokens


def test_chats_are_counted_as_a_route_and_an_outcome_of_their_own(
    product: Product, client: OpenAI
) -> None:
    def counted() -> tuple[float, float]:
        return (
            product.metric("gw_http_requests_total", route="chat", code="200", stream="false"),
            product.metric("gw_outcomes_total", outcome="ok"),
        )

    chats, ok = counted()
    client.chat.completions.create(model=MODEL, messages=user("hi"))
    # Counted when the last byte is sent, which the client may see first.
    wait_until(lambda: counted() == (chats + 1, ok + 1), "the chat is counted")


def test_what_is_wrong_arrives_as_the_clients_own_error_classes(
    product: Product, client: OpenAI
) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.BadRequestError) as bad:
        create(model=MODEL, messages=user("hi"), max_tokens=131_073)
    assert (bad.value.code, bad.value.param) == ("integer_above_max_value", "max_tokens")
    assert "'max_tokens'" in bad.value.message
    with pytest.raises(openai.BadRequestError) as bad:
        create(model=MODEL, messages=user("a b " * 131_072))
    assert (bad.value.code, bad.value.param) == ("context_length_exceeded", "messages")
    with pytest.raises(openai.BadRequestError) as bad:
        create(model=MODEL, messages=user("hi"), stop="x")
    assert (bad.value.code, bad.value.param) == ("unsupported_parameter", "stop")
    with pytest.raises(openai.NotFoundError) as missing:
        create(model="gpt-5", messages=user("hi"))
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="gwk_wrong").chat.completions.create(
            model=MODEL, messages=user("hi")
        )


def test_a_failing_engine_arrives_as_an_error_of_the_stream_or_of_the_call(client: OpenAI) -> None:
    asked: Any = {"model": MODEL, "messages": user('SIM: {"fail_after": 20}')}
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(**asked)
    assert failed.value.code == "model_error"

    with (
        client.chat.completions.create(**asked, stream=True) as stream,
        pytest.raises(openai.APIError, match="The model failed"),
    ):
        list(stream)
