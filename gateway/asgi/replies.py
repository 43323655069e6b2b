"""The two ways an answer reaches its client: event by event, or whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from starlette.types import Send

from gateway.asgi.answers import json_answer
from gateway.quota.headers import reservation_headers
from gateway.quota.reservation import Reservation
from gateway.responses import sse
from gateway.responses.errors import ApiError
from gateway.responses.events import Event, Json, ResponseCompleted, ResponseIncomplete


class Encoder(Protocol):
    """Spells the events of one response for a stream."""

    def encode(self, event: Event) -> bytes:
        """What is to be sent in one write; empty when the event is none of the client's."""


class StreamReply:
    """Server-sent events. What an event makes is one write: see `EventEncoder.encode`."""

    def __init__(
        self,
        send: Send,
        encoder: Encoder,
        headers: Mapping[str, str],
        *,
        send_body: Send,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        """*send_body*: what is behind *send*, once the answer has begun. *on_start* is called when
        the generation begins."""
        self._headers = headers
        self._on_start = on_start
        self._send = send
        self._send_body = send_body
        self._encoder = encoder
        self._last_sent_at = time.monotonic()
        self._started = False
        self._ended = False

    async def start(self, reservation: Reservation) -> None:
        self._on_start()
        headers = {
            "content-type": "text/event-stream",
            "cache-control": "no-cache",
            # nginx would gather events into buffers.
            "x-accel-buffering": "no",
            **reservation_headers(reservation),
            **self._headers,
        }
        await self._send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
        )
        self._started = True

    async def send(self, events: Sequence[Event]) -> None:
        for event in events:
            if data := self._encoder.encode(event):
                await self._write(data)

    async def fail(self, error: ApiError, events: Sequence[Event]) -> None:
        await self.send(events)
        await self.end()

    async def end(self) -> None:
        """The last bytes. May be repeated."""
        if self._ended:
            return
        self._ended = True
        await self._send_body({"type": "http.response.body", "body": sse.DONE, "more_body": False})

    @contextmanager
    def kept_alive(self, interval_s: float) -> Iterator[None]:
        """Within, write a comment whenever nothing was written for *interval_s*.

        Proxies close connections on which nothing moves. A timer looks, for a task of each
        stream that sleeps nearly always is kilobytes of each.
        """
        loop = asyncio.get_running_loop()
        comment: asyncio.Task[None] | None = None
        timer = loop.call_later(interval_s, lambda: look())

        def look() -> None:
            nonlocal comment, timer
            silent_s = time.monotonic() - self._last_sent_at
            if silent_s >= interval_s:
                silent_s = 0
                # While one is on its way nobody reads: more of them would wait behind it.
                if self._started and not self._ended and (comment is None or comment.done()):
                    comment = loop.create_task(self._comment())
            timer = loop.call_later(max(interval_s - silent_s, 0.01), look)

        try:
            yield
        finally:
            timer.cancel()
            if comment is not None:
                comment.cancel()

    async def _comment(self) -> None:
        # The answer may end while this waits for its client to read: then it is too late.
        with suppress(RuntimeError):
            if not self._ended:
                await self._write(sse.KEEP_ALIVE)

    async def _write(self, data: bytes) -> None:
        self._last_sent_at = time.monotonic()
        await self._send_body({"type": "http.response.body", "body": data, "more_body": True})


class WholeReply:
    """One JSON object, when the response has ended. A failure is an HTTP error."""

    def __init__(
        self,
        send: Send,
        spelled: Callable[[Json], Json],
        headers: Mapping[str, str],
        *,
        send_body: Send,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        """*spelled* makes the object to send from the response that has ended; *send_body* and
        *on_start* as above."""
        self._on_start = on_start
        self._send = send
        self._send_body = send_body
        self._spelled = spelled
        self._headers = dict(headers)
        self._response: Json | None = None

    async def start(self, reservation: Reservation) -> None:
        self._on_start()
        self._headers |= reservation_headers(reservation)

    async def send(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, ResponseCompleted | ResponseIncomplete):
                self._response = event.response

    async def fail(self, error: ApiError, events: Sequence[Event]) -> None:
        error.headers.update(self._headers)
        raise error

    async def end(self) -> None:
        assert self._response is not None, "the response ended without its last event"
        answer = json_answer(self._spelled(self._response), headers=self._headers)
        await self._send(
            {"type": "http.response.start", "status": 200, "headers": answer.raw_headers}
        )
        await self._send_body({"type": "http.response.body", "body": answer.body})
