"""Waiting for a place with the workers: who gets it, who is refused, who leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import anyio
import pytest

from gateway.quota.reservation import RateLimitState, Reservation
from gateway.quota.service_tier import ServiceTier
from gateway.quota.usage import NOTHING, Usage
from gateway.responses.errors import ApiError
from gateway.scheduler import ABOUT_S, BACK_S, MIN_QUEUE, QueueLimits, Scheduler

PATIENT = QueueLimits(patience_s=60)


@dataclass
class Workers:
    """A Capacity of so many places."""

    places: int = 1
    up: bool = True

    def ready(self) -> bool:
        return self.up

    def slots(self) -> int:
        return self.places

    def room(self, in_flight: int) -> int:
        return max(0, self.places - in_flight) if self.up else 0


@dataclass
class Play:
    """Requests of projects, told by their names, against one scheduler."""

    workers: Workers = field(default_factory=Workers)
    limits: QueueLimits = PATIENT
    refusals: list[tuple[str, str]] = field(default_factory=list)
    served: list[str] = field(default_factory=list)
    errors: dict[str, ApiError] = field(default_factory=dict)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(
            self.workers, self.limits, observer=self, clock=lambda: self.now, jitter=lambda: 0
        )
        self._ended: dict[str, anyio.Event] = {}

    def refused(self, tier: ServiceTier, reason: str) -> None:
        self.refusals.append((tier.value, reason))

    async def request(
        self,
        name: str,
        *,
        tier: ServiceTier = ServiceTier.DEFAULT,
        virtual_time: int | None = 0,
        client_patience_s: float | None = None,
        usage: Usage = NOTHING,
    ) -> None:
        """One request of the project that its first letter names, until end(name)."""
        self._ended[name] = anyio.Event()
        try:
            async with self.scheduler.slot(
                reservation(name, tier, virtual_time),
                served=lambda: usage,
                client_patience_s=client_patience_s,
            ):
                self.served.append(name)
                await self._ended[name].wait()
        except ApiError as error:
            self.errors[name] = error

    def end(self, *names: str) -> None:
        for name in names:
            self._ended[name].set()

    @property
    def waiting(self) -> int:
        return sum(self.scheduler.waiting_by_tier().values())

    async def until(self, holds: Callable[[], bool]) -> None:
        with anyio.fail_after(5):
            while not holds():
                await anyio.lowlevel.checkpoint()


def reservation(name: str, tier: ServiceTier, virtual_time: int | None) -> Reservation:
    return Reservation(
        lease_id=name,
        project_id=name[0],
        kid="k",
        model="m",
        input_tokens=100,
        output_tokens=100,
        max_output_tokens=1000,
        admitted_at_ms=0,
        day=0,
        month=197001,
        rate_limits=RateLimitState(None, None),
        tier=tier,
        virtual_time=virtual_time,
    )


async def test_a_free_place_is_had_at_once_and_the_next_one_when_it_is_given_back() -> None:
    play = Play()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(play.request, "a1")
        await play.until(lambda: play.served == ["a1"])
        tasks.start_soon(play.request, "a2")
        await play.until(lambda: play.waiting == 1)
        play.end("a1")
        await play.until(lambda: play.served == ["a1", "a2"])
        assert play.scheduler.in_service == 1
        play.end("a2")
    assert play.scheduler.in_service == play.waiting == 0
    assert not play.refusals


async def test_a_crowd_of_one_project_is_passed_by_another_one() -> None:
    play = Play()
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(partial(play.request, f"a{number}", usage=Usage(100, 0, 100, 0)))
        await play.until(lambda: play.waiting == 19)
        tasks.start_soon(play.request, "b")
        await play.until(lambda: play.waiting == 20)
        play.end("a0")
        await play.until(lambda: len(play.served) == 2)
        assert play.served == ["a0", "b"]
        tasks.cancel_scope.cancel()
    assert play.scheduler.in_service == play.waiting == 0


async def test_a_few_places_stay_free_for_who_has_little_to_ask_for() -> None:
    play = Play(Workers(places=32))
    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(play.request, f"a{number}")
        await play.until(lambda: play.waiting == 8)
        assert play.scheduler.in_service == 32, "nobody else is about"

        tasks.start_soon(play.request, "b0")
        await play.until(lambda: play.waiting == 9)
        play.end(*(f"a{number}" for number in range(5)))
        await play.until(lambda: play.served[-1] == "b0" and play.scheduler.in_service == 28)
        assert play.waiting == 8, "one more of a would be more than its half"

        tasks.start_soon(play.request, "b1")
        await play.until(lambda: play.served[-1] == "b1")
        assert play.scheduler.in_service == 29, "and did not wait"

        play.now += ABOUT_S + 1
        play.scheduler.fill()
        assert play.scheduler.in_service == 32, "nobody else has come for long"
        await play.until(lambda: play.served[-1][0] == "a")
        tasks.cancel_scope.cancel()


async def test_news_of_the_workers_opens_places() -> None:
    play = Play(Workers(places=0))
    async with anyio.create_task_group() as tasks:
        for name in ("a", "b", "c"):
            tasks.start_soon(play.request, name)
        await play.until(lambda: play.waiting == 3)
        play.workers.places = 2
        play.scheduler.fill()
        await play.until(lambda: play.served == ["a", "b"])
        play.end("a", "b")
        await play.until(lambda: play.served == ["a", "b", "c"])
        play.end("c")


async def test_priority_goes_first_and_flex_last() -> None:
    play, usage = Play(), Usage(100, 0, 100, 0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(play.request, "x")
        await play.until(lambda: play.served == ["x"])
        for tier in (ServiceTier.FLEX, ServiceTier.DEFAULT, ServiceTier.PRIORITY):
            for number in range(20):
                name = f"{tier.value[0]}{number}"
                tasks.start_soon(partial(play.request, name, tier=tier, usage=usage))
        await play.until(lambda: play.waiting == 60)
        for count in range(22):
            await play.until(partial(lambda count: len(play.served) == count + 1, count))
            play.end(play.served[-1])
        await play.until(lambda: len(play.served) == 23)
        names = [name[0] for name in play.served[1:]]
        assert [names.count(tier) for tier in "pdf"] == [16, 4, 2]
        assert "f" in names[:3], "each has a first turn"
        tasks.cancel_scope.cancel()


async def test_who_has_waited_too_long_hears_when_to_come_back() -> None:
    play = Play(Workers(places=0), QueueLimits(patience_s=0))
    await play.request("a")
    error = play.errors["a"]
    assert (error.status, error.code) == (429, "engine_overloaded")
    assert error.headers["retry-after"] == "1"
    assert play.refusals == [("default", "timeout")]
    assert play.waiting == 0


async def test_a_client_that_hangs_up_earlier_is_told_earlier() -> None:
    play = Play(Workers(places=0))
    await play.request("a", client_patience_s=0)
    assert play.refusals == [("default", "timeout")]


async def test_a_full_line_refuses_its_own_project_only() -> None:
    play = Play(limits=QueueLimits(per_project=2, patience_s=60))
    async with anyio.create_task_group() as tasks:
        for name in ("a1", "a2", "a3", "a4", "b1"):
            tasks.start_soon(play.request, name)
        await play.until(lambda: play.waiting == 3)
        assert list(play.errors) == ["a4"]
        with pytest.raises(ApiError):
            play.scheduler.check("a", ServiceTier.DEFAULT)
        play.scheduler.check("a", ServiceTier.FLEX)
        play.scheduler.check("b", ServiceTier.DEFAULT)
        tasks.cancel_scope.cancel()
    assert {reason for _, reason in play.refusals} == {"project_full"}


async def test_when_everything_is_full_the_longest_line_makes_room() -> None:
    play = Play()
    async with anyio.create_task_group() as tasks:
        for number in range(MIN_QUEUE + 1):
            tasks.start_soon(play.request, f"a{number:02}")
        await play.until(lambda: play.waiting == MIN_QUEUE)
        tasks.start_soon(play.request, "b")
        await play.until(lambda: bool(play.errors))
        assert list(play.errors) == [f"a{MIN_QUEUE}"]
        assert play.waiting == MIN_QUEUE
        assert play.refusals == [("default", "displaced")]
        tasks.cancel_scope.cancel()


async def test_retry_after_is_how_long_the_queue_takes() -> None:
    play = Play(limits=QueueLimits(per_project=3, patience_s=60))
    async with anyio.create_task_group() as tasks:
        for turn in range(60):  # each holds its place for 4 s
            tasks.start_soon(play.request, f"a{turn}")
            await play.until(lambda turn=turn: len(play.served) == turn + 1)  # type: ignore[misc]
            play.now += 4
            play.end(f"a{turn}")
            await play.until(lambda: play.scheduler.in_service == 0)
        for number in range(60, 65):
            tasks.start_soon(play.request, f"a{number}")
        await play.until(lambda: "a64" in play.errors)
        assert play.errors["a64"].headers["retry-after"] == "10"  # of the twelve, at most
        tasks.cancel_scope.cancel()


async def test_nobody_waits_for_workers_that_are_not_there() -> None:
    """They are let through, to be told by the engine that there is none."""
    play = Play(Workers(up=False))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(play.request, "a")
        await play.until(lambda: play.served == ["a"])
        play.end("a")
    assert play.scheduler.in_service == 0


async def test_who_waited_while_the_last_worker_died_hears_it_in_the_end() -> None:
    play = Play(Workers(places=0), QueueLimits(patience_s=0.05))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(play.request, "a")
        await play.until(lambda: play.waiting == 1)
        play.workers.up = False
        await play.until(lambda: play.served == ["a"])
        play.end("a")
    assert not play.errors


async def test_who_waits_for_workers_that_stay_away_hears_it_long_before_its_patience_ends() -> (
    None
):
    play = Play(Workers(places=0))
    async with anyio.create_task_group() as tasks:
        for name in ("a", "b"):
            tasks.start_soon(play.request, name)
        await play.until(lambda: play.waiting == 2)
        play.workers.up = False
        play.scheduler.fill()  # the first probe that was not answered
        play.now += BACK_S
        play.scheduler.fill()
        assert play.waiting == 2

        play.workers.up = True
        play.scheduler.fill()  # it was back, and is gone again
        play.workers.up = False
        play.now += 1
        play.scheduler.fill()
        assert play.waiting == 2

        play.now += BACK_S + 1
        play.scheduler.fill()
        await play.until(lambda: sorted(play.served) == ["a", "b"])
        play.end("a", "b")
    assert not play.errors


async def _leaves_while_waiting(play: Play) -> None:
    with anyio.move_on_after(0):
        await play.request("b")


async def _is_cancelled_with_its_place_in_hand(play: Play) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(play.request, "b")
            await play.until(lambda: play.waiting == 1)
            play.workers.places += 1
            play.scheduler.fill()  # decided, but nobody has woken up yet
            scope.cancel()


@pytest.mark.parametrize("leaving", [_leaves_while_waiting, _is_cancelled_with_its_place_in_hand])
async def test_a_client_that_leaves_gives_back_what_it_has(
    leaving: Callable[[Play], Awaitable[None]],
) -> None:
    play = Play()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(play.request, "a")
        await play.until(lambda: play.served == ["a"])
        await leaving(play)
        assert play.waiting == 0
        assert play.scheduler.in_service == 1
        play.end("a")
    assert play.scheduler.in_service == 0


async def test_a_generation_that_fails_gives_its_place_back() -> None:
    scheduler = Scheduler(Workers())
    with pytest.raises(ZeroDivisionError):
        async with scheduler.slot(reservation("a", ServiceTier.DEFAULT, 0), served=lambda: NOTHING):
            raise ZeroDivisionError
    assert scheduler.in_service == 0


async def test_without_a_store_each_gateway_is_fair_by_itself() -> None:
    play = Play()
    async with anyio.create_task_group() as tasks:

        async def ask(name: str, output_tokens: int) -> None:
            await play.request(name, virtual_time=None, usage=Usage(0, 0, output_tokens, 0))

        tasks.start_soon(ask, "a1", 10_000)
        await play.until(lambda: play.served == ["a1"])
        play.end("a1")
        await play.until(lambda: play.scheduler.in_service == 0)
        tasks.start_soon(ask, "c", 0)
        await play.until(lambda: play.served[-1] == "c")
        tasks.start_soon(ask, "a2", 10)
        tasks.start_soon(ask, "b1", 10)
        await play.until(lambda: play.waiting == 2)
        play.end("c")
        await play.until(lambda: play.served[-1] == "b1")
        play.end("b1")
        await play.until(lambda: play.served[-1] == "a2")
        play.end("a2")
