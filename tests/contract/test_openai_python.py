"""The newest `openai` client for Python against the running gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.stack.demo import Tenant
from tests.stack.product import Product

MODEL = "gpt-oss-120b"
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


@pytest.fixture(scope="module")
def tenant(product: Product) -> Tenant:
    return product.new_project()


@pytest.fixture
def client(product: Product, tenant: Tenant) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{product.url}/v1", api_key=tenant.key, max_retries=0) as client:
        yield client


def test_a_plain_answer_has_text_reasoning_and_usage(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input="Why is the sky blue?", temperature=0)

    assert response.status == "completed"
    assert response.output_text
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.usage is not None
    assert response.usage.output_tokens > response.usage.output_tokens_details.reasoning_tokens > 0
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


def test_every_parameter_is_taken_and_told_back(client: OpenAI) -> None:
    response = client.responses.create(
        model="openai/gpt-oss-120b",
        input=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
            {"role": "assistant", "content": "Hi!"},
            {"role": "user", "content": "Who are you?"},
        ],
        instructions="Answer in French.",
        max_output_tokens=2000,
        temperature=0.5,
        top_p=0.9,
        reasoning={"effort": "high"},
        metadata={"ticket": "42"},
        extra_body={"seed": 7},
    )

    assert response.model == MODEL
    assert response.instructions == "Answer in French."
    assert response.max_output_tokens == 2000
    assert (response.temperature, response.top_p) == (0.5, 0.9)
    assert response.reasoning is not None
    assert response.reasoning.effort == "high"
    assert response.metadata == {"ticket": "42"}


def test_the_same_seed_gives_the_same_answer(client: OpenAI) -> None:
    def answer() -> str:
        return client.responses.create(
            model=MODEL, input="Tell me a story", extra_body={"seed": 11}
        ).output_text

    assert answer() == answer()


def test_a_streamed_answer_is_the_sum_of_its_deltas(client: OpenAI) -> None:
    text, last = "", None
    with client.responses.create(model=MODEL, input="Count to ten", stream=True) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                text += event.delta
            last = event

    assert last is not None
    assert last.type == "response.completed"
    assert text
    assert last.response.output_text == text


def test_the_stream_helper_of_the_client_accumulates_the_same_answer(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input="Count to ten", temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_response()

    assert events[-1].type == "response.completed"
    assert (
        final.output_text
        == client.responses.create(model=MODEL, input="Count to ten", temperature=0).output_text
    )


def frames(product: Product, tenant: Tenant, **fields: Any) -> list[str]:
    """The events of a streamed answer as they come over the wire, without the blank lines."""
    with httpx.stream(
        "POST",
        f"{product.url}/v1/responses",
        headers={"authorization": f"Bearer {tenant.key}"},
        json={"model": MODEL, "input": "Hello", "stream": True, **fields},
        timeout=30,
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-accel-buffering"] == "no"
        return answer.read().decode().split("\n\n")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"max_output_tokens": 5},
        {"tools": [{"type": "function", "name": "now", "parameters": None}]},
        {"input": 'SIM: {"fail_after": 20}'},
    ],
    ids=["completed", "incomplete", "function call", "failed"],
)
def test_every_event_is_one_that_the_clients_models_know(
    product: Product, tenant: Tenant, fields: dict[str, Any]
) -> None:
    *sent, done, rest = frames(product, tenant, **fields)
    assert (done, rest) == ("data: [DONE]", "")
    for number, frame in enumerate(sent):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        if "response" in event:
            # The spec's literal, where OpenAI's says "response"; all else is the same.
            assert event["response"]["object"] == "chat.completion"
            event["response"]["object"] = "response"
        EVENTS.validate_python(event)


def test_a_whole_response_is_one_that_the_clients_models_know(
    product: Product, tenant: Tenant
) -> None:
    answer = httpx.post(
        f"{product.url}/v1/responses",
        headers={"authorization": f"Bearer {tenant.key}"},
        json={"model": MODEL, "input": "Hello"},
        timeout=30,
    )
    Response.model_validate({**answer.json(), "object": "response"})


def test_a_function_call_comes_back_and_its_output_goes_in(client: OpenAI) -> None:
    tools: Any = [
        {
            "type": "function",
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        }
    ]
    history: Any = [{"role": "user", "content": "How is the weather in Paris?"}]
    first = client.responses.create(model=MODEL, input=history, tools=tools)
    call = first.output[-1]
    assert call.type == "function_call"
    assert call.name == "get_weather"
    assert isinstance(json.loads(call.arguments)["city"], str)

    # The whole output goes back as it came: nothing is stored here.
    history += [item.model_dump(exclude_none=True) for item in first.output]
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": "21 C"})
    second = client.responses.create(model=MODEL, input=history, tools=tools)

    assert second.output[-1].type == "message"


def test_input_tokens_are_counted_as_they_are_billed(client: OpenAI) -> None:
    asked: Any = {"model": MODEL, "input": "Why is the sky blue?", "instructions": "Be brief."}
    counted = client.responses.input_tokens.count(**asked)
    response = client.responses.create(**asked)
    assert response.usage is not None
    assert (counted.object, counted.input_tokens) == (
        "response.input_tokens",
        response.usage.input_tokens,
    )


def test_the_models_are_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL
    assert client.models.retrieve("openai/gpt-oss-120b").id == MODEL


def test_a_project_can_be_named_in_the_path(product: Product, tenant: Tenant) -> None:
    with OpenAI(
        base_url=f"{product.url}/{tenant.project_id}/v1", api_key=tenant.key, max_retries=0
    ) as client:
        assert client.responses.create(model=MODEL, input="hi").status == "completed"
        assert [model.id for model in client.models.list()] == [MODEL]


def test_what_is_wrong_arrives_as_the_clients_own_error_classes(
    product: Product, client: OpenAI
) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        client.responses.create(model=MODEL, input="hi", temperature=3)
    assert (bad.value.code, bad.value.param) == ("decimal_above_max_value", "temperature")
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.create(model="gpt-5", input="hi")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="gwk_wrong").responses.create(model=MODEL, input="hi")
    other = product.new_project()
    with pytest.raises(openai.PermissionDeniedError) as forbidden:
        client.with_options(base_url=f"{product.url}/{other.project_id}/v1").models.list()
    assert forbidden.value.code == "project_forbidden"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("0192f0c1-7d5e-7000-8000-000000000001")


def test_a_spent_limit_arrives_as_a_rate_limit_error(product: Product) -> None:
    tenant = product.new_project(requests_per_minute=1)
    with OpenAI(base_url=f"{product.url}/v1", api_key=tenant.key, max_retries=0) as client:
        client.responses.create(model=MODEL, input="hi")
        with pytest.raises(openai.RateLimitError) as limited:
            client.responses.create(model=MODEL, input="hi")
    assert limited.value.code == "rate_limit_exceeded"
    assert (
        0 < int(limited.value.response.headers["retry-after"]) <= 66
    )  # a minute, or up to a tenth longer


def test_a_failing_engine_arrives_as_an_error_of_the_stream_or_of_the_call(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as failed:
        client.responses.create(model=MODEL, input='SIM: {"fail_after": 20}')
    assert failed.value.code == "model_error"

    with (
        client.responses.create(
            model=MODEL, input='SIM: {"fail_after": 20}', stream=True
        ) as stream,
        pytest.raises(openai.APIError, match="The model failed"),
    ):
        list(stream)


def test_a_schema_that_cannot_be_enforced_is_refused_with_its_place_and_the_reason(
    client: OpenAI,
) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as raised:
            client.responses.create(
                model=MODEL,
                input="Hello",
                stream=stream,
                tools=[
                    {
                        "type": "function",
                        "name": "f",
                        "parameters": {"properties": {"a": {"not": {}}}},
                        "strict": True,
                    }
                ],
            )
        assert (raised.value.code, raised.value.param) == (
            "invalid_json_schema",
            "tools[0].parameters",
        )
        assert 'Unimplemented keys: ["not"]' in raised.value.message
