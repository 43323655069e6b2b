"""Workers come and go with the addresses of a name."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import anyio
import pytest

from gateway.upstream.endpoints import Endpoints
from gateway.upstream.engine import TritonEngine
from gateway.upstream.workers import FORGET_AFTER_S, WorkerPool
from tests.gateway.upstream.conftest import GENERATION, until
from tests.gateway.upstream.fake_triton import FakeTriton, Stream


class Names:
    """A resolver whose answers change."""

    def __init__(self) -> None:
        self.addresses: Sequence[str] | None = []  # None: no answer

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        if self.addresses is None:
            raise socket.gaierror(f"{host} is not known")
        return self.addresses


async def test_a_name_has_the_addresses_that_this_machine_finds() -> None:
    endpoints = Endpoints(["dns:localhost:8001", "127.0.0.1:8001", "127.0.0.1:8002"])

    found = await endpoints.addresses()

    assert found.count("127.0.0.1:8001") == 1
    assert set(found) <= {"127.0.0.1:8001", "[::1]:8001", "127.0.0.1:8002"}


async def test_a_name_without_an_answer_keeps_its_addresses_and_is_complained_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = Names()
    endpoints = Endpoints(["dns:workers:8001"], resolve=names)
    names.addresses = ["10.0.0.1:8001", "10.0.0.2:8001"]
    assert await endpoints.addresses() == names.addresses

    names.addresses = None
    for _ in range(3):
        assert await endpoints.addresses() == ["10.0.0.1:8001", "10.0.0.2:8001"]

    assert ["cannot be resolved" in record.message for record in caplog.records] == [True]


async def test_a_worker_that_is_gone_finishes_what_it_has_and_a_new_one_is_taken_up() -> None:
    more = anyio.Event()

    async def script(stream: Stream) -> None:
        await stream.send([1])
        await more.wait()
        await stream.send([2])
        await stream.finish()

    names = Names()
    async with FakeTriton(script) as old, FakeTriton(script) as new:
        names.addresses = [old.address]
        async with WorkerPool(Endpoints(["dns:workers:1"], resolve=names)) as pool:
            await pool.probe()
            engine = TritonEngine(pool)
            async with engine.generate(GENERATION) as chunks:
                await anext(chunks)
                names.addresses = [new.address]
                await pool.look_up()
                await pool.probe()
                assert [status.address for status in pool.statuses()] == [new.address]
                async with engine.generate(GENERATION) as others:
                    await anext(others)
                    more.set()
                    assert [each.token_ids async for each in chunks] == [(2,), ()]
                    assert len(new.asked) == 1
            await pool.look_up()  # which closes the connection to the old one
            await until(lambda: old.streams == 0)


async def test_a_worker_is_forgotten_when_it_has_long_been_gone_and_not_while_it_still_works() -> (
    None
):
    now = 1_000.0
    forgotten: list[str] = []
    names = Names()
    pool = WorkerPool(
        Endpoints(["dns:workers:1"], resolve=names),
        on_forgotten=forgotten.append,
        clock=lambda: now,
    )
    names.addresses = ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]
    async with pool, FakeTriton(Stream.hang) as busy:
        names.addresses.append(busy.address)
        await pool.look_up()
        await pool.probe()
        async with TritonEngine(pool).generate(GENERATION):
            names.addresses = ["127.0.0.1:1"]
            await pool.look_up()
            names.addresses = ["127.0.0.1:1", "127.0.0.1:2"]  # one is back, as itself or another
            now += FORGET_AFTER_S - 1
            await pool.look_up()
            assert forgotten == []
            now += 2
            await pool.look_up()
            await pool.look_up()
            assert forgotten == ["127.0.0.1:3"]

        await pool.look_up()
        now += FORGET_AFTER_S + 1
        await pool.look_up()
        assert forgotten == ["127.0.0.1:3", busy.address]
