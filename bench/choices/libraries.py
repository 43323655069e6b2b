"""JSON, and clients of Redis: CPU of what the gateway does most with them."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import coredis
import glide
import hiredis
import msgspec
import orjson
import redis.asyncio as redis_py

EVENT = {
    "type": "response.output_text.delta",
    "sequence_number": 812,
    "item_id": "msg_0192f0c17d5e70008000000000000001",
    "output_index": 1,
    "content_index": 0,
    "delta": " scatters",
    "logprobs": [],
}
BODY = orjson.dumps(
    {
        "model": "gpt-oss-120b",
        "input": [{"role": "user", "content": "The sky is blue because " * 40}] * 4,
        "stream": True,
    }
)
TIMES, CALLS = 50_000, 5_000
SCRIPT = "return {ARGV[1], redis.call('INCR', KEYS[1])}"


class _Event(msgspec.Struct):
    type: str
    sequence_number: int
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: list[Any]


def measure_json() -> Iterator[str]:
    """Lines of a Markdown table."""
    encoder, event = msgspec.json.Encoder(), _Event(**EVENT)  # type: ignore[arg-type]
    decoder = msgspec.json.Decoder()
    yield "| JSON | an event written, us | a body of 4 kB read, us |"
    yield "| --- | --- | --- |"
    for name, write, read in (
        ("json", lambda: json.dumps(EVENT).encode(), lambda: json.loads(BODY)),
        ("orjson", lambda: orjson.dumps(EVENT), lambda: orjson.loads(BODY)),
        ("msgspec, dicts", lambda: encoder.encode(EVENT), lambda: decoder.decode(BODY)),
        ("msgspec, Struct", lambda: encoder.encode(event), lambda: decoder.decode(BODY)),
    ):
        yield f"| {name} | {_us(write):.2f} | {_us(read):.2f} |"


def _us(work: Callable[[], object]) -> float:
    """The best of five."""
    found = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(TIMES):
            work()
        found.append(time.process_time() - began)
    return 1e6 * min(found) / TIMES


def measure_redis() -> Iterator[str]:
    """Lines of a Markdown table: CPU of this process for a script by its hash, one at a time."""
    yield "| client of Redis | CPU of an EVALSHA, us |"
    yield "| --- | --- |"
    with _server() as port:
        for name, ask in (
            (f"redis-py, hiredis {hiredis.__version__}", _redis_py),
            ("coredis", _coredis),
            ("valkey-glide", _glide),
        ):
            yield f"| {name} | {asyncio.run(ask(port)):.1f} |"


async def _best(ask: Callable[[], Awaitable[object]]) -> float:
    found = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(CALLS):
            await ask()
        found.append(time.process_time() - began)
    return 1e6 * min(found) / CALLS


async def _redis_py(port: int) -> float:
    async with redis_py.Redis(host="127.0.0.1", port=port) as client:
        digest = await client.script_load(SCRIPT)
        return await _best(lambda: client.evalsha(digest, 1, "key", "word"))


async def _coredis(port: int) -> float:
    client = coredis.Redis(host="127.0.0.1", port=port)
    async with client:
        digest = await client.script_load(SCRIPT)
        return await _best(lambda: client.evalsha(digest, ["key"], ["word"]))


async def _glide(port: int) -> float:
    settings = glide.GlideClientConfiguration([glide.NodeAddress("127.0.0.1", port)])
    client = await glide.GlideClient.create(settings)
    script = glide.Script(SCRIPT)
    try:
        return await _best(lambda: client.invoke_script(script, keys=["key"], args=["word"]))
    finally:
        await client.close()


@contextmanager
def _server() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [
                *("redis-server", "--port", str(port), "--bind", "127.0.0.1"),
                *("--save", "", "--dir", directory, "--loglevel", "warning"),
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            give_up_at = time.monotonic() + 10
            while socket.socket().connect_ex(("127.0.0.1", port)):
                if time.monotonic() > give_up_at:
                    raise TimeoutError("redis-server does not listen")
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait()
