"""GET /openapi.json and /docs: the API's description, for anybody, without a key."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gateway.asgi.boundary import telemetry_of
from gateway.openapi.document import build_document
from gateway.openapi.operation import Operation
from gateway.openapi.page import build_page


class DocumentationEndpoint:
    """Both are built once: it takes 60 ms, and nothing in them changes while we run."""

    def __init__(self, operations: Sequence[Operation], *, version: str) -> None:
        document = build_document(operations, version=version)
        page = build_page(document)
        self._document = _File(orjson.dumps(document), {"content-type": "application/json"})
        self._page = _File(
            page.html.encode(),
            {
                "content-type": "text/html; charset=utf-8",
                "content-security-policy": page.content_security_policy,
                "referrer-policy": "no-referrer",
            },
        )

    async def document(self, request: Request) -> Response:
        return self._document.answer(request)

    async def page(self, request: Request) -> Response:
        return self._page.answer(request)


class _File:
    """Bytes that a client may keep and ask about."""

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        self._body = body
        self._etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        self._headers = {
            **headers,
            "etag": self._etag,
            # Kept, but asked about each time: a new version shows at once.
            "cache-control": "no-cache",
            "x-content-type-options": "nosniff",
        }

    def answer(self, request: Request) -> Response:
        telemetry_of(request.scope).route = "docs"
        # Weakened on the way, perhaps, by a proxy that compresses.
        known = request.headers.get("if-none-match", "").split(",")
        if any(etag.strip().removeprefix("W/") in (self._etag, "*") for etag in known):
            return Response(status_code=304, headers=self._headers)
        return Response(self._body, headers=self._headers)
