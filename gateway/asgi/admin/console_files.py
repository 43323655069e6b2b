"""GET /console: the web console's files. What it shows, a browser asks the admin API for."""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.abc import Traversable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.asgi.boundary import telemetry_of
from gateway.responses import administration_errors

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS = {
    # Nothing but our own files, nothing inline, nobody's frame: whoever signs in here may
    # do a lot.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    # Kept, but asked about each time: a new version shows at once.
    "cache-control": "no-cache",
}


class ConsoleFiles:
    """All of them are read once, so no path of a request is ever one of the file system."""

    def __init__(self) -> None:
        self._files = dict(_read(resources.files("gateway.console") / "files"))

    async def entry(self, request: Request) -> Response:
        telemetry_of(request.scope).route = "console"
        # With the slash, so that relative addresses in it are under it.
        return RedirectResponse("/console/", status_code=308)

    async def file(self, request: Request) -> Response:
        telemetry_of(request.scope).route = "console"
        path: str = request.path_params["path"] or "index.html"
        body = self._files.get(path)
        if body is None:
            raise administration_errors.nothing_here()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {
            **_HEADERS,
            "content-type": _TYPES[path.rpartition(".")[2]],
            "etag": etag,
        }
        if request.headers.get("if-none-match", "").removeprefix("W/") == etag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers)


def _read(directory: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in directory.iterdir():
        name = f"{prefix}{each.name}"
        if each.is_dir():
            found += _read(each, f"{name}/")
        elif name.rpartition(".")[2] in _TYPES:
            found.append((name, each.read_bytes()))
    return found
