"""Tenants that ask without end, and write down what they have got: the truth, as seen from outside."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from tests.chaos.gateways import Gateway, Gateways
from tests.stack.demo import Tenant
from tests.system.http import MODEL, simulate

TOKENS_PER_SECOND = 100
LEAVES_PROBABILITY = 0.05  # in the middle of its answer
PAUSE_WHEN_REFUSED_S = 0.05


@dataclass
class Asked:
    """One request, and what came of it."""

    tenant: Tenant
    gateway: Gateway
    repeat: int  # tokens of the answer's text, if it comes to its end
    response_id: str | None = None
    text_tokens: int = 0  # received
    usage: dict[str, int] | None = None  # of an answer that came to its end
    refused: bool = False  # nothing was admitted
    left: bool = False  # by our own will
    ended_at: float = 0.0  # monotonic


class Clients:
    """Threads of them. `stop()` waits until their last answers have come, or have not."""

    def __init__(
        self, gateways: Gateways, tenants: Sequence[Tenant], *, count: int, seed: int
    ) -> None:
        self.asked: list[Asked] = []
        self._gateways = gateways
        self._tenants = tenants
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(seed + n),), daemon=True)
            for n in range(count)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "an answer has not come to its end"

    def _run(self, chance: random.Random) -> None:
        while not self._stopping.is_set():
            asked = Asked(
                chance.choice(self._tenants), self._gateways.any_one(), chance.randrange(1, 160)
            )
            self.asked.append(asked)
            leaves_after = (
                chance.randrange(1, 100) if chance.random() < LEAVES_PROBABILITY else None
            )
            try:
                _ask(asked, leaves_after)
            except httpx.HTTPError:
                pass  # the gateway was killed, or frozen for too long
            asked.ended_at = time.monotonic()
            if asked.refused:
                self._stopping.wait(PAUSE_WHEN_REFUSED_S)


def _ask(asked: Asked, leaves_after: int | None) -> None:
    with httpx.stream(
        "POST",
        f"{asked.gateway.url}/v1/responses",
        headers={"authorization": f"Bearer {asked.tenant.key}"},
        json={
            "model": MODEL,
            "input": simulate(
                reasoning="", repeat=asked.repeat, tokens_per_second=TOKENS_PER_SECOND
            ),
            "stream": True,
            "max_output_tokens": 1000,
            # One entry a token: that is how many have come.
            "include": ["message.output_text.logprobs"],
        },
        timeout=20,
    ) as answer:
        if answer.status_code != 200:
            asked.refused = True
            return
        for line in answer.iter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            match event["type"]:
                case "response.created":
                    asked.response_id = event["response"]["id"]
                case "response.output_text.delta":
                    asked.text_tokens += len(event["logprobs"])
                    if leaves_after is not None and asked.text_tokens >= leaves_after:
                        asked.left = True
                        return
                case "response.completed" | "response.incomplete":
                    usage = event["response"]["usage"]
                    asked.usage = {
                        "input": usage["input_tokens"],
                        "output": usage["output_tokens"],
                    }
