"""GET /console: the web console's files. What it shows, a browser asks the admin API for."""

from __future__ import annotations

from importlib import resources
from importlib.abc import Traversable

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.asgi.boundary import telemetry_of
from gateway.asgi.kept_file import KeptFile
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
}


class ConsoleFiles:
    """All of them are read once, so no path of a request is ever one of the file system."""

    def __init__(self) -> None:
        self._files = {
            name: KeptFile(body, {**_HEADERS, "content-type": _TYPES[name.rpartition(".")[2]]})
            for name, body in _read(resources.files("gateway.console") / "files")
        }

    async def entry(self, request: Request) -> Response:
        telemetry_of(request.scope).route = "console"
        # With the slash, so that relative addresses in it are under it.
        return RedirectResponse("/console/", status_code=308)

    async def file(self, request: Request) -> Response:
        telemetry_of(request.scope).route = "console"
        path: str = request.path_params["path"] or "index.html"
        file = self._files.get(path)
        if file is None:
            raise administration_errors.nothing_here()
        return file.answer(request)


def _read(directory: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in directory.iterdir():
        name = f"{prefix}{each.name}"
        if each.is_dir():
            found += _read(each, f"{name}/")
        elif name.rpartition(".")[2] in _TYPES:
            found.append((name, each.read_bytes()))
    return found
