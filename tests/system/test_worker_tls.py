"""Gateways and a real Triton show each other certificates: only who has one gets an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest
import trustme

from tests.stack.gateway import start_gateway
from tests.stack.process import free_port
from tests.stack.product import PEPPERS, Product, running_product
from tests.system.http import create, simulate, streamed
from tests.system.waiting import wait_until

_NAME = "workers.inference.svc"


class Certificates:
    """An authority, what it has issued to the worker and to a gateway, and a stranger's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        self._write("worker", authority.issue_cert(_NAME))
        self._write("gateway", authority.issue_cert("gateway.inference.svc"))
        self._write("stranger", trustme.CA().issue_cert("gateway.inference.svc"))

    def _write(self, holder: str, certificate: trustme.LeafCert) -> None:
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        (self._directory / f"{holder}.pem").write_bytes(chain)
        certificate.private_key_pem.write_to_path(str(self._directory / f"{holder}.key"))

    def of_triton(self) -> list[str]:
        """Its flags: it shows a certificate, and wants to see one."""
        return [
            "--grpc-use-ssl=true",
            "--grpc-use-ssl-mutual=true",
            f"--grpc-server-cert={self._directory / 'worker.pem'}",
            f"--grpc-server-key={self._directory / 'worker.key'}",
            f"--grpc-root-cert={self._directory / 'ca.pem'}",
        ]

    def of_gateway(self, holder: str | None) -> dict[str, str]:
        """Its settings: it shows what *holder* has, or nothing."""
        settings = {
            "GATEWAY_WORKER_TLS_CA_FILE": str(self._directory / "ca.pem"),
            "GATEWAY_WORKER_TLS_SERVER_NAME": _NAME,
        }
        if holder is not None:
            settings["GATEWAY_WORKER_TLS_CERTIFICATE_FILE"] = str(self._directory / f"{holder}.pem")
            settings["GATEWAY_WORKER_TLS_KEY_FILE"] = str(self._directory / f"{holder}.key")
        return settings


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def guarded(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """The product, with certificates between gateway and worker."""
    with running_product(
        tmp_path_factory.mktemp("guarded"),
        worker_flags=certificates.of_triton(),
        gateway_env=certificates.of_gateway("gateway"),
    ) as product:
        yield product


def test_a_stream_comes_through_when_both_show_their_certificates(guarded: Product) -> None:
    tenant = guarded.new_project()

    with streamed(guarded.url, tenant, input=simulate(text="for your eyes only")) as stream:
        events = list(stream)

    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output"][-1]["content"][0]["text"] == "for your eyes only"


def test_a_gateway_without_the_right_certificate_gets_nothing(
    guarded: Product, certificates: Certificates, tmp_path: Path
) -> None:
    tenant = guarded.new_project()
    shown: dict[str, Mapping[str, str]] = {
        "nothing": certificates.of_gateway(None),
        "a stranger's": certificates.of_gateway("stranger"),
        "in clear": {},
    }
    with ExitStack() as running:
        ports = {name: (free_port(), free_port()) for name in [*shown, "the right one"]}
        for name, env in shown.items():
            _start(running, guarded, tmp_path / name, ports[name], env, wait=False)
        for name in shown:
            ops_url = f"http://127.0.0.1:{ports[name][1]}"
            wait_until(partial(_answers, ops_url), f"the gateway with {name} had started")
        # One that began later, and has found the worker: so they have had the time to.
        _start(
            running,
            guarded,
            tmp_path / "right",
            ports["the right one"],
            certificates.of_gateway("gateway"),
            wait=True,
        )

        answers = {
            name: create(f"http://127.0.0.1:{port}", tenant) for name, (port, _) in ports.items()
        }

    assert {
        name: (answer.status_code, (answer.json()["error"] or {}).get("code"))
        for name, answer in answers.items()
    } == {**dict.fromkeys(shown, (503, "engine_overloaded")), "the right one": (200, None)}


def _start(
    running: ExitStack,
    product: Product,
    directory: Path,
    ports: tuple[int, int],
    env: Mapping[str, str],
    *,
    wait: bool,
) -> None:
    """One more gateway on the product's Redis and worker."""
    running.enter_context(
        start_gateway(
            *ports,
            directory,
            redis_url=product.redis_url,
            workers=product.triton_address,
            peppers=PEPPERS,
            env={"GATEWAY_DRAIN_DELAY_S": "0", **env},
            wait=wait,
        )
    )


def _answers(ops_url: str) -> bool:
    try:
        return httpx.get(f"{ops_url}/metrics", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
