"""The floor: what streaming from Triton to a client costs when nothing else is done.

The loop, the server and the gRPC library of the product, and between them no
authentication, no quotas, no harmony, no JSON: each message of the worker is an event of
the usual size. What the product costs beyond it is its own.

    python -m bench.gateway.floor PORT WORKER
"""

from __future__ import annotations

import sys

import grpc
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from bench.gateway.direct import generation, stream_infer
from gateway.asgi.disconnect import while_connected
from gateway.upstream.codec import encode_request
from gateway.upstream.worker import CHANNEL_OPTIONS

# As long as the product's event of a word or two.
_EVENT = b"event: response.output_text.delta\ndata: " + b"x" * 330 + b"\n\n"


class Floor:
    """An ASGI application. The prompt is the body of the request: token ids, with commas between."""

    def __init__(self, worker: str) -> None:
        channel = grpc.aio.insecure_channel(worker, options=CHANNEL_OPTIONS)
        self._stream_infer = stream_infer(channel)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        asked = generation([int(each) for each in body.split(b",")])
        call = self._stream_infer(encode_request(asked, model_name="gpt-oss-120b"))
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )

        async def pass_on() -> None:
            while await call.read() is not grpc.aio.EOF:
                await send({"type": "http.response.body", "body": _EVENT, "more_body": True})
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

        try:
            # A client that leaves is not told by `send`.
            await while_connected(receive, pass_on)
        finally:
            call.cancel()


async def serve(port: int, worker: str) -> None:
    config = uvicorn.Config(
        Floor(worker),
        host="127.0.0.1",
        port=port,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
