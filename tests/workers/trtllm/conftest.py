"""The engine on the fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from tests.workers.trtllm.fake_llm import Defects, FakeTrtllm, script
from workers.engine import TokenLogprob
from workers.engines.simulator.tokenizer import Tokenizer
from workers.engines.trtllm.configuration import Configuration
from workers.engines.trtllm.engine import TensorRtLlm
from workers.engines.trtllm.presets import PRESETS
from workers.settings import GrammarSettings

GRAMMAR = GrammarSettings(timeout_ms=20_000)  # a busy machine is no reason to refuse
CONFIGURATION = Configuration(
    model="/models/gpt-oss-120b",
    layout=replace(PRESETS["h100-tp2"], max_num_tokens=64),
    max_running=4,
    context_tokens=512,
    warm_up=False,
)
PATIENCE_S = 20


@dataclass
class Heard:
    """A Sink that keeps what it hears."""

    cached: list[int] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    anything: asyncio.Event = field(default_factory=asyncio.Event)

    def started(self, cached_tokens: int) -> None:
        assert not self.cached
        self.cached.append(cached_tokens)

    def tokens(self, token_ids: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> None:
        assert self.cached
        assert token_ids
        assert len(logprobs) in (0, len(token_ids))
        self.token_ids += token_ids
        self.logprobs += logprobs
        self.anything.set()

    def silence(self) -> None:
        raise AssertionError


@dataclass
class Rig:
    engine: TensorRtLlm
    trtllm: FakeTrtllm


MakeRig = Callable[..., AbstractAsyncContextManager[Rig]]


@pytest.fixture
def rig(tokenizer: Tokenizer) -> MakeRig:
    """A loaded engine whose model says *turns*."""

    @asynccontextmanager
    async def make(
        *turns: str, configuration: Configuration = CONFIGURATION, **defects: bool | str
    ) -> AsyncIterator[Rig]:
        said = turns or ("<|channel|>final<|message|>Hello there.<|return|>",)
        trtllm = FakeTrtllm(script(tokenizer, *said), tokenizer, Defects(**defects))  # type: ignore[arg-type]
        engine = TensorRtLlm(configuration, grammar=GRAMMAR, load_library=trtllm)
        async with asyncio.timeout(PATIENCE_S):
            await engine.load()
            try:
                yield Rig(engine, trtllm)
            finally:
                await engine.close()

    return make
