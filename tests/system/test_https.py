"""HTTPS at the gateway itself, for those who end TLS at the pod."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from tests.stack.gateway import start_gateway
from tests.stack.process import free_port
from tests.stack.product import PEPPERS, Product
from tests.system.http import MODEL


def test_tenants_are_served_over_https_and_probes_are_not(product: Product, tmp_path: Path) -> None:
    tenant = product.new_project()
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    key.write_bytes(certificate.private_key_pem.bytes())
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    port, ops_port = free_port(), free_port()

    with start_gateway(
        port,
        ops_port,
        tmp_path,
        redis_url=product.redis_url,
        workers=product.triton_address,
        peppers=PEPPERS,
        env={
            "GATEWAY_TLS_CERTIFICATE_FILE": str(chain),
            "GATEWAY_TLS_KEY_FILE": str(key),
            "GATEWAY_DRAIN_DELAY_S": "0",
        },
    ):
        answer = httpx.post(
            f"https://127.0.0.1:{port}/v1/responses",
            headers={"authorization": f"Bearer {tenant.key}"},
            json={"model": MODEL, "input": "hi"},
            verify=trust,
            timeout=30,
        )
        assert answer.json()["status"] == "completed"
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/v1/models")
        assert httpx.get(f"http://127.0.0.1:{ops_port}/readyz").status_code == 200
