"""Half a thousand responses while workers are killed, frozen, drained and restarted at random.

Every client gets one whole response, as if nothing had happened, and pays for it once.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import anyio
import httpx
import jsonschema
import pytest

from tests.stack.demo import Tenant
from tests.stack.fleet import FleetWorker
from tests.stack.product import FAST_SIMULATOR, Product, running_product
from tests.system.http import MODEL, Event, simulate
from tests.system.ledger import entries_of
from tests.system.waiting import wait_until

_RESPONSES = 500  # and more, until each fate has befallen a worker
_AT_ONCE = 24
_TOKENS_PER_SECOND = 50
_WORDS = 110  # a response takes some three seconds
_FATES = ("killed", "stub killed", "frozen", "drained", "restarted")
_SCHEMA = {
    "type": "object",
    "properties": {
        "names": {
            "type": "array",
            "items": {"type": "string", "minLength": 3, "maxLength": 12},
            "minItems": 25,
            "maxItems": 25,
        },
        "total": {"type": "integer", "minimum": 40, "maximum": 60},
    },
    "required": ["names", "total"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running_product(
        tmp_path_factory.mktemp("storm"),
        workers=3,
        worker_env={**FAST_SIMULATOR, "WORKER_DRAIN_MS": "500"},
        # A stub that is killed is known by its silence.
        gateway_env={"GATEWAY_IDLE_TIMEOUT_S": "2"},
    ) as product:
        yield product


@dataclass
class Storm:
    """The clients, and what became of them."""

    product: Product
    tenant: Tenant
    draw: random.Random
    client: httpx.AsyncClient
    responses: list[dict[str, Any]] = field(default_factory=list)
    fates: Counter[str] = field(default_factory=Counter)
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def is_over(self) -> bool:
        """Enough was asked, and each fate has struck: a slow machine takes longer to restart."""
        return len(self.responses) >= _RESPONSES and self.fates.keys() == set(_FATES)

    async def ask_until_it_is_over(self) -> None:
        """One client: a response after the other."""
        while not self.is_over:
            await self.one(next(self.numbers))

    async def one(self, number: int) -> None:
        """A response of one of three kinds; raises AssertionError if anything is wrong with it."""
        match number % 5:
            case 0:
                response = await self._whole(number)
            case 1:
                response = await self._constrained(number)
            case _:
                response = await self._streamed(number, *_text(number))
        assert response["status"] == "completed"
        self.responses.append(response)

    async def _whole(self, number: int) -> dict[str, Any]:
        asked, text = _text(number)
        answer = await self.client.post("/v1/responses", json={"model": MODEL, **asked})
        assert answer.status_code == 200, f"{number}: {answer.text}"
        response: dict[str, Any] = answer.json()
        assert response["output_text"] == text, number
        return response

    async def _constrained(self, number: int) -> dict[str, Any]:
        raw = '<|channel|>final<|message|>{"names":["'
        asked = {
            "input": simulate(raw=raw, tokens_per_second=_TOKENS_PER_SECOND),
            "temperature": 1,  # without a seed: another worker would write something else
            "text": {
                "format": {"type": "json_schema", "name": "l", "schema": _SCHEMA, "strict": True}
            },
        }
        response = await self._streamed(number, asked, None)
        jsonschema.validate(json.loads(response["output_text"]), _SCHEMA)
        return response

    async def _streamed(
        self, number: int, asked: dict[str, Any], text: str | None
    ) -> dict[str, Any]:
        events: list[Event] = []
        body = {"model": MODEL, "stream": True, **asked}
        async with self.client.stream("POST", "/v1/responses", json=body) as answer:
            assert answer.status_code == 200, f"{number}: {await answer.aread()!r}"
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    events.append(json.loads(line.removeprefix("data: ")))
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["type"] == "response.completed", f"{number}: {events[-1]}"
        response: dict[str, Any] = events[-1]["response"]
        ids = {event["response"]["id"] for event in events if "response" in event}
        assert ids == {response["id"]}
        deltas = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
        assert "".join(deltas) == response["output_text"]
        assert text is None or response["output_text"] == text, number
        return response

    async def strike(self) -> None:
        """One worker after the other, until cancelled; each is back before the next one's turn."""
        workers = self.product.workers
        while True:
            for fate in self.draw.sample(_FATES, len(_FATES)):
                worker = self.draw.choice(workers)
                await anyio.sleep(self.draw.uniform(0.5, 1.5))
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(_befall, self.product, worker, fate)
                self.fates[fate] += 1


def _text(number: int) -> tuple[dict[str, Any], str]:
    """A request, and what its answer must be."""
    draw = random.Random(number)
    words = ("sun", "wind", "rain", "snow", "fog", "storm", "calm", "cloud")
    text = f"{number}: " + " ".join(draw.choices(words, k=_WORDS))
    pace = {"tokens_per_second": _TOKENS_PER_SECOND}
    return {"input": simulate(reasoning="", text=text, **pace)}, text


def _befall(product: Product, worker: FleetWorker, fate: str) -> None:
    """Let it happen to *worker*, and put it right again."""
    is_down = partial(_is_up, product, worker, 0)
    match fate:
        case "killed":
            worker.kill()
        case "stub killed":
            worker.kill_stub()
            wait_until(is_down, f"it was noticed that {worker.address} has no stub")
        case "frozen":
            worker.freeze()
            try:
                wait_until(is_down, f"it was noticed that {worker.address} stands still")
            finally:
                worker.thaw()
        case "drained":
            worker.drain()
            wait_until(is_down, f"{worker.address} had said that it drains")
    if fate != "frozen":
        worker.stop()
        worker.start()
    wait_until(partial(_is_up, product, worker, 1), f"{worker.address} was back")


def _is_up(product: Product, worker: FleetWorker, up: int) -> bool:
    return product.metric("gw_worker_up", worker=worker.address) == up


@pytest.mark.timeout(400)  # half a thousand responses of three seconds, two dozen at a time
def test_no_client_notices_what_happens_to_the_workers(fleet: Product) -> None:
    seed = random.randrange(10**6)
    print(f"the storm's seed is {seed}")
    tenant = fleet.new_project()

    async def rage() -> Storm:
        async with httpx.AsyncClient(
            base_url=fleet.url,
            headers={"authorization": f"Bearer {tenant.key}"},
            timeout=60,
            limits=httpx.Limits(max_connections=_AT_ONCE),
        ) as client:
            storm = Storm(fleet, tenant, random.Random(seed), client)
            async with anyio.create_task_group() as strikes:
                strikes.start_soon(storm.strike)
                async with anyio.create_task_group() as clients:
                    for _ in range(_AT_ONCE):
                        clients.start_soon(storm.ask_until_it_is_over)
                strikes.cancel_scope.cancel()
            return storm

    storm = anyio.run(rage)

    print(f"fates: {dict(storm.fates)}")
    assert len(storm.responses) == next(storm.numbers), "each was answered"
    assert fleet.metric("gw_worker_takeovers_total", when="mid_stream") > 0
    billed = {
        entry["response_id"]: (entry["input_tokens"], entry["output_tokens"], entry["status"])
        for entry in entries_of(fleet, tenant)
    }
    assert billed == {
        response["id"]: (
            response["usage"]["input_tokens"],
            response["usage"]["output_tokens"],
            "completed",
        )
        for response in storm.responses
    }
