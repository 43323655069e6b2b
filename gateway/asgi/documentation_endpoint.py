"""GET /openapi.json and /docs: the API's description, for anybody, without a key."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.asgi.boundary import telemetry_of
from gateway.asgi.kept_file import KeptFile
from gateway.openapi.document import build_document
from gateway.openapi.operation import Operation
from gateway.openapi.page import build_page


class DocumentationEndpoint:
    """Both are built once: it takes 60 ms, and nothing in them changes while we run."""

    def __init__(self, operations: Sequence[Operation], *, version: str) -> None:
        document = build_document(operations, version=version)
        page = build_page(document)
        self._document = KeptFile(orjson.dumps(document), {"content-type": "application/json"})
        self._page = KeptFile(
            page.html.encode(),
            {
                "content-type": "text/html; charset=utf-8",
                "content-security-policy": page.content_security_policy,
                "referrer-policy": "no-referrer",
            },
        )

    async def document(self, request: Request) -> Response:
        telemetry_of(request.scope).route = "docs"
        return self._document.answer(request)

    async def page(self, request: Request) -> Response:
        telemetry_of(request.scope).route = "docs"
        return self._page.answer(request)
