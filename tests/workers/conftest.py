"""The vocabulary, and one Triton for all tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.stack.process import free_port
from tests.stack.triton import TritonPorts, start_triton
from tests.workers.triton_client import TritonClient
from workers.engines.simulator.plan import Planner
from workers.engines.simulator.tokenizer import Tokenizer

MAX_RUNNING = 8
MAX_QUEUED = 4


@pytest.fixture(scope="session")
async def one_event_loop() -> AsyncIterator[None]:
    """For tests with grpc.aio, whose poller never forgets a loop, not even a closed one."""
    yield


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer()


@pytest.fixture(scope="session")
def planner(tokenizer: Tokenizer) -> Planner:
    return Planner(tokenizer, obey_directives=True)


@pytest.fixture(scope="session")
def triton_ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonPorts]:
    ports = TritonPorts(grpc=free_port(), http=free_port(), metrics=free_port())
    settings = {
        "WORKER_SIMULATOR_DIRECTIVES": "1",
        "WORKER_SIMULATOR_FIRST_TOKEN_MS": "5",
        "WORKER_SIMULATOR_TOKENS_PER_SECOND": "2000",
        "WORKER_MAX_RUNNING": str(MAX_RUNNING),
        "WORKER_MAX_QUEUED": str(MAX_QUEUED),
        "WORKER_CONTEXT_TOKENS": "4096",
        "WORKER_GRAMMAR_TIMEOUT_MS": "20000",  # a busy machine is no reason to refuse
        # The contract says 5 s; a test should not have to wait for that.
        "WORKER_HEARTBEAT_MS": "200",
    }
    with start_triton(ports, tmp_path_factory.mktemp("triton"), env=settings):
        yield ports


@pytest.fixture
async def triton(
    triton_ports: TritonPorts, tokenizer: Tokenizer, one_event_loop: None
) -> AsyncIterator[TritonClient]:
    async with TritonClient(triton_ports, tokenizer) as client:
        await client.idle()  # what an earlier test cancelled may still be there
        yield client
