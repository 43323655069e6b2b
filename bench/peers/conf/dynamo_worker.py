"""A Dynamo worker that generates nothing: token ids at the pace of pace.json.

Dynamo's frontend proxies no HTTP server: it tokenizes, routes over its own transport and
detokenizes. This stands where an engine would.

    python dynamo_worker.py MODEL_DIRECTORY
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvloop
from dynamo.llm import ModelInput, ModelType, WorkerType, register_model
from dynamo.runtime import DistributedRuntime, dynamo_worker

PACE = Path("pace.json")


async def generate(request: Any, context: Any) -> AsyncIterator[dict[str, Any]]:
    pace = json.loads(PACE.read_text())  # noqa: ASYNC240  (a hundred bytes, from memory)
    tokens, delay_s = pace["chunks"], pace["delay_us"] / 1e6
    loop = asyncio.get_running_loop()
    due = loop.time()
    for number in range(tokens):
        if (wait_s := due - loop.time()) > 0:
            await asyncio.sleep(wait_s)
        if context.is_stopped():
            return
        told: dict[str, Any] = {"token_ids": [300 + number % 2000]}
        if number == tokens - 1:
            told["finish_reason"] = "length"
        yield told
        due += delay_s


@dynamo_worker()
async def main(runtime: DistributedRuntime) -> None:
    endpoint = runtime.endpoint("bench.backend.generate")
    await register_model(
        ModelInput.Tokens,
        ModelType.Chat,
        endpoint,
        sys.argv[1],
        "gpt-oss-120b",
        worker_type=WorkerType.Aggregated,
        kv_cache_block_size=16,
    )
    await endpoint.serve_endpoint(generate)


uvloop.install()
asyncio.run(main())
