"""The batch: who advances, who waits, who has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.workers.prompts import engine_request, user
from workers.engine import Ending, EngineFailed, EngineLoad, EngineTotals, Stopped, TokenLogprob
from workers.engines.simulator.engine import Simulator
from workers.engines.simulator.prefix_cache import BLOCK_TOKENS
from workers.engines.simulator.tokenizer import Tokenizer
from workers.settings import SimulatorSettings

_ENDLESS = 'SIM: {"repeat": 100000, "tokens_per_second": 500}'


class Heard:
    """A sink that remembers."""

    def __init__(self, on_tokens: Callable[[], object] = lambda: None) -> None:
        self.cached_tokens: int | None = None
        self.token_ids: list[int] = []
        self.logprobs: list[TokenLogprob] = []
        self.silenced = asyncio.Event()
        self._on_tokens = on_tokens

    def started(self, cached_tokens: int) -> None:
        self.cached_tokens = cached_tokens

    def tokens(self, token_ids: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> None:
        self.token_ids += token_ids
        self.logprobs += logprobs
        self._on_tokens()

    def silence(self) -> None:
        self.silenced.set()


@pytest.fixture(params=["", "h200-tp1"], ids=["fixed pace", "pace of a GPU"], autouse=True)
def _preset(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of this holds at either pace."""
    monkeypatch.setitem(_PACE, "preset", request.param)


_PACE = {"preset": ""}


@asynccontextmanager
async def _simulator(*, max_running: int = 4) -> AsyncIterator[Simulator]:
    settings = SimulatorSettings(
        first_token_ms=0, tokens_per_second=0, preset=_PACE["preset"], speed=0, directives=True
    )
    simulator = Simulator(settings, max_running=max_running)
    await simulator.load()
    yield simulator
    await simulator.close()


async def test_a_generation_comes_out_whole_and_leaves_nothing_behind(
    tokenizer: Tokenizer,
) -> None:
    heard = Heard()
    request = engine_request(tokenizer, user('SIM: {"reasoning": "", "text": "hello"}'))
    async with _simulator() as simulator:
        ending = await simulator.generate(request, heard)

        load = simulator.load_now()
        # Only what has the pace of a GPU has steps: a token each.
        assert load.totals.iterations == (len(heard.token_ids) if _PACE["preset"] else 0)
        assert load == EngineLoad(0, 0, 1.0, totals=load.totals)
    assert ending == Stopped(200002)
    assert tokenizer.decode(heard.token_ids) == "<|channel|>final<|message|>hello<|return|>"
    assert heard.cached_tokens == 0


async def test_where_the_time_of_generations_went_is_told_as_an_engine_would(
    tokenizer: Tokenizer,
) -> None:
    directive = 'SIM: {"queue_ms": 30, "first_token_ms": 40, "tokens_per_second": 100, "repeat": 5}'
    request = engine_request(tokenizer, user(f"{directive}\n{'and so on ' * 40}"))
    async with _simulator() as simulator:
        await simulator.generate(request, Heard())
        await simulator.generate(request, heard := Heard())
        totals = simulator.load_now().totals
    if not _PACE["preset"]:
        assert totals == EngineTotals()
        return
    assert totals.queue_s >= 2 * 0.03
    assert totals.prefill_s >= 2 * 0.04
    # A token is held back from the one before: the loop may catch up with what it was late.
    assert totals.decode_s >= (len(heard.token_ids) - 1) / 100
    blocks = len(request.prompt) // BLOCK_TOKENS
    assert totals.reused_blocks + totals.missed_blocks == 2 * blocks
    assert totals.reused_blocks == (heard.cached_tokens or 0) // BLOCK_TOKENS > 0


async def test_the_batch_is_limited_and_the_queue_is_first_come_first_served(
    tokenizer: Tokenizer,
) -> None:
    order: list[int] = []
    async with _simulator(max_running=1) as simulator:

        async def generate(number: int) -> Ending:
            request = engine_request(tokenizer, user("Hi"))
            ending = await simulator.generate(request, Heard())
            order.append(number)
            return ending

        async with asyncio.TaskGroup() as tasks:
            for number in range(5):
                tasks.create_task(generate(number))
            await asyncio.sleep(0)  # each task is now in the queue
            assert simulator.load_now().queued == 5

    assert order == [0, 1, 2, 3, 4]


async def test_who_is_cancelled_in_the_middle_of_a_step_hears_no_more(
    tokenizer: Tokenizer,
) -> None:
    # The first one's tokens cancel the second one, which is due in the same step.
    request = engine_request(tokenizer, user(_ENDLESS), max_tokens=100)
    async with _simulator() as simulator, asyncio.TaskGroup() as tasks:
        heard = Heard()
        first = tasks.create_task(simulator.generate(request, Heard(lambda: second.cancel())))
        second = tasks.create_task(simulator.generate(request, heard))
        await first

        assert second.cancelled()
        assert heard.token_ids == []
        assert simulator.load_now().running == 0


async def test_a_failure_is_raised_after_its_tokens(tokenizer: Tokenizer) -> None:
    heard = Heard()
    request = engine_request(tokenizer, user('SIM: {"fail_after": 3}'))
    async with _simulator() as simulator:
        with pytest.raises(EngineFailed):
            await simulator.generate(request, heard)

    assert len(heard.token_ids) == 3


async def test_who_hangs_keeps_its_place_until_it_is_cancelled(tokenizer: Tokenizer) -> None:
    heard = Heard()
    request = engine_request(tokenizer, user('SIM: {"hang_after": 3}'))
    async with _simulator() as simulator, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(simulator.generate(request, heard))
        await heard.silenced.wait()
        assert simulator.load_now().running == 1
        task.cancel()

    assert len(heard.token_ids) == 3
    assert simulator.load_now().running == 0
