"""Streams over bare HTTP/1.1, as cheap as can be: the machine is shared with what is measured."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_COMPLETED = b"event: response.completed"
_OUTPUT_TOKENS = re.compile(rb'"output_tokens":\s*(\d+)')
_REQUEST_ID = re.compile(rb"x-request-id: (\S+)", re.IGNORECASE)
_TAIL_BYTES = 8192  # holds the last event of a short answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client saw of one request."""

    status: int
    request_id: str  # by which the gateway's log knows it
    output_tokens: int = 0  # if it was whole


async def ask(url: str, key: str, body: dict[str, object]) -> Answer:
    """Stream one response to its end."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    reader, writer = await asyncio.open_connection(host, port)
    try:
        payload = json.dumps({**body, "model": "gpt-oss-120b", "stream": True}).encode()
        writer.write(
            b"POST /v1/responses HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n"
            b"content-type: application/json\r\nauthorization: Bearer %b\r\n"
            b"content-length: %d\r\n\r\n%b" % (key.encode(), len(payload), payload)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        tail = b""
        while data := await reader.read(65536):
            tail = (tail + data)[-_TAIL_BYTES:]
    finally:
        writer.close()
    status = int(head.split()[1])
    request_id = _REQUEST_ID.findall(head)[0].decode()
    if status != 200 or _COMPLETED not in tail:
        return Answer(status, request_id)
    return Answer(status, request_id, int(_OUTPUT_TOKENS.findall(tail)[-1]))
