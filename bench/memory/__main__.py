"""What 32 hostile requests at once add to the gateway's memory: `make bench-memory`.

The gateway is a process of its own, with a real Redis and Triton (simulator).
Eight projects send four requests each of one kind, all at the same time, for a
few rounds. What is told is the largest resident set of the process since it
started, and what is resident once all are answered: memory that is not given
back grows from kind to kind.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import orjson

from bench.command import at_least_one, run_command
from tests.stack.demo import Tenant
from tests.stack.product import Product, running_product

PROJECTS = 8
REQUESTS_OF_A_PROJECT = 4
# Bodies may fill GATEWAY_MAX_BUFFERED_BYTES, 256 MB; each is held once more as text while it is
# read, by three threads at most.
MAX_GROWTH_MB = 512


def _body(input_: object, **fields: object) -> bytes:
    return orjson.dumps(
        {"model": "gpt-oss-120b", "input": input_, "max_output_tokens": 16, **fields}
    )


def _nested(depth: int) -> bytes:
    return b'{"model": "gpt-oss-120b", "input": ' + b"[" * depth + b"]" * depth + b"}"


KINDS: dict[str, Callable[[], bytes]] = {
    "small requests": lambda: _body("hi"),
    "16 MB of `[]`": lambda: b'{"input": [' + b"[]," * 5_300_000 + b"0]}",
    "16 MB of `{}`": lambda: b'{"input": [' + b"{}," * 5_300_000 + b"0]}",
    "240,000 objects": lambda: b'{"input": [' + b'{"a":0},' * 60_000 + b"0]}",
    "a million brackets, nested": lambda: _nested(1_000_000),
    "surrogates": lambda: b'{"model": "gpt-oss-120b", "input": "' + b"\\ud800" * 1_000_000 + b'"}',
    "a number of a megabyte": lambda: (
        b'{"model": "gpt-oss-120b", "input": ' + b"9" * 1_000_000 + b"}"
    ),
    "10,000 items": lambda: _body([{"role": "user", "content": str(n)} for n in range(10_000)]),
    "10 MB of words": lambda: _body("The sky is blue. " * 600_000),
    "10 MB of one letter": lambda: _body("a" * 10_000_000),
    "10 MB of emoji": lambda: _body("\U0001f600" * 2_500_000),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--rounds", type=at_least_one, default=3, help="of each kind")
    rounds = parser.parse_args().rounds
    with (
        tempfile.TemporaryDirectory() as directory,
        running_product(Path(directory)) as product,
    ):
        return _measure(product, rounds)


def _measure(product: Product, rounds: int) -> int:
    tenants = [product.new_project() for _ in range(PROJECTS)]
    print(f"{'':30}{'most, MB':>10}{'after, MB':>11}   answers")
    first_mb = most_mb = 0.0
    for name, body_of in KINDS.items():
        answers = Counter[str]()
        for _ in range(rounds):
            answers += _at_once(product.url, tenants, body_of())
        most_mb, now_mb = (_memory_mb(product.gateway.pid, field) for field in ("VmHWM", "VmRSS"))
        first_mb = first_mb or now_mb
        told = ", ".join(f"{count} x {answer}" for answer, count in sorted(answers.items()))
        print(f"{name:30}{most_mb:>10.0f}{now_mb:>11.0f}   {told}")
    growth_mb = most_mb - first_mb
    verdict = "within" if growth_mb <= MAX_GROWTH_MB else "OVER"
    print(f"{verdict} {MAX_GROWTH_MB} MB more than for small requests ({growth_mb:.0f} MB)")
    return 0 if growth_mb <= MAX_GROWTH_MB else 1


def _at_once(url: str, tenants: list[Tenant], body: bytes) -> Counter[str]:
    def one(number: int) -> str:
        headers = {
            "authorization": f"Bearer {tenants[number % PROJECTS].key}",
            "content-type": "application/json",
        }
        try:
            answer = httpx.post(f"{url}/v1/responses", content=body, headers=headers, timeout=120)
        except httpx.TransportError as exc:
            # Refused before all of it was sent, which not every client can hear.
            return type(exc).__name__
        if answer.status_code == 200:
            return "200"
        return f"{answer.status_code} {answer.json()['error']['code']}"

    with ThreadPoolExecutor(PROJECTS * REQUESTS_OF_A_PROJECT) as threads:
        return Counter(threads.map(one, range(PROJECTS * REQUESTS_OF_A_PROJECT)))


def _memory_mb(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(field)


if __name__ == "__main__":
    run_command(main)
