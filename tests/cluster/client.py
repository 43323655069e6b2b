"""A tenant while gateways are replaced; `make test-cluster` runs this in the gateway's image, in the cluster.

Eight streams are open all the time, and short requests go one after the other, each over a
connection of its own, until STOP_FILE is there or something has failed. Then what is open is read
to its end. The last line says as JSON what came of it.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

STREAMS = 8
# Said once; `make test-cluster` waits for it.
ALL_OPEN = f"{STREAMS} streams are open"
# Comments come every 15 s, whatever the model does.
_SILENCE_S = 60


class Broken(Exception):
    """What was wrong with an answer."""


class Tenant:
    """Asks until it is told to stop, and counts."""

    def __init__(self, url: str, model: str, key: str, words: int, stop_file: Path) -> None:
        self.streams = self.events = self.short_requests = 0
        self.failures: list[str] = []
        self._url, self._model, self._words, self._stop_file = url, model, words, stop_file
        self._headers = {"authorization": f"Bearer {key}"}
        self._verify = _trust()
        self._open = 0
        self._all_were_open = False
        self._lock = threading.Lock()

    def ask_until_stopped(self) -> None:
        loops = [self._stream] * STREAMS + [self._ask_shortly]
        with ThreadPoolExecutor(len(loops)) as threads:
            # A bug of this program ends it with a traceback, and so not with 0.
            for ended in [threads.submit(self._repeat, each) for each in loops]:
                ended.result()

    def _repeat(self, ask: Callable[[], None]) -> None:
        while not self.failures and not self._stop_file.exists():
            began = time.monotonic()
            try:
                ask()
            except (Broken, httpx.HTTPError, LookupError, ValueError) as exc:
                what = "a stream" if ask == self._stream else "a short request"
                sentence = f"{what}, {time.monotonic() - began:.1f} s after it began: {exc!r}"
                with self._lock:
                    self.failures.append(sentence)
                print(f"FAILED: {sentence}", flush=True)

    def _stream(self) -> None:
        counted, last, text, done = 0, {}, "", False
        body = {**_forced_to_be_long(self._words), "model": self._model, "stream": True}
        request = ("POST", f"{self._url}/v1/responses")
        with (
            httpx.Client(verify=self._verify, timeout=_SILENCE_S) as client,
            client.stream(*request, headers=self._headers, json=body) as answer,
        ):
            if answer.status_code != 200:
                raise Broken(f"{answer.status_code}: {answer.read().decode()[:500]}")
            self._count_open(1)
            try:
                for line in answer.iter_lines():
                    if line == "data: [DONE]":
                        done = True
                    elif line.startswith("data: "):
                        last = json.loads(line.removeprefix("data: "))
                        if last.get("sequence_number") != counted:
                            raise Broken(f"in place of event {counted} came {line[:500]}")
                        counted += 1
                        if last["type"] == "response.output_text.delta":
                            text += last["delta"]
            finally:
                self._count_open(-1)
        if not done or last.get("type") != "response.completed":
            raise Broken(f"the last of {counted} events was {json.dumps(last)[:500]}")
        if text != _text(last["response"]):
            raise Broken(f"the text of {counted} events is not that of the response")
        with self._lock:
            self.streams += 1
            self.events += counted

    def _count_open(self, change: int) -> None:
        with self._lock:
            self._open += change
            if self._open == STREAMS and not self._all_were_open:
                self._all_were_open = True
                print(ALL_OPEN, flush=True)

    def _ask_shortly(self) -> None:
        body = {"model": self._model, "input": "Say hello.", "max_output_tokens": 16}
        with httpx.Client(verify=self._verify, timeout=_SILENCE_S) as client:
            answer = client.post(f"{self._url}/v1/responses", headers=self._headers, json=body)
        if answer.status_code != 200:
            raise Broken(f"{answer.status_code}: {answer.text[:500]}")
        self.short_requests += 1


def _forced_to_be_long(words: int) -> dict[str, Any]:
    """A request whose answer has so many words, whichever model there is: about two tokens each."""
    schema = {
        "type": "object",
        "properties": {
            "words": {
                "type": "array",
                "items": {"type": "string", "enum": ["sky"]},
                "minItems": words,
                "maxItems": words,
            }
        },
        "required": ["words"],
        "additionalProperties": False,
    }
    return {
        "input": "Say sky, as often as the format asks for.",
        "reasoning": {"effort": "low"},
        "text": {
            "format": {"type": "json_schema", "name": "words", "strict": True, "schema": schema}
        },
    }


def _text(response: dict[str, Any]) -> str:
    return "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
    )


def _trust() -> ssl.SSLContext:
    """Made once: it takes longer than a short request."""
    found = ssl.create_default_context(cafile=os.environ.get("SELFTEST_CA_FILE"))
    # The file may hold the gateway's own certificate and nobody above it.
    found.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return found


def main() -> int:
    tenant = Tenant(
        os.environ["SELFTEST_URL"],
        os.environ["SELFTEST_MODEL"],
        os.environ["SELFTEST_API_KEY"].strip(),
        int(os.environ["STREAM_WORDS"]),
        Path(os.environ["STOP_FILE"]),
    )
    tenant.ask_until_stopped()
    told = ("streams", "events", "short_requests", "failures")
    print(json.dumps({name: getattr(tenant, name) for name in told}), flush=True)
    return 1 if tenant.failures else 0


if __name__ == "__main__":
    sys.exit(main())
