"""Clients of all kinds: patient ones, hasty ones, slow ones, and such that ask for nonsense."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx

from tests.stack.demo import Tenant
from tests.system.http import MODEL, simulate

_PACE = {"tokens_per_second": 200}
_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
_WEATHER = {
    "type": "function",
    "name": "weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@dataclass
class Clients:
    """What they ask, and what the patient ones hear of tokens."""

    http: httpx.AsyncClient
    patient: Tenant  # its responses come to their end
    hasty: Tenant  # its do not
    heard: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)  # by kind

    async def run(self, count: int, seconds: float) -> None:
        """So many at once, each again and again."""
        with anyio.CancelScope() as stop:
            async with anyio.create_task_group() as tasks:
                for _ in range(count):
                    tasks.start_soon(self._client, anyio.current_time() + seconds)
        assert not stop.cancelled_caught

    async def _client(self, until: float) -> None:
        kinds: list[Callable[[], Awaitable[None]]] = [
            self._whole,
            self._streamed,
            self._constrained,
            self._tool,
            self._leaves,
            self._reads_slowly,
            self._nonsense,
        ]
        while anyio.current_time() < until:
            kind = random.choice(kinds)
            await kind()
            self.done[kind.__name__.removeprefix("_")] += 1

    async def _whole(self) -> None:
        answer = await self._post(input=_words(), stream=False)
        self._hear(answer.json())

    async def _constrained(self) -> None:
        text = {"format": {"type": "json_schema", "name": "a", "schema": _SCHEMA, "strict": True}}
        answer = await self._post(input=str(random.random()), text=text)
        self._hear(answer.json())
        json.loads(answer.json()["output_text"])

    async def _tool(self) -> None:
        answer = await self._post(input=str(random.random()), tools=[_WEATHER])
        self._hear(answer.json())
        assert any(item["type"] == "function_call" for item in answer.json()["output"])

    async def _streamed(self) -> None:
        await self._stream(self.patient, pause_s=0)

    async def _reads_slowly(self) -> None:
        await self._stream(self.patient, pause_s=0.01)

    async def _leaves(self) -> None:
        with anyio.move_on_after(random.uniform(0, 0.5)):
            await self._stream(self.hasty, pause_s=0)

    async def _nonsense(self) -> None:
        body: dict[str, Any] = random.choice(
            [{"input": 7}, {"input": "a", "top_p": 9}, {"model": "other", "input": "a"}, {}]
        )
        answer = await self.http.post(
            "/v1/responses", json={"model": MODEL, **body}, headers=_headers(self.patient)
        )
        assert answer.status_code in (400, 404), answer.text

    async def _post(self, **asked: Any) -> httpx.Response:
        answer = await self.http.post(
            "/v1/responses", json={"model": MODEL, **asked}, headers=_headers(self.patient)
        )
        assert answer.status_code == 200, answer.text
        return answer

    async def _stream(self, tenant: Tenant, *, pause_s: float) -> None:
        body = {"model": MODEL, "input": _words(), "stream": True}
        request = self.http.stream("POST", "/v1/responses", json=body, headers=_headers(tenant))
        async with request as answer:
            assert answer.status_code == 200, await answer.aread()
            async for line in answer.aiter_lines():
                if pause_s:
                    await anyio.sleep(pause_s)
                if line.startswith('data: {"type":"response.completed"'):
                    self._hear(json.loads(line.removeprefix("data: "))["response"], tenant)

    def _hear(self, response: dict[str, Any], tenant: Tenant | None = None) -> None:
        assert response["status"] == "completed", response
        if tenant is not self.hasty:
            usage = response["usage"]
            self.heard["input_tokens"] += usage["input_tokens"]
            self.heard["output_tokens"] += usage["output_tokens"]
            self.heard["requests"] += 1


def _headers(tenant: Tenant) -> dict[str, str]:
    return {"authorization": f"Bearer {tenant.key}"}


def _words() -> str:
    text = " ".join(str(random.randrange(1000)) for _ in range(random.randint(5, 120)))
    return f"{simulate(text=text, **_PACE)}\n{text}"
