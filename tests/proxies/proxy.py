"""Proxies as processes, in front of a gateway that runs."""

from __future__ import annotations

import os
import shutil
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme

from tests.chart.helm import CHART, render
from tests.proxies.configurations import Place, envoy, haproxy, nginx
from tests.stack.process import Process, accepts_connections, free_port

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("envoy", "nginx", "haproxy")
# Not as the chart sets them: what it saves its users from.
UNSET = ("envoy unset", "nginx unset")


@dataclass(frozen=True, slots=True)
class Proxy:
    """One that listens."""

    kind: str
    url: str
    trust: ssl.SSLContext

    def client(self, key: str, *, http2: bool = True) -> httpx.Client:
        """Over HTTP/2, as browsers and most load balancers come."""
        return httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {key}"},
            verify=self.trust,
            http2=http2,
            timeout=30,
        )


@contextmanager
def running_proxy(kind: str, gateway_port: int, directory: Path) -> Iterator[Proxy]:
    """Start one of KINDS or UNSET in front of the gateway at that port of the loopback interface."""
    directory.mkdir(parents=True)
    trust, certificate = _certificate(directory)
    place = Place(free_port(), certificate, gateway_port, directory)
    process = Process(kind, _command(kind, place), log=directory / "log")
    try:
        process.wait_until(lambda: accepts_connections(place.port), timeout_s=30)
        yield Proxy(kind, f"https://localhost:{place.port}", trust)
    finally:
        process.stop()


def _command(kind: str, place: Place) -> list[str | Path]:
    name, _, unset = kind.partition(" ")
    file = place.directory / {"envoy": "envoy.json"}.get(name, f"{name}.conf")
    match name:
        case "envoy":
            file.write_text(envoy(place, None if unset else _route_timeouts()))
            # Without a base id of its own it would share memory with others on this machine.
            flags = ["--use-dynamic-base-id", "--log-level", "warning", "--concurrency", "1"]
            return [executable("envoy"), "-c", file, *flags]
        case "nginx":
            file.write_text(nginx(place, {} if unset else _annotations("nginx")))
            return [executable("nginx"), "-e", "stderr", "-p", place.directory, "-c", file]
        case _:
            file.write_text(haproxy(place, _annotations("haproxy")))
            return [executable("haproxy"), "-db", "-f", file]


def _route_timeouts() -> dict[str, str]:
    route = render(CHART / "ci" / "http-route-values.yaml").one("HTTPRoute")
    (rule,) = route["spec"]["rules"]
    timeouts: dict[str, str] = rule["timeouts"]
    return timeouts


def _annotations(controller: str) -> dict[str, str]:
    ingress = render(
        sets=[
            "ingress.enabled=true",
            f'ingress.controller="{controller}"',
            'ingress.hosts=["localhost"]',
        ]
    ).one("Ingress")
    annotations: dict[str, str] = ingress["metadata"]["annotations"]
    return annotations


def executable(name: str) -> Path:
    """Where it is installed. Without it the test is skipped, or fails where REQUIRE_PROXIES=1."""
    if name == "envoy":
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        found = ROOT / ".venv-proxies" / "lib" / version / "site-packages/envoy/_bin/envoy"
        missing = "Envoy is not installed: `make test-proxies` does it"
    else:
        found = Path(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or "/nowhere")
        missing = f"{name} is not installed: apt-get install nginx-light haproxy"
    if found.exists():
        return found
    if os.environ.get("REQUIRE_PROXIES") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


def _certificate(directory: Path) -> tuple[ssl.SSLContext, Path]:
    authority = trustme.CA()
    file = directory / "certificate.pem"
    file.write_bytes(authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes())
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return trust, file
