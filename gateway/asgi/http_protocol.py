"""HTTP/1.1 on one connection: uvicorn's httptools protocol, with bounds in size and in time.

Anybody may connect, so all of this holds before a key is known:

- Whatever the parser keeps, 64 kB at most: heads, trailers, chunk extensions; then 431.
- A head arrives in `header_timeout_s`, then 408; a connection on which nothing comes is closed.
- A request is answered as JSON, also one that is no HTTP.
- Upgrades (Java offers h2c) are not taken up: the request is served as it is.
- One request at a time: who sends the next one before the answer gets the first answer, and
  the connection is closed. Reading goes on, so that a client who leaves is noticed.
- A client that closes its sending side may still be answered: `_writes_will_tell`.

Why not h11: docs/decisions/0011-http-protocol.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from gateway.asgi.answers import error_answer
from gateway.asgi.boundary import new_request_id
from gateway.responses import errors
from gateway.responses.errors import ApiError
from gateway.telemetry.logs import FIELDS

MAX_HEAD_BYTES = 64 * 1024
# httptools joins a header's pieces in quadratic time, and tells nothing before its end:
# fed in slices, so that we can count.
_SLICE_BYTES = 16 * 1024
# For a client that we have refused to read its answer: closing at once, with bytes of its
# unread, would make the kernel take the answer back.
_LINGER_S = 2.0
# From a client's last byte to the beginning of its answer.
_HALF_CLOSED_S = 2.0


class HttpProtocol(HttpToolsProtocol):
    """Use `http_protocol`."""

    header_timeout_s: ClassVar[float]
    on_refused: ClassVar[Callable[[int, str], None]]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._listening = True
        self._in_head = False
        self._upgrade_offered = False
        # Since the parser last handed over something whole.
        self._kept_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None

    # What the transport tells.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listening = False
        self._unset_keepalive_if_required()
        for timer in (self._head_timer, self._end_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE_BYTES):
            if not self._listening or self.transport.is_closing():
                return
            piece = data[start : start + _SLICE_BYTES]
            self._kept_bytes += len(piece)
            self._feed(piece)
            if self._kept_bytes > MAX_HEAD_BYTES:
                self._refuse(errors.headers_too_large(MAX_HEAD_BYTES))

    def eof_received(self) -> bool:  # type: ignore[override]
        """True to keep the connection for the answer."""
        cycle = self._unanswered()
        # TLS has no half-closed connections.
        if cycle is None or cycle.more_body or self.scheme == "https":
            return False
        cycle.keep_alive = False
        self._end_timer = self.loop.call_later(_HALF_CLOSED_S, self._writes_will_tell, cycle)
        return True

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self._unanswered() is not None:
            self._stop_listening()
        if not self._listening:
            return
        # Not earlier, as uvicorn does: empty lines would keep a connection for ever.
        self._unset_keepalive_if_required()
        if self._head_timer is None:
            self._await_head()
        self._in_head = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._listening:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Else it is of a trailer, which nobody reads.
        if self._listening and self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._listening:
            return
        self._kept_bytes = 0
        self._in_head = False
        if self.parser.should_upgrade():
            self._upgrade_offered = True
            return
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._listening:
            self._kept_bytes = 0
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._listening and not self._upgrade_offered:
            self._kept_bytes = 0
            super().on_message_complete()

    # Ours.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.scope["http_version"] != "1.1":
            cycle.keep_alive = False
            app = _unchunked(app, cycle)
        super()._start_asgi_task(cycle, app)

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self.parser.get_method() == b"CONNECT":
                self._refuse(errors.invalid_http())
                return
            # The parser takes what follows for another protocol's: read it again, without
            # the offer.
            head = b"".join(self._head_without_upgrade())
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self._upgrade_offered = False
            self._feed(head)
            self._feed(data[offer.args[0] :])
        except httptools.HttpParserError:
            self._refuse(errors.invalid_http())

    def _head_without_upgrade(self) -> Iterator[bytes]:
        yield b"%s %s HTTP/%s\r\n" % (
            self.parser.get_method(),
            self.url,
            self.parser.get_http_version().encode(),
        )
        for name, value in self.headers:
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                value = b", ".join(o for o in options if o.lower() not in _OF_UPGRADES)
            if name not in _OF_UPGRADES:
                yield b"%s: %s\r\n" % (name, value.replace(b"\r", b" ").replace(b"\n", b" "))
        yield b"\r\n"

    def _unanswered(self) -> RequestResponseCycle | None:
        cycle: RequestResponseCycle | None = self.cycle
        return None if cycle is None or cycle.response_complete else cycle

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.header_timeout_s, self._head_is_late)

    def _head_is_late(self) -> None:
        if self._in_head:
            self._refuse(errors.request_timeout())
        else:
            self.transport.close()

    def _stop_listening(self) -> None:
        """Drop what comes from now on. The request that is being answered is the last one."""
        self._listening = False
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def _refuse(self, error: ApiError) -> None:
        """Answer instead of the application; the last thing on this connection."""
        if not self._listening:
            return
        cycle = self._unanswered()
        self._stop_listening()
        if cycle is not None:
            if not cycle.more_body:
                return  # a whole request, and rubbish after it
            if cycle.response_started:
                self.transport.close()
                return
            # Its body will never be whole.
            cycle.disconnected = True
            cycle.message_event.set()
        last: RequestResponseCycle | None = self.cycle
        # Not when it is about the rest of a request that has its answer already.
        if last is None or not last.response_complete or self._in_head:
            self._write_refusal(error, of_a_request=cycle is not None)
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._end_timer = self.loop.call_later(_LINGER_S, self.transport.close)
        else:
            self.transport.close()

    def _write_refusal(self, error: ApiError, *, of_a_request: bool) -> None:
        request_id = new_request_id()
        said = {"request_id": request_id, "status": error.status, "code": error.code}
        self.logger.info("request refused", extra={FIELDS: said})
        if not of_a_request:  # which is counted when it ends
            type(self).on_refused(error.status, error.code or error.type)
        answer = error_answer(error)
        headers = [
            *answer.raw_headers,
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[error.status] + lines + b"\r\n" + bytes(answer.body))

    def _writes_will_tell(self, cycle: RequestResponseCycle) -> None:
        """A client that has left looks like one that only said its last byte, until we write.

        A stream writes, if only a comment. A whole answer may take half an hour, and
        mostly its client has left: not generated for nobody.
        """
        if not cycle.response_started:
            self.transport.close()


_OF_UPGRADES = (b"upgrade", b"http2-settings")


def http_protocol(
    *,
    header_timeout_s: float,
    on_refused: Callable[[int, str], None] = lambda status, code: None,
) -> type[HttpProtocol]:
    """What uvicorn is to make of each connection. *on_refused* is told of what is no request, by
    status and error code."""
    options = {"header_timeout_s": header_timeout_s, "on_refused": staticmethod(on_refused)}
    return type("HttpProtocol", (HttpProtocol,), options)


def _unchunked(app: ASGIApp, cycle: RequestResponseCycle) -> ASGIApp:
    """For HTTP/1.0, which has no chunks: a body of unknown length ends with the connection."""

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_plain(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message.get("headers", ())}
                if b"content-length" not in names:
                    cycle.chunked_encoding = False
            elif cycle.chunked_encoding is False and cycle.expected_content_length == 0:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, send_plain)

    return plain
