"""The whole product on other Redis than one server on this machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx
import pytest
import trustme
from redis import Redis

from gateway.store.acl import acl_rules
from gateway.store.server_check import findings
from tests.stack.demo import Tenant, gwctl
from tests.stack.gateway import start_gateway
from tests.stack.process import StartError, free_port
from tests.stack.product import PEPPERS, Product, running_product
from tests.stack.redis import redis_cluster, redis_sentinels, start_redis
from tests.system.http import create, streamed
from tests.system.waiting import wait_until


def is_served_and_billed(product: Product, *, projects: int = 1) -> list[Tenant]:
    """Whole and streamed, with limits, in several projects; the books of all agree."""
    tenants = [product.new_project(monthly_tokens=1_000_000) for _ in range(projects)]
    expected: dict[str, int] = {}
    for tenant in tenants:
        answer = create(product.url, tenant)
        assert answer.status_code == 200, answer.text
        with streamed(product.url, tenant) as events:
            last = list(events)[-1]["response"]["usage"]
        expected[tenant.project_id] = (
            answer.json()["usage"]["output_tokens"] + last["output_tokens"]
        )
    for tenant in tenants:
        path = f"/v1/organization/projects/{tenant.project_id}/ledger"

        def charged(path: str = path) -> int:
            entries = product.admin("GET", path)["data"]
            return sum(entry["output_tokens"] for entry in entries)

        wait_until(
            lambda tenant=tenant, charged=charged: (  # type: ignore[misc]
                charged() == expected[tenant.project_id]
            ),
            "all is charged",
        )
    assert product.gwctl("audit") == []
    return tenants


def test_on_a_cluster(tmp_path: Path) -> None:
    """Projects lie in different parts of it."""
    with redis_cluster(tmp_path / "cluster") as ports:
        nodes = ",".join(f"127.0.0.1:{port}" for port in ports)
        with running_product(tmp_path, redis_url=f"redis+cluster://{nodes}") as product:
            is_served_and_billed(product, projects=8)
            used = [
                subprocess.run(
                    ["redis-cli", "-p", str(port), "dbsize"],
                    capture_output=True,
                    text=True,
                    check=True,
                ).stdout
                for port in ports
            ]
            assert all(int(number) > 0 for number in used), used
            document = product.gwctl("project", "list")
            assert len(document) == 8


def test_a_failover_of_sentinels_is_outlived(tmp_path: Path) -> None:
    with (
        redis_sentinels(tmp_path / "sentinels") as sentinels,
        running_product(tmp_path, redis_url=sentinels.url) as product,
    ):
        (tenant,) = is_served_and_billed(product)
        sentinels.master.kill()
        # What this gateway knows serves the key; then the new master does.
        assert create(product.url, tenant).status_code == 200

        def is_written() -> bool:
            try:
                product.new_project()
            except AssertionError:
                return False
            return True

        wait_until(is_written, "the new master takes writes", timeout_s=60)
        wait_until(lambda: product.metric("gw_settlements_pending") == 0, "all was settled")
        wait_until(lambda: product.metric("gw_store_mode") == 0, "Redis was asked again")
        is_served_and_billed(product)


def test_over_tls_as_a_user_of_few_rights(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    certificate.cert_chain_pems[0].write_to_path(cert)
    certificate.private_key_pem.write_to_path(key)
    acl = tmp_path / "users.acl"
    acl.write_text(f"user default off\nuser gateway on >s3cret/# {acl_rules()}\n")
    port = free_port()
    redis = start_redis(
        free_port(),
        tmp_path / "redis",
        *("--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key)),
        *("--tls-ca-cert-file", str(ca), "--tls-auth-clients", "no", "--aclfile", str(acl)),
    )
    url = f"rediss://gateway:s3cret%2F%23@127.0.0.1:{port}/0"
    with (
        redis,
        running_product(
            tmp_path, redis_url=url, gateway_env={"GATEWAY_REDIS_CA_FILE": str(ca)}
        ) as product,
    ):
        is_served_and_billed(product)
        # Nothing that it wanted to do was denied.
        log = product.gateway.log.read_text()
        assert "NOPERM" not in log
        assert "NoPermission" not in log
        assert "s3cret" not in log
        # An authority that nobody has named is not trusted.
        with pytest.raises(StartError, match="certificate verify failed"):
            gwctl({"REDIS_URL": url, "GATEWAY_ADMIN_URL": ""}, "project", "list")


def test_one_that_must_not_be_used_keeps_the_gateway_from_being_ready(
    product: Product, tmp_path: Path
) -> None:
    """The one that is installed may be a fit one: then it is the same without the sentence."""
    with Redis.from_url(product.redis_url) as redis:
        known_bad = bool([each for each in findings(redis.info(), "refuse") if each.is_grave])
    ops_port = free_port()
    with start_gateway(
        free_port(),
        ops_port,
        tmp_path,
        redis_url=product.redis_url,
        workers=product.triton_address,
        peppers=PEPPERS,
        env={"GATEWAY_REDIS_VERSION_CHECK": "refuse"},
        wait=False,
    ):
        readyz = f"http://127.0.0.1:{ops_port}/readyz"

        def told() -> str:
            try:
                return httpx.get(readyz).text
            except httpx.TransportError:
                return ""

        expected = "CVE-2025-49844" if known_bad else "ready\n"
        wait_until(lambda: expected in told(), f"/readyz says {expected}")
        assert (httpx.get(readyz).status_code == 503) is known_bad


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://redis.example:6379/0", "names another machine and no password"),
        ("redis+sentinel://a,b/gw", "names another machine and no password"),
        ("redis+cluster://10.0.0.1", "names another machine and no password"),
        ("redis+sentinel://:pw@a,b", "with the name of the service"),
        ("redis+cluster://:hunter2/@a", "in a password write"),
        ("http://127.0.0.1", "it should look like redis://"),
    ],
)
def test_an_address_that_cannot_be_is_refused_at_start(tmp_path: Path, url: str, said: str) -> None:
    process = start_gateway(
        free_port(),
        free_port(),
        tmp_path,
        redis_url=url,
        workers="127.0.0.1:1",
        peppers=PEPPERS,
        wait=False,
    )
    assert process.wait(timeout_s=30) == 2
    told = re.sub(r"\s+", " ", process.log.read_text())
    assert said in told
    assert "hunter2" not in told
