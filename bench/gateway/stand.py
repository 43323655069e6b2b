"""The test stand: the product, the floor beside it, and how CPU time is read."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from bench.gateway.load import Ask, OpenStreams, to_floor, to_product
from gateway.harmony.encoding import Encoding
from gateway.harmony.render import encode, render
from gateway.responses.prompt import to_conversation
from gateway.responses.request import CreateResponse
from gateway.responses.validation import validated
from tests.stack.gateway import gateway_python, start_gateway
from tests.stack.process import Process, free_port
from tests.stack.product import PEPPERS, Product, running_product
from tests.stack.resources import cpu_s
from wire.vocabulary import load_ranks

# From the last stream's beginning until it is measured: what starting costs is over.
SETTLE_S = 2.0

_WORKER = {
    "WORKER_SIMULATOR_FIRST_TOKEN_MS": "0",
    "WORKER_SIMULATOR_TOKENS_PER_SECOND": "0",
    "WORKER_SIMULATOR_DIRECTIVES": "1",
    "WORKER_MAX_RUNNING": "1200",
}


@dataclass(frozen=True, slots=True)
class Stand:
    """What runs, and how long it is measured."""

    product: Product
    floor: Process
    floor_url: str
    key: str  # of the tenant whose requests are measured
    encoding: Encoding
    directory: Path
    rounds: int
    seconds: float

    @classmethod
    @contextmanager
    def running(cls, directory: Path, *, rounds: int, seconds: float) -> Iterator[Stand]:
        """Start product and floor; stop them at the end."""
        with running_product(directory, worker_env=_WORKER) as product:
            port = free_port()
            floor = Process(
                "The floor",
                [gateway_python(), "-m", "bench.gateway.floor", str(port), product.triton_address],
                log=directory / "floor.log",
            )
            url = f"http://127.0.0.1:{port}"
            try:
                floor.wait_until(lambda: _answers(url), timeout_s=30)
                yield cls(
                    product=product,
                    floor=floor,
                    floor_url=url,
                    key=product.new_project().key,
                    encoding=Encoding(load_ranks()),
                    directory=directory,
                    rounds=rounds,
                    seconds=seconds,
                )
            finally:
                floor.stop()

    @contextmanager
    def another_gateway(self) -> Iterator[tuple[str, int]]:
        """A second replica: its URL and pid."""
        port = free_port()
        with start_gateway(
            port,
            free_port(),
            self.directory / "second",
            redis_url=self.product.redis_url,
            workers=self.product.triton_address,
            peppers=PEPPERS,
        ) as gateway:
            yield f"http://127.0.0.1:{port}", gateway.pid

    def another_product(self) -> AbstractContextManager[Product]:
        """One that shares nothing with this but the machine."""
        return running_product(self.directory / "stranger", worker_env=_WORKER)

    def of_product(self, **fields: object) -> Ask:
        return to_product(self.product.url, self.key, **fields)

    def of_floor(self, input_: str) -> Ask:
        """The same prompt as the product makes of *input_*."""
        return to_floor(self.floor_url, self.prompt(input_))

    def prompt(self, input_: str) -> Sequence[int]:
        request = validated(CreateResponse, {"model": "gpt-oss-120b", "input": input_})
        today = datetime.now(UTC).strftime("%Y-%m-%d")
        return encode(render(to_conversation(request, today, str)), self.encoding.encode_text)

    async def cpu_of(self, pid: int, streams: OpenStreams) -> tuple[float, int]:
        """Seconds of CPU and chunks, while *streams* are open."""
        before_s, chunks = cpu_s(pid), streams.chunks
        await asyncio.sleep(self.seconds)
        return cpu_s(pid) - before_s, streams.chunks - chunks


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def _answers(url: str) -> bool:
    try:
        httpx.post(url, content=b"1", timeout=5)
    except httpx.HTTPError:
        return False
    return True
