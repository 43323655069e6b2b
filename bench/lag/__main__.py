"""How long the worst requests stop everybody else's: `make bench-lag`.

The product's own application runs in this process, on uvloop as `python -m
gateway` runs it, with a real Redis and Triton (simulator). Beside each request
a ticker asks for the loop every millisecond; how much later it gets it is what
a stream's next event would have waited. The last column is the time to the
answer. Wall clock, so a busy machine shows: the first row is the machine's own.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import orjson
import uvloop
from starlette.types import ASGIApp, Message

from bench.command import at_least_one, run_command
from gateway.__main__ import SWITCH_INTERVAL_S
from gateway.app import running_gateway
from gateway.config import Settings
from tests.stack.product import PEPPERS, Product, running_product

TARGET_MS = 20.0  # while a prompt of 128k tokens is rendered
TICK_S = 0.001
CHUNK = 65_536

# Nine tokens a sentence; a counter, or the tokens would be remembered.
SENTENCE = "The sky is blue because of the air. "


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.lag", description=__doc__)
    arguments.add_argument("--rounds", type=at_least_one, default=5, help="of each request")
    rounds = arguments.parse_args().rounds
    with (
        tempfile.TemporaryDirectory() as directory,
        running_product(Path(directory)) as product,
    ):
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        return uvloop.run(_measure(product, rounds))


async def _measure(product: Product, rounds: int) -> int:
    tenant = product.new_project()
    os.environ |= {
        "REDIS_URL": product.redis_url,
        "GATEWAY_WORKERS": product.triton_address,
        "GATEWAY_KEY_PEPPERS": PEPPERS,
    }
    lag_of_prompt_ms = 0.0
    async with running_gateway(Settings()) as gateway:
        gc.freeze()  # as `python -m gateway` does
        app = gateway.tenant_api
        await _found_its_worker(app, tenant.key)
        print(f"{'':36}   lag, ms: p99     max   answer, ms   status")
        for name, body_of in _REQUESTS.items():
            lags_ms: list[float] = []
            answers_ms: list[float] = []
            status = 0
            for number in range(rounds):
                body = body_of(number)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_tick, lags_ms)
                    await anyio.sleep(0.05)
                    began = time.perf_counter()
                    if body:
                        status, _ = await _ask(app, tenant.key, body)
                    else:
                        await anyio.sleep(0.5)
                    answers_ms.append((time.perf_counter() - began) * 1000)
                    await anyio.sleep(0.05)
                    tasks.cancel_scope.cancel()
            lags_ms.sort()
            p99, worst = lags_ms[int(len(lags_ms) * 0.99)], lags_ms[-1]
            print(f"{name:36} {p99:14.1f} {worst:7.1f} {min(answers_ms):12.0f} {status:8}")
            if name == _PROMPT:
                lag_of_prompt_ms = worst
    verdict = "within" if lag_of_prompt_ms < TARGET_MS else "OVER"
    print(f"{verdict} the target of {TARGET_MS:.0f} ms ({lag_of_prompt_ms:.1f})")
    return 0 if lag_of_prompt_ms < TARGET_MS else 1


async def _found_its_worker(app: ASGIApp, key: str) -> None:
    while (await _ask(app, key, _body("hi")))[0] != 200:  # noqa: ASYNC110
        await anyio.sleep(0.1)


async def _tick(lags_ms: list[float]) -> None:
    while True:
        due = time.perf_counter() + TICK_S
        await anyio.sleep(TICK_S)
        lags_ms.append((time.perf_counter() - due) * 1000)


async def _ask(app: ASGIApp, key: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer."""
    chunks = _chunks(body)
    status = 0
    answer = bytearray()

    async def receive() -> Message:
        if (message := next(chunks, None)) is None:
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()
        assert message is not None
        return message

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        answer.extend(message.get("body", b""))
        await anyio.lowlevel.checkpoint()

    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/responses",
        "raw_path": b"/v1/responses",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)
    return status, bytes(answer)


def _chunks(body: bytes) -> Iterator[Message]:
    for start in range(0, len(body), CHUNK):
        more = start + CHUNK < len(body)
        yield {"type": "http.request", "body": body[start : start + CHUNK], "more_body": more}


def _body(input_: Any, **fields: Any) -> bytes:
    return orjson.dumps(
        {"model": "gpt-oss-120b", "input": input_, "max_output_tokens": 16, **fields}
    )


def _items(number: int) -> bytes:
    return _body([{"role": "user", "content": f"{number} {index}"} for index in range(10_000)])


def _schema(number: int) -> bytes:
    """Many references to what is large: as much to print as a schema may be."""
    large = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(1000)}}
    references = {f"r{i}": {"$ref": "#/$defs/large"} for i in range(1000)}
    schema = {"type": "object", "properties": references, "$defs": {"large": large}}
    tool = {"type": "function", "parameters": schema}
    return _body(str(number), tools=[{**tool, "name": f"f{i}"} for i in range(2)])


_PROMPT = "a prompt of 128k tokens"
_REQUESTS: dict[str, Callable[[int], bytes]] = {
    "nothing": lambda number: b"",
    "a small request": lambda number: _body(f"hi {number}"),
    _PROMPT: lambda number: _body(f"{number} {SENTENCE * 14_200}"),
    "10,000 items": _items,
    "schemas that print a megabyte": _schema,
    "10 MB of words": lambda number: _body(f"{number} {SENTENCE * 280_000}"),
    "10 MB of blanks": lambda number: _body(f"{number} {' ' * 10_000_000}"),
    "10 MB of one letter": lambda number: _body(f"{number} {'a' * 10_000_000}"),
    "16 MB of `0,`": lambda number: b'{"input": [' + b"0," * 8_000_000 + b"0]}",
    "16 MB of `[`": lambda number: b"[" * 16_000_000,
}

if __name__ == "__main__":
    run_command(main)
