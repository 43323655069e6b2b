"""An ASGI application that streams, and tells what its server told it.

/stream   200 chunks of 300 bytes, 20 ms apart
/flood    64 KiB after 64 KiB, as fast as the server takes them, until it does not
/told     as JSON: when the last client left, and how much of the flood was taken
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

CHUNK = b"event: response.output_text.delta\ndata: " + b"x" * 256 + b"\n\n"
LARGE = b"x" * 65_536
FLOOD_BYTES = 256 * 1024 * 1024
TOLD = {"left_at": 0.0, "flood_bytes": 0}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    match scope["path"]:
        case "/stream":
            await _stream(receive, send)
        case "/flood":
            await _begin(send)
            TOLD["flood_bytes"] = 0
            while TOLD["flood_bytes"] < FLOOD_BYTES:
                await send({"type": "http.response.body", "body": LARGE, "more_body": True})
                TOLD["flood_bytes"] += len(LARGE)
        case _:
            await _begin(send)
            await send({"type": "http.response.body", "body": json.dumps(TOLD).encode()})


async def _stream(receive: Any, send: Any) -> None:
    async def hear() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        TOLD["left_at"] = time.time()

    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(hear())
        await _begin(send)
        loop = asyncio.get_running_loop()
        due = loop.time()
        for _ in range(200):
            due += 0.02
            await asyncio.sleep(max(0.0, due - loop.time()))
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        hearing.cancel()


async def _begin(send: Any) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
