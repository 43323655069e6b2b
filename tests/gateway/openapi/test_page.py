"""The page: what it shows comes from the document, and is only ever text."""

from __future__ import annotations

from typing import Any

from gateway.openapi.chat_operation import CREATE_CHAT_COMPLETION
from gateway.openapi.document import build_document
from gateway.openapi.models_operations import LIST_MODELS
from gateway.openapi.page import build_page
from gateway.openapi.responses_operation import CREATE_RESPONSE


def document() -> dict[str, Any]:
    return build_document([CREATE_RESPONSE, CREATE_CHAT_COMPLETION, LIST_MODELS], version="1.2.3")


def test_every_field_event_and_code_of_the_document_is_on_the_page() -> None:
    described = document()
    page = build_page(described).html

    wanted = {"1.2.3"}
    for schema in described["components"]["schemas"].values():
        wanted |= set(schema.get("properties", {}))
    for event in described["components"]["schemas"]["ResponseStreamEvent"]["oneOf"]:
        name = event["$ref"].rpartition("/")[2]
        type_ = described["components"]["schemas"][name]["properties"]["type"]
        wanted |= {type_["const"]} if "const" in type_ else set(type_["enum"])
    wanted.add("chat.completion.chunk")
    assert {text for text in wanted if text not in page} == set()


def test_markup_in_the_document_is_shown_and_not_obeyed() -> None:
    described = document()
    described["info"]["description"] = "<script>alert(1)</script> `<b>`"
    page = build_page(described).html
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; <code>&lt;b&gt;</code>" in page
