"""What the gateway imports, and what it leaves to others."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["numpy", "httpx", "opentelemetry.exporter"])
def test_the_gateway_does_without_what_takes_memory_and_is_not_used(module: str) -> None:
    assert _run(f"import sys, gateway.app; print({module!r} in sys.modules)") == "False"


def test_who_wants_tritons_client_gets_it_before_and_after() -> None:
    ours = "from gateway.upstream import kserve"
    client = "import tritonclient.grpc.aio as aio, tritonclient.grpc as client"
    same = (
        "print(client.service_pb2.ModelInferRequest is kserve.ModelInferRequest,"
        " aio.InferenceServerClient.__name__, client.InferenceServerClient.__name__)"
    )
    for first, second in ((ours, client), (client, ours)):
        assert _run(f"{first}; {second}; {same}") == (
            "True InferenceServerClient InferenceServerClient"
        )


def _run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
