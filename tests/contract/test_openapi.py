"""The OpenAPI document: it is one, it holds for what is sent, and the product keeps it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.openapi.chat_request import CreateChatCompletion
from gateway.openapi.input_tokens_operation import CountInputTokens
from gateway.responses.request import CreateResponse
from tests.stack.demo import Tenant
from tests.stack.product import Product
from tests.system.http import MODEL, complete, create, simulate, streamed

Document = dict[str, Any]

CALL_WEATHER = (
    "<|channel|>commentary<|message|>Let me look.<|end|>"
    "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json"
    '<|message|>{"city": "Paris"}<|call|>'
)
WEATHER = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}}
CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tenant(product: Product) -> Tenant:
    return product.new_project()


@pytest.fixture(scope="module")
def document(product: Product) -> Document:
    answer = httpx.get(f"{product.url}/openapi.json")
    assert answer.status_code == 200
    loaded: Document = answer.json()
    return loaded


def test_the_document_is_openapi_3_1(document: Document) -> None:
    validate(document)
    assert document["openapi"].startswith("3.1")


def test_the_document_and_its_page_need_no_key_and_are_kept_until_they_change(
    product: Product,
) -> None:
    for path, media_type in (("/openapi.json", "application/json"), ("/docs", "text/html")):
        first = httpx.get(product.url + path)
        assert first.headers["content-type"].startswith(media_type)
        again = httpx.get(product.url + path, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert httpx.head(product.url + path).headers["etag"] == first.headers["etag"]


def test_the_page_loads_nothing_and_says_so(product: Product) -> None:
    page = httpx.get(f"{product.url}/docs")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    for loading in ("src=", "@import", "url(", "<link", "style="):
        assert loading not in page.text, loading


def test_every_field_and_every_event_has_a_description(document: Document) -> None:
    schemas = document["components"]["schemas"]
    silent = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, described in schema.get("properties", {}).items()
        if not described.get("description") and "$ref" not in described
    ]
    silent += [name for name, schema in schemas.items() if not schema.get("description")]
    assert silent == []


def test_every_example_matches_its_schema(document: Document) -> None:
    checked = 0
    for content in _contents(document):
        for example in content["examples"].values():
            value = example["value"]
            for part in _events(value) if isinstance(value, str) else [value]:
                _check(document, content["schema"], part)
                checked += 1
    assert checked > 30


@pytest.mark.parametrize(
    ("operation", "path"),
    [("createResponse", "/v1/responses"), ("createChatCompletion", "/v1/chat/completions")],
)
def test_every_example_of_a_request_is_answered(
    document: Document, product: Product, tenant: Tenant, operation: str, path: str
) -> None:
    body = document["components"]["requestBodies"][operation]
    for name, example in body["content"]["application/json"]["examples"].items():
        answer = httpx.post(
            product.url + path,
            headers={"authorization": f"Bearer {tenant.key}"},
            json=example["value"],
            timeout=30,
        )
        assert answer.status_code == 200, (name, answer.text)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"input": simulate(raw=CALL_WEATHER), "tools": [WEATHER]},
        {"max_output_tokens": 5},
        {"include": ["reasoning.encrypted_content"]},
        {"metadata": {"a": "b"}, "user": "u", "seed": 1, "reasoning": {"effort": "max"}},
        {"logprobs": True, "top_logprobs": 3},
        {"include": ["message.output_text.logprobs"]},
        {"text": {"format": {"type": "json_schema", "name": "city", "schema": CITY}}},
    ],
)
def test_answers_and_events_are_what_the_document_says(
    document: Document, product: Product, tenant: Tenant, fields: dict[str, Any]
) -> None:
    answer = create(product.url, tenant, **fields).json()
    _check(document, _schema("Response"), answer)
    assert list(answer) == list(document["components"]["schemas"]["Response"]["properties"])

    with streamed(product.url, tenant, **fields) as events:
        for event in events:
            _check(document, _schema("ResponseStreamEvent"), event)


def test_a_failing_stream_is_what_the_document_says(
    document: Document, product: Product, tenant: Tenant
) -> None:
    with streamed(product.url, tenant, input=simulate(fail_after=20)) as events:
        types = []
        for event in events:
            _check(document, _schema("ResponseStreamEvent"), event)
            types.append(event["type"])
    assert types[-2:] == ["error", "response.failed"]


def test_log_probabilities_are_sent_with_what_the_document_requires(
    product: Product, tenant: Tenant
) -> None:
    fields = {"logprobs": True, "top_logprobs": 3}
    whole = create(product.url, tenant, **fields).json()["output"][-1]["content"][0]
    with streamed(product.url, tenant, **fields) as events:
        told = [event["logprobs"] for event in events if event.get("logprobs")]
    chat = complete(product.url, tenant, **fields).json()["choices"][0]["logprobs"]
    chunks = _chunks(product.url, tenant, **fields)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    in_chunks = [choice["logprobs"]["content"] for choice in choices if choice["logprobs"]]
    for entries in (whole["logprobs"], *told, chat["content"], *in_chunks):
        assert entries
        assert {len(entry["top_logprobs"]) for entry in entries} == {3}
    assert told
    assert in_chunks


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"messages": [{"role": "user", "content": simulate(raw=CALL_WEATHER)}], "tools": [WEATHER]},
        {"tools": [WEATHER], "tool_choice": {"type": "function", "name": "get_weather"}},
        {"max_tokens": 5},
        {"logprobs": True},
        {"logprobs": True, "top_logprobs": 3},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "c", "schema": CITY}}},
        {"stream_options": {"include_usage": True}},
    ],
)
def test_completions_and_chunks_are_what_the_document_says(
    document: Document, product: Product, tenant: Tenant, fields: dict[str, Any]
) -> None:
    answer = complete(product.url, tenant, **fields).json()
    _check(document, _schema("ChatCompletion"), answer)
    assert list(answer) == list(document["components"]["schemas"]["ChatCompletion"]["properties"])

    for chunk in _chunks(product.url, tenant, **fields):
        _check(document, _schema("ChatCompletionChunk"), chunk)


def test_a_failing_stream_of_chunks_is_what_the_document_says(
    document: Document, product: Product, tenant: Tenant
) -> None:
    failing = [{"role": "user", "content": simulate(fail_after=20)}]
    chunks = _chunks(product.url, tenant, messages=failing)
    for chunk in chunks:
        _check(document, _schema("ChatCompletionStreamEvent"), chunk)
    assert list(chunks[-1]) == ["error"]


def test_an_error_of_a_chat_is_what_the_document_says(
    document: Document, product: Product, tenant: Tenant
) -> None:
    answer = complete(product.url, tenant, stop="x")
    declared = document["components"]["responses"]["createChatCompletion.400"]
    _check(document, declared["content"]["application/json"]["schema"], answer.json())
    assert answer.json()["error"]["param"] == "stop"


@pytest.mark.parametrize(
    ("fields", "status"), [({}, 200), ({"input": simulate(fail_after=1)}, 500)]
)
def test_the_dialect_is_confirmed_in_a_header_that_is_described(
    document: Document, product: Product, tenant: Tenant, fields: dict[str, Any], status: int
) -> None:
    answer = httpx.post(
        f"{product.url}/v1/responses",
        headers={"authorization": f"Bearer {tenant.key}", "OpenResponses-Version": "v" * 65},
        json={"model": MODEL, "input": "Hello", **fields},
        timeout=30,
    )
    assert answer.status_code == status
    assert answer.headers["openresponses-version"] == "v" * 64
    described = document["components"]["responses"][f"createResponse.{status}"]["headers"]
    assert "openresponses-version" in described


def test_models_are_what_the_document_says(
    document: Document, product: Product, tenant: Tenant
) -> None:
    headers = {"authorization": f"Bearer {tenant.key}"}
    for path, name in (("", "ModelList"), (f"/{MODEL}", "Model")):
        answer = httpx.get(f"{product.url}/v1/models{path}", headers=headers)
        _check(document, _schema(name), answer.json())


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"temperature": 3}, 400), ({"model": "gpt-5"}, 404), ({"input": []}, 400)],
)
def test_errors_are_what_the_document_says(
    document: Document,
    product: Product,
    tenant: Tenant,
    fields: dict[str, Any],
    status: int,
) -> None:
    answer = create(product.url, tenant, **fields)
    assert answer.status_code == status
    responses = document["components"]["responses"]
    content = responses[f"createResponse.{status}"]["content"]["application/json"]
    _check(document, content["schema"], answer.json())


@pytest.mark.parametrize("prefix", ["", "/{project_id}"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/responses"),
        ("POST", "/v1/responses/input_tokens"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/{model}"),
        ("GET", "/v1/limits"),
        ("GET", "/v1/usage"),
    ],
)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_whatever_is_sent_the_answer_is_a_declared_one(
    document: Document,
    product: Product,
    tenant: Tenant,
    prefix: str,
    method: str,
    path: str,
    mode: GenerationMode,
) -> None:
    api = schemathesis.openapi.from_dict(document)
    api.config.update(base_url=product.url)
    operation = api[prefix + path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.path_parameters):
        return  # there is nothing that could be wrong

    chat = path == "/v1/chat/completions"
    events = _schema("ChatCompletionStreamEvent" if chat else "ResponseStreamEvent")
    root = {**_closed(document), **events}
    validator = Draft202012Validator(root)

    # schemathesis's own decorator does not know this pytest.
    @settings(
        max_examples=40,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case[Any]) -> None:
        if "project_id" in case.path_parameters and mode is GenerationMode.POSITIVE:
            case.path_parameters["project_id"] = tenant.project_id
        answer = case.call(headers={"authorization": f"Bearer {tenant.key}"})
        streamed = answer.headers["content-type"][0].startswith("text/event-stream")
        case.validate_response(
            answer,
            checks=[
                not_a_server_error,
                status_code_conformance,
                content_type_conformance,
                response_headers_conformance,
                # Takes the schema of a stream for that of its lines.
                *([] if streamed else [response_schema_conformance]),
            ],
        )
        for event in _events(answer.text) if streamed else ():
            validator.validate(event)

    send()


def test_every_operation_is_in_the_guide(document: Document) -> None:
    guide = Path("docs/api.md").read_text()
    assert set(re.findall(r"^\| ([A-Z]+) \| `([^`]+)` \|", guide, re.MULTILINE)) == {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        if not path.startswith("/{project_id}/")
        for method in methods
    }


def test_every_operation_is_fuzzed(document: Document) -> None:
    assert sorted(document["paths"]) == sorted(
        prefix + path
        for prefix in ("", "/{project_id}")
        for path in (
            "/v1/responses",
            "/v1/responses/input_tokens",
            "/v1/chat/completions",
            "/v1/models",
            "/v1/models/{model}",
            "/v1/limits",
            "/v1/usage",
        )
    )


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _check(document: Document, schema: Mapping[str, Any], value: object) -> None:
    """*value* matches, and has no key that the document does not name."""
    root = {**_closed(document), **schema}
    Draft202012Validator(root).validate(value)


def _closed(document: Document) -> Document:
    """The schemas of the document, those of answers open to no other keys."""
    schemas = copy.deepcopy(document["components"]["schemas"])
    requested = [
        model.__name__ for model in (CreateResponse, CountInputTokens, CreateChatCompletion)
    ]
    for name, described in schemas.items():
        if name not in requested and "properties" in described:
            described.setdefault("additionalProperties", False)
    return {"components": {"schemas": schemas}}


def _chunks(url: str, tenant: Tenant, **fields: Any) -> list[Any]:
    return _events(complete(url, tenant, stream=True, **fields).text)


def _contents(document: Document) -> Iterator[dict[str, Any]]:
    components = document["components"]
    for holder in (*components["requestBodies"].values(), *components["responses"].values()):
        yield from holder["content"].values()


def _events(stream: str) -> list[object]:
    """The events of a stream that is given as text."""
    # Not splitlines(): JSON may hold U+2028 as it is.
    *events, done = [line for line in stream.split("\n") if line.startswith("data: ")]
    assert done == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in events]
