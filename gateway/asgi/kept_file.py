"""A file that a client may keep, and asks about each time: so a new version shows at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response


class KeptFile:
    """Bytes, and the headers that go with them. Hashed once."""

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        self._body = body
        self._etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        self._headers = {
            **headers,
            "etag": self._etag,
            "cache-control": "no-cache",
            "x-content-type-options": "nosniff",
        }

    def answer(self, request: Request) -> Response:
        """The file; or 304 for who has it."""
        # Weakened on the way, perhaps, by a proxy that compresses.
        known = request.headers.get("if-none-match", "").split(",")
        if any(etag.strip().removeprefix("W/") in (self._etag, "*") for etag in known):
            return Response(status_code=304, headers=self._headers)
        return Response(self._body, headers=self._headers)
