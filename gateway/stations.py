"""What the stations of a request work with, and what they ask of it: no code, only shapes.

`create_response.py` is written against these; `app.py` fills them in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.generation import Chunk, Generation, GenerationWatch
from gateway.harmony.conversation import Conversation
from gateway.quota.estimate import UsualOutput
from gateway.quota.reservation import Refused, Reservation, Stale
from gateway.quota.service_tier import ServiceTier
from gateway.quota.usage import Usage
from gateway.responses.constraint import SentSchema
from gateway.responses.errors import ApiError
from gateway.responses.events import Event
from gateway.responses.sealing import Seal

Outcome = Literal["completed", "incomplete", "failed", "cancelled"]


class StoreUnavailable(Exception):
    """Redis cannot be asked, or does not answer in time. The text is for logs, never for a tenant.

    Whether a write has happened is unknown; ours may all be said again.
    """


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and for which project: the answer of station 2."""

    kid: str
    project_id: str
    config_version: int  # of the project, when the caller was authenticated
    # The same caller as it is now. Raises ApiError if it may no longer ask, StoreUnavailable if
    # nobody can say.
    refreshed: Callable[[], Awaitable[Caller]]
    # Whether there are models or tiers that it may not ask for: then ask again, once they are known.
    depends_on_body: bool = False
    tier: ServiceTier = ServiceTier.DEFAULT
    patience_s: float | None = None  # when its client hangs up, if it has said so


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What this deployment serves, and how much of it."""

    name: str
    context_tokens: int
    default_max_output_tokens: int
    max_duration_s: float
    current_date: str | None = None  # YYYY-MM-DD; None = today, UTC


class Tokenizer(Protocol):
    async def render(
        self,
        conversation: Callable[[], Conversation],
        *,
        project_id: str,
        body_bytes: int,
        max_tokens: int,
    ) -> Sequence[int]:
        """Raises what *conversation* raises, and TooManyTokens."""

    @property
    def token_bytes(self) -> Callable[[int], bytes]: ...


class Schemas(Protocol):
    """Knows which JSON schemas an engine can enforce."""

    async def check(self, project_id: str, schemas: Sequence[SentSchema]) -> None:
        """Raises ApiError: 400 naming one that it cannot."""


class Ledger(Protocol):
    async def reserve(
        self,
        *,
        lease_id: str,
        project_id: str,
        config_version: int,
        kid: str,
        model: str,
        input_tokens: int,
        output_tokens: int,
        max_output_tokens: int,
        clampable: bool,
        tier: ServiceTier,
        floor: int,
    ) -> Reservation | Refused | Stale: ...

    async def is_current(self, project_id: str, *, kid: str, config_version: int) -> bool:
        """Whether what a caller was authenticated under still holds, as far as anybody knows."""


class Leases(Protocol):
    """Keeps the leases of open requests from ending."""

    def held(
        self, reservation: Reservation, charged: Callable[[], Usage]
    ) -> AbstractContextManager[None]: ...


class Settler(Protocol):
    """Charges a response exactly once, now or later; raises nothing."""

    async def settle(self, reservation: Reservation, usage: Usage, *, status: str) -> None: ...


class Scheduler(Protocol):
    """Gives out the places that the workers have, fairly by project."""

    def check(self, project_id: str, tier: ServiceTier) -> None:
        """Raises ApiError, 429, if one more could not even wait."""

    def floor(self, project_id: str, tier: ServiceTier) -> int:
        """The virtual time that the ledger should lift the project's to."""

    def slot(
        self,
        reservation: Reservation,
        *,
        served: Callable[[], Usage],
        client_patience_s: float | None,
    ) -> AbstractAsyncContextManager[None]:
        """Entering waits for a place, and raises ApiError, 429, if there is none in time."""


class Engine(Protocol):
    def generate(
        self, generation: Generation, watch: GenerationWatch
    ) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]: ...


class Reply(Protocol):
    """Where the answer goes: a stream of events, or one JSON object."""

    async def start(self, reservation: Reservation) -> None: ...

    async def send(self, events: Sequence[Event]) -> None: ...

    async def fail(self, error: ApiError, events: Sequence[Event]) -> None:
        """The response has failed; *events* are its last. May raise *error* instead."""


class Observer(GenerationWatch, Protocol):
    """Who watches one request pass its stations."""

    def validated(self) -> None: ...

    def rendered(self, input_tokens: int) -> None: ...

    def admitted(self, reservation: Reservation) -> None: ...

    def scheduled(self) -> None:
        """It has a place with the workers."""

    def received(self, chunk: Chunk) -> None: ...

    def dropped(self, kind: Literal["tool", "item_reference", "call"], count: int) -> None:
        """The request is, or was, served without these."""

    def ended(self, outcome: Outcome, usage: Usage, error: ApiError | None) -> None:
        """*error* is what the client was told, when the outcome is "failed"."""


class Interruption(Protocol):
    """Whether what was done within it was cut short, because this process ends."""

    @property
    def was_cut(self) -> bool: ...


class InFlight(Protocol):
    def generation(self, max_s: float) -> AbstractContextManager[Interruption]:
        """Around a generation, which is cut short when this process ends before it; and left
        after *max_s* seconds."""


@dataclass(frozen=True, slots=True)
class Stations:
    """What the stations work with; built once, in `app.py`."""

    model: ModelSettings
    schemas: Schemas
    tokenizer: Tokenizer
    ledger: Ledger
    usual_output: UsualOutput
    leases: Leases
    settler: Settler
    scheduler: Scheduler
    engine: Engine
    in_flight: InFlight
    seal: Seal
