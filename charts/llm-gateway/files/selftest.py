"""Ask an installed gateway as a tenant would: `helm test` runs this in the gateway's image.

Without SELFTEST_API_KEY it makes a project, and a key that is revoked at the end, with gwctl.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

PROJECT_ID = "prj_helm_test"
# It is not ready before a worker is, and `helm test` may come early.
CONNECT_RETRIES = 5


def main() -> int:
    model = os.environ["SELFTEST_MODEL"]
    with api_key() as key, gateway() as client:
        unknown = client.get("/v1/models", headers={"authorization": "Bearer nonsense"})
        expect(unknown.status_code == 401, f"a wrong key was answered {unknown.status_code}")
        client.headers["authorization"] = f"Bearer {key}"
        models = [each["id"] for each in whole(client.get("/v1/models"))["data"]]
        expect(model in models, f"there is no model {model} among {models}")
        request = {"model": model, "input": "Say hello.", "max_output_tokens": 200}
        answer = whole(client.post("/v1/responses", json=request))
        expect(answer["usage"]["output_tokens"] > 0, "nothing was counted")
        print(f"an answer: {answer['status']}, {answer['usage']['output_tokens']} tokens")
        events = stream(client, {**request, "stream": True})
        expect(events[0] == "response.created", f"the stream began with {events[0]}")
        expect(
            events[-1] in ("response.completed", "response.incomplete"),
            f"the stream ended with {events[-1]}",
        )
        print(f"a stream: {len(events)} events, from {events[0]} to {events[-1]}")
    print("passed")
    return 0


@contextmanager
def gateway() -> Iterator[httpx.Client]:
    verify: ssl.SSLContext | bool = True
    if authorities := os.environ.get("SELFTEST_CA_FILE"):
        verify = ssl.create_default_context(cafile=authorities)
        # The file may hold the gateway's own certificate and nobody above it.
        verify.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    transport = httpx.HTTPTransport(retries=CONNECT_RETRIES, verify=verify)
    with httpx.Client(
        base_url=os.environ["SELFTEST_URL"], transport=transport, timeout=120
    ) as client:
        yield client


@contextmanager
def api_key() -> Iterator[str]:
    if key := os.environ.get("SELFTEST_API_KEY", "").strip():
        yield key
        return
    if PROJECT_ID not in {project["id"] for project in gwctl("project", "list")}:
        gwctl("project", "create", "helm-test", "--id", PROJECT_ID)
    made = gwctl("key", "create", "--project", PROJECT_ID, "--name", "helm-test", "--expires", "1h")
    try:
        yield made["token"]
    finally:
        gwctl("key", "revoke", made["kid"])


def gwctl(*arguments: str) -> Any:
    done = subprocess.run(
        ["gwctl", *arguments, "-o", "json"], capture_output=True, text=True, check=False
    )
    expect(
        done.returncode == 0,
        f"gwctl {' '.join(arguments[:2])} failed: {done.stderr.strip()[-500:]}",
    )
    return json.loads(done.stdout)


def whole(answer: httpx.Response) -> Any:
    expect(
        answer.status_code == 200,
        f"{answer.request.url.path} was answered {answer.status_code}: {answer.text}",
    )
    return answer.json()


def stream(client: httpx.Client, request: dict[str, object]) -> list[str]:
    """The names of the events."""
    with client.stream("POST", "/v1/responses", json=request) as answer:
        expect(answer.status_code == 200, f"the stream was answered {answer.status_code}")
        return [
            line.removeprefix("event: ")
            for line in answer.iter_lines()
            if line.startswith("event: ")
        ]


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"FAILED: {otherwise}")


if __name__ == "__main__":
    sys.exit(main())
