"""Many ask for the same thing at once; one fetches it, the others wait for that answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

from gateway.store.errors import StoreUnavailable

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Flight(Generic[Answer]):
    landed: anyio.Event = field(default_factory=anyio.Event)
    answer: list[Answer] = field(default_factory=list)  # none or one
    failure: StoreUnavailable | None = None


class SingleFlight(Generic[Answer]):
    """Coalesces concurrent fetches of the same key.

    A failure is everybody's: were each to try again in turn, the last of a
    thousand would wait a thousand time-outs. If the task that fetches is
    cancelled, its client has left, not the others': one of them takes over.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[Answer]] = {}

    async def fetch(self, key: str, fetch: Callable[[], Awaitable[Answer]]) -> Answer:
        """What *fetch* returns, here or in another task. Raises StoreUnavailable."""
        while (flight := self._flights.get(key)) is not None:
            await flight.landed.wait()
            if flight.answer:
                return flight.answer[0]
            if flight.failure is not None:
                raise StoreUnavailable(str(flight.failure)) from flight.failure
        flight = self._flights[key] = _Flight()
        try:
            answer = await fetch()
            flight.answer.append(answer)
            return answer
        except StoreUnavailable as exc:
            flight.failure = exc
            raise
        finally:
            del self._flights[key]
            flight.landed.set()
