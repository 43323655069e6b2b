"""Gateway and worker show each other certificates."""

from __future__ import annotations

import os
from pathlib import Path

import grpc
import pytest
import trustme

from gateway.upstream.credentials import WorkerTls
from gateway.upstream.endpoints import Endpoints
from gateway.upstream.workers import WorkerPool
from tests.gateway.upstream.fake_triton import FakeTriton

_NAME = "workers.inference.svc"


class Certificates:
    """An authority, the files of a gateway, and the credentials of a worker."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        self.issue(self.authority)
        worker = self.authority.issue_cert(_NAME)
        self.worker = grpc.ssl_server_credentials(
            [
                (
                    worker.private_key_pem.bytes(),
                    b"".join(each.bytes() for each in worker.cert_chain_pems),
                )
            ],
            root_certificates=self.authority.cert_pem.bytes(),
            require_client_auth=True,
        )

    def issue(self, authority: trustme.CA) -> None:
        """A certificate for the gateway, in place of the one that it has."""
        gateway = authority.issue_cert("gateway.inference.svc")
        gateway.private_key_pem.write_to_path(str(self.directory / "key.pem"))
        (self.directory / "certificate.pem").write_bytes(
            b"".join(each.bytes() for each in gateway.cert_chain_pems)
        )

    def shown(self, *, server_name: str = _NAME, anonymous: bool = False) -> WorkerTls:
        return WorkerTls(
            self.directory / "ca.pem",
            None if anonymous else self.directory / "certificate.pem",
            None if anonymous else self.directory / "key.pem",
            server_name,
        )


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


async def _reached(triton: FakeTriton, tls: WorkerTls | None) -> bool:
    async with WorkerPool(Endpoints([triton.address]), tls=tls) as pool:
        await pool.probe()
        return pool.ready()


async def test_who_shows_the_right_certificate_to_the_right_worker_is_served(
    certificates: Certificates,
) -> None:
    async with FakeTriton(tls=certificates.worker) as triton:
        assert await _reached(triton, certificates.shown())

        assert not await _reached(triton, certificates.shown(anonymous=True))
        assert not await _reached(triton, certificates.shown(server_name="someone.else"))
        assert not await _reached(triton, None)


async def test_a_worker_that_speaks_in_clear_is_not_believed(certificates: Certificates) -> None:
    async with FakeTriton() as triton:
        assert not await _reached(triton, certificates.shown())


async def test_certificates_are_renewed_without_a_restart(certificates: Certificates) -> None:
    certificates.issue(trustme.CA())  # of an authority that the worker does not know
    async with (
        FakeTriton(tls=certificates.worker) as triton,
        WorkerPool(Endpoints([triton.address]), tls=certificates.shown()) as pool,
    ):
        await pool.probe()
        assert not pool.ready()

        certificates.issue(certificates.authority)
        later = os.stat(certificates.directory / "ca.pem").st_mtime_ns + 10**9
        os.utime(certificates.directory / "key.pem", ns=(later, later))
        await pool.look_up()
        await pool.probe()
        assert pool.ready()


async def test_without_its_certificates_a_gateway_has_no_worker_and_says_why(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    (certificates.directory / "key.pem").unlink()
    async with FakeTriton(tls=certificates.worker) as triton:
        assert not await _reached(triton, certificates.shown())
    assert any("certificates" in record.message for record in caplog.records)
