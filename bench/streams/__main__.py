"""What a streamed token costs in gateway, Triton, the model's process and Redis.

The whole product, with authentication, quotas and billing; the simulator gives each stream so
many tokens a second. CPU time of each process over some seconds in which all streams run,
divided by the tokens that came; the clients are a process of their own and not counted. A
chunk is what one message from the worker brought: the busier the worker, the more tokens.

    python -m bench.streams --streams 1 100 400
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bench.command import at_least_one, positive, run_command
from tests.stack.product import Product, metric_sample, running_product
from tests.stack.resources import cpu_s

_DELTA = b"event: response.output_text.delta"


@dataclass
class Count:
    """What the clients have received so far."""

    missing: int  # streams that have not begun
    chunks: int = 0  # events of text: one for each chunk of a message
    all_open: asyncio.Event = field(default_factory=asyncio.Event)

    def opened(self) -> None:
        self.missing -= 1
        if not self.missing:
            self.all_open.set()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.streams",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--streams", type=at_least_one, nargs="+", default=[1, 32, 100, 400])
    parser.add_argument("--tokens-per-second", type=at_least_one, default=50, help="of each stream")
    parser.add_argument("--seconds", type=positive, default=15, help="that are measured")
    arguments = parser.parse_args()
    pace, seconds = arguments.tokens_per_second, arguments.seconds
    worker_env = {
        "WORKER_SIMULATOR_FIRST_TOKEN_MS": "0",
        "WORKER_SIMULATOR_TOKENS_PER_SECOND": str(pace),
        "WORKER_SIMULATOR_DIRECTIVES": "1",
        "WORKER_MAX_RUNNING": str(max(arguments.streams)),
    }
    with (
        tempfile.TemporaryDirectory() as directory,
        running_product(Path(directory), worker_env=worker_env) as product,
    ):
        processes = product.processes()
        columns = "".join(f"{name:>10}" for name in processes)
        print(
            f"{'streams':>8}{'tokens/s':>10}{'a chunk':>9}   us a token:{columns}{'all':>8}{'cores':>7}"
        )
        for streams in arguments.streams:
            key = product.new_project().key
            asyncio.run(_measure(product.url, key, processes, streams, pace, seconds, product))
    return 0


async def _measure(
    url: str,
    key: str,
    processes: Mapping[str, int],
    streams: int,
    pace: int,
    seconds: float,
    product: Product,
) -> None:
    count = Count(streams)
    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(_stream(url, key, count, pace)) for _ in range(streams)]
        await count.all_open.wait()
        await asyncio.sleep(2)
        cpu_before, chunks_before = [cpu_s(pid) for pid in processes.values()], count.chunks
        tokens_before = _generated(product)
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)
        elapsed = asyncio.get_running_loop().time() - began
        cpu_after, chunks_after = [cpu_s(pid) for pid in processes.values()], count.chunks
        tokens = _generated(product) - tokens_before
        for reader in readers:
            reader.cancel()
    used = [after - before for before, after in zip(cpu_before, cpu_after, strict=True)]
    each = "".join(f"{each_s / tokens * 1e6:>10.1f}" for each_s in used)
    print(
        f"{streams:>8}{tokens / elapsed:>10.0f}{tokens / (chunks_after - chunks_before):>9.1f}"
        f"{'':14}{each}{sum(used) / tokens * 1e6:>8.1f}{sum(used) / elapsed:>7.2f}",
        flush=True,
    )


async def _stream(url: str, key: str, count: Count, pace: int) -> None:
    host, port = urlsplit(url).hostname, urlsplit(url).port
    reader, writer = await asyncio.open_connection(host, port)
    text = f'SIM: {{"reasoning": "", "repeat": 100000, "tokens_per_second": {pace}}}'
    payload = json.dumps({"model": "gpt-oss-120b", "stream": True, "input": text}).encode()
    try:
        writer.write(
            b"POST /v1/responses HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n"
            b"content-type: application/json\r\nauthorization: Bearer %b\r\n"
            b"content-length: %d\r\n\r\n%b" % (key.encode(), len(payload), payload)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == b"200", head
        count.opened()
        while data := await reader.read(65536):
            count.chunks += data.count(_DELTA)
    finally:
        writer.close()


def _generated(product: Product) -> float:
    """Tokens, by the worker's own count."""
    text = httpx.get(product.workers[0].metrics_url).text
    return metric_sample(text, "worker_tokens_total", {"kind": "completion"})


if __name__ == "__main__":
    run_command(main)
