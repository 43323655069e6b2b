"""One connection for the scripts of all requests: whose answer is whose, and what ends it."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from gateway.store.connection import connect_for_scripts
from gateway.store.pipe import Pipe
from tests.gateway.store.conftest import until
from tests.stack.process import free_port
from tests.stack.redis import start_redis

TIMEOUT_S = 10.0


def _pipe(port: int, *, timeout_s: float = TIMEOUT_S, user: str = "") -> Pipe:
    pipe = connect_for_scripts(f"redis://{user}127.0.0.1:{port}", timeout_s=timeout_s)
    assert isinstance(pipe, Pipe)
    return pipe


@pytest.fixture
async def pipe(redis_port: int) -> AsyncIterator[Pipe]:
    async with _pipe(redis_port) as pipe:
        yield pipe


async def _ours(redis: Redis) -> list[dict[str, str]]:
    """Connections that call themselves as the gateway does."""
    return [each for each in await redis.client_list() if each["name"] == "llm-gateway"]


async def _answers(call: Callable[[], Awaitable[object]]) -> bool:
    try:
        await call()
    except (RedisError, OSError):
        return False
    return True


async def test_many_who_ask_at_once_share_a_connection_and_get_their_own_answers(
    pipe: Pipe, redis: Redis
) -> None:
    echo = pipe.register_script("return {KEYS[1], ARGV[1]}")
    answers: dict[int, object] = {}

    async def ask(number: int) -> None:
        answers[number] = await echo(keys=[f"key {number}"], args=[number])

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(ask, number)

    assert answers == {n: [f"key {n}".encode(), str(n).encode()] for n in range(100)}
    assert len(await _ours(redis)) == 1


async def test_who_leaves_takes_nobody_elses_answer(pipe: Pipe) -> None:
    """Its answer comes all the same."""
    echo = pipe.register_script("return ARGV[1]")
    await echo(keys=[], args=["the connection is there"])
    for number in range(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: echo(keys=[], args=["left"]))
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert await echo(keys=[], args=[number]) == str(number).encode()


async def test_who_leaves_before_there_is_a_connection_asks_nothing(
    redis_port: int, redis: Redis
) -> None:
    async with _pipe(redis_port) as pipe:
        count = pipe.register_script("return redis.call('INCR', KEYS[1])")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: count(keys=["asked"], args=[]))
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert await count(keys=["asked"], args=[]) == 1


async def test_what_a_script_gets_wrong_is_told_to_who_called_it(pipe: Pipe, redis: Redis) -> None:
    fails = pipe.register_script("return redis.call('INCR', KEYS[1], 'and more')")
    works = pipe.register_script("return 1")
    with pytest.raises(ResponseError, match="Wrong number of args"):
        await fails(keys=["k"], args=[])

    assert await works(keys=[], args=[]) == 1
    assert len(await _ours(redis)) == 1


async def test_a_script_that_redis_has_forgotten_is_sent_again(pipe: Pipe, redis: Redis) -> None:
    script = pipe.register_script("return 'it works'")
    assert await script(keys=[], args=[]) == b"it works"
    await redis.script_flush()
    assert await script(keys=[], args=[]) == b"it works"


async def test_a_redis_that_restarts_is_found_again(tmp_path: Path) -> None:
    port = free_port()
    async with _pipe(port) as pipe:
        script = pipe.register_script("return 1")
        for _ in range(2):
            with start_redis(port, tmp_path):
                await until(lambda: _answers(lambda: script(keys=[], args=[])))
            assert not await _answers(lambda: script(keys=[], args=[])), "it is gone"


async def test_all_who_wait_for_a_redis_that_dies_hear_of_it(tmp_path: Path) -> None:
    port = free_port()
    failed = 0
    with start_redis(port, tmp_path) as process:
        async with _pipe(port) as pipe:
            script = pipe.register_script("return 1")
            await script(keys=[], args=[])

            async def ask() -> None:
                nonlocal failed
                with pytest.raises(RedisError):
                    await script(keys=[], args=[])
                failed += 1

            process.send(signal.SIGSTOP)
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                process.send(signal.SIGKILL)
    assert failed == 10


async def test_a_silent_redis_is_left_and_found_again(tmp_path: Path) -> None:
    port = free_port()
    with start_redis(port, tmp_path) as process:
        async with _pipe(port, timeout_s=0.2) as pipe:
            script = pipe.register_script("return 1")
            await until(lambda: _answers(lambda: script(keys=[], args=[])))
            process.send(signal.SIGSTOP)
            try:
                with pytest.raises(RedisError, match="no answer within 200 ms"):
                    await script(keys=[], args=[])
            finally:
                process.send(signal.SIGCONT)
            await until(lambda: _answers(lambda: script(keys=[], args=[])))


async def test_a_quiet_time_is_no_silence(redis_port: int, redis: Redis) -> None:
    async with _pipe(redis_port, timeout_s=0.2) as pipe:
        script = pipe.register_script("return 1")
        await until(lambda: _answers(lambda: script(keys=[], args=[])))
        (before,) = await _ours(redis)
        await anyio.sleep(0.6)
        await script(keys=[], args=[])
        (after,) = await _ours(redis)
    assert after["id"] == before["id"]


async def test_a_master_that_has_become_a_replica_is_left(tmp_path: Path) -> None:
    port = free_port()
    with start_redis(port, tmp_path):
        async with _pipe(port) as pipe, Redis(port=port) as redis:
            write = pipe.register_script("return redis.call('INCR', KEYS[1])")
            await write(keys=["k"], args=[])
            (before,) = await _ours(redis)

            await redis.replicaof("127.0.0.1", free_port())
            with pytest.raises(RedisError):
                await write(keys=["k"], args=[])
            await redis.replicaof("NO", "ONE")

            assert await write(keys=["k"], args=[]) == 2
            (after,) = await _ours(redis)
    assert after["id"] != before["id"]


async def test_a_wrong_password_is_told(redis_port: int) -> None:
    async with _pipe(redis_port, user="nobody:wrong@") as pipe:
        with pytest.raises(RedisError, match="WRONGPASS|invalid username-password"):
            await pipe.register_script("return 1")(keys=[], args=[])


async def test_who_still_waits_at_the_end_hears_of_it(tmp_path: Path) -> None:
    port = free_port()
    heard: list[str] = []
    with start_redis(port, tmp_path) as process:
        async with anyio.create_task_group() as tasks:
            async with _pipe(port) as pipe:
                script = pipe.register_script("return 1")
                await script(keys=[], args=[])
                process.send(signal.SIGSTOP)

                async def ask() -> None:
                    try:
                        await script(keys=[], args=[])
                    except RedisError as exc:
                        heard.append(str(exc))

                tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
            process.send(signal.SIGCONT)
    assert heard == ["the gateway ends"]


async def test_connections_that_are_killed_again_and_again_hang_nobody(
    redis_port: int, redis: Redis
) -> None:
    """Each loses what was on its way, and no more. As a failover does with `CLIENT KILL`."""
    answered = failed = 0
    async with _pipe(redis_port) as pipe:
        echo = pipe.register_script("return ARGV[1]")

        async def ask(name: str) -> None:
            nonlocal answered, failed
            for number in range(40):
                want = f"{name}.{number}".encode()
                try:
                    assert await echo(keys=[], args=[want, "x" * 900]) == want
                    answered += 1
                except (RedisError, OSError):
                    failed += 1

        async def kill() -> None:
            while True:
                await redis.client_kill_filter(_type="normal", skipme=True)
                await anyio.sleep(0.001)

        with anyio.fail_after(60):
            async with anyio.create_task_group() as killing:
                killing.start_soon(kill)
                async with anyio.create_task_group() as asking:
                    for caller in range(150):
                        asking.start_soon(ask, str(caller))
                killing.cancel_scope.cancel()
        assert answered + failed == 150 * 40
        assert failed > 0
        await until(lambda: _answers(lambda: echo(keys=[], args=["still"])))


async def test_a_frozen_redis_that_cannot_even_be_written_to_is_left(tmp_path: Path) -> None:
    port, told = free_port(), list[str]()
    with start_redis(port, tmp_path) as process:
        async with _pipe(port, timeout_s=0.2) as pipe:
            echo = pipe.register_script("return 1")
            await until(lambda: _answers(lambda: echo(keys=[], args=[])))

            async def ask() -> None:
                try:
                    await echo(keys=[], args=["x" * 1_000_000])
                except RedisError as exc:
                    told.append(str(exc))

            process.send(signal.SIGSTOP)
            try:
                with anyio.fail_after(20):
                    async with anyio.create_task_group() as tasks:
                        for _ in range(30):
                            tasks.start_soon(ask)
            finally:
                process.send(signal.SIGCONT)
            assert set(told) == {"no answer within 200 ms"}
            assert len(told) == 30
            await until(lambda: _answers(lambda: echo(keys=[], args=[])))


async def test_nothing_is_asked_after_its_end(redis_port: int) -> None:
    async with _pipe(redis_port) as pipe:
        script = pipe.register_script("return 1")
        await script(keys=[], args=[])
    for _ in range(2):
        with pytest.raises(RedisError, match="the gateway ends"):
            await script(keys=[], args=[])
