"""The product runs as the chart says: its environment, files, flags, hooks and jobs, without a cluster."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import redis
import trustme

from gateway.iam.api_key import ENTROPY_BYTES, mint
from tests.chart.helm import CHART, Rendered, render
from tests.chart.node import NAMESPACE, Node
from tests.stack.demo import gwctl
from tests.stack.process import Process, StartError, accepts_connections, free_port
from tests.stack.product import metric_sample
from tests.stack.redis import start_redis
from tests.system.waiting import wait_until

# Helm reads numbers as floats; this one has to arrive as it is.
MONTHLY_TOKENS = 512_000_000_001
SEED = json.dumps(
    {
        "projects": [
            {"id": "prj_seeded", "name": "seeded", "limits": {"monthly_tokens": MONTHLY_TOKENS}}
        ],
        "keys": [{"name": "seeded", "project_id": "prj_seeded", "token_file": "/tokens/seeded"}],
    }
)
PROJECT = json.dumps({"projects": [{"id": "prj_seeded", "name": "seeded"}]})
TOKEN_SECRET = "tokens"
TOKEN = mint(os.urandom(ENTROPY_BYTES)).token
WORKER = "StatefulSet/gw-llm-gateway-worker"
REDIS = "StatefulSet/gw-llm-gateway-redis"


@contextmanager
def running(node: Node) -> Iterator[dict[str, Process]]:
    with ExitStack() as stack:
        found = {}
        for name, start in (
            ("redis", node.start_redis),
            ("worker", node.start_worker),
            ("gateway", node.start_gateway),
        ):
            found[name] = start()
            stack.callback(found[name].stop)
        yield found


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Zero values, and something to seed."""
    rendered = render(
        sets=(f"seed.declarations={SEED}", f'seed.tokensSecret="{TOKEN_SECRET}"')
        + ('workers.simulator.config={"tokensPerSecond": 50}', "usageExporter.intervalSeconds=0.5")
    )
    secrets = {TOKEN_SECRET: {"seeded": TOKEN}}
    found = Node(rendered, tmp_path_factory.mktemp("node"), secrets)
    with running(found):
        yield found


@pytest.fixture
def client(node: Node) -> Iterator[httpx.Client]:
    url = f"http://127.0.0.1:{node.ports['gateway', '8080']}"
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {TOKEN}"}) as found:
        yield found


def test_the_seed_is_applied_and_again_changes_nothing(node: Node, client: httpx.Client) -> None:
    first = node.run("Job/gw-llm-gateway-seed")
    again = node.run("Job/gw-llm-gateway-seed")
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert "0 changes made." in again.stderr
    assert str(MONTHLY_TOKENS) in client.get("/v1/limits").text


def test_helm_test_passes(node: Node) -> None:
    for _ in range(2):
        done = node.run("Pod/gw-llm-gateway-test")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1] == "passed"


def test_helm_test_fails_when_nobody_is_there(node: Node, tmp_path: Path) -> None:
    nowhere = Node(node.rendered, tmp_path, node.secrets)
    nowhere.ports["redis", "6379"] = node.ports["redis", "6379"]
    done = nowhere.run("Pod/gw-llm-gateway-test")
    assert done.returncode == 1
    assert "Connection refused" in done.stderr


def test_the_usage_exporter_tells_what_the_gateways_have_charged(
    node: Node, client: httpx.Client
) -> None:
    exporter = node.start_usage_exporter()
    try:
        port = node.ports["usage-exporter", "9101"]

        def told(metric: str, **labels: str) -> float:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
            return metric_sample(text, metric, {"project": "prj_seeded", **labels})

        wait_until(
            lambda: (
                metric_sample(
                    httpx.get(f"http://127.0.0.1:{port}/metrics").text,
                    "gw_usage_exporter_looks_total",
                    {"result": "done"},
                )
                > 0
            ),
            "it has looked",
        )
        answer = client.post("/v1/responses", json={"model": "gpt-oss-120b", "input": "Hello"})
        usage = answer.json()["usage"]
        wait_until(
            lambda: (
                told("gw_project_tokens_total", type="output") == usage["output_tokens"]
                and told("gw_project_tokens_total", type="input") == usage["input_tokens"]
                and told("gw_project_requests_total", status="completed") == 1
            ),
            "the answer was told, and nothing else",
            timeout_s=60,
        )
        assert 0 < told("gw_project_budget_used_ratio", period="month") < 1e-3
        assert told("gw_project_info", name="seeded") == 1
    finally:
        exporter.stop()


def test_redis_knows_nobody_without_the_password_but_answers_probes(node: Node) -> None:
    container = node.container(REDIS)
    probe = container.spec["readinessProbe"]["exec"]["command"]
    assert node.execute(container, probe).stdout == "PONG\n"
    assert "NOAUTH" in node.execute(container, ["valkey-cli", "get", "gw:peppers"]).stdout
    as_probe = [*probe[:-1], "get", "gw:peppers"]
    assert (
        "NOPERM"
        in node.execute(container, as_probe).stderr + node.execute(container, as_probe).stdout
    )
    as_gateway = ["valkey-cli", "--no-auth-warning", "--user", "gateway", "--pass"]
    password = container.env["REDIS_PASSWORD"]
    assert node.execute(container, [*as_gateway, password, "ping"]).stdout == "PONG\n"
    assert "NOPERM" in node.execute(container, [*as_gateway, password, "flushall"]).stdout
    settings = _info(node, [*as_gateway, password])
    assert settings["maxmemory_policy"] == "noeviction"
    assert settings["maxmemory"] == str(256 * 2**20)
    assert settings["aof_enabled"] == "1"


def test_who_may_run_programs_in_the_pod_of_redis_may_do_what_the_runbooks_ask(node: Node) -> None:
    container = node.container(REDIS)
    mounts = container.directory / "mounts"
    operator = ["sh", str(mounts / "configuration" / "operator.sh")]
    for command, answer in (
        (["CONFIG", "GET", "maxmemory-policy"], "maxmemory-policy\nnoeviction\n"),
        (["XTRIM", "gw:{prj_none}:lg", "MINID", "1-0"], "0\n"),
        (["SLOWLOG", "RESET"], "OK\n"),
    ):
        assert node.execute(container, [*operator, *command]).stdout == answer
    kept = mounts / "run" / "operator"
    assert len(kept.read_text()) == 64
    assert kept.stat().st_mode & 0o077 == 0


def test_the_password_of_redis_is_on_no_command_line(node: Node) -> None:
    container = node.container(REDIS)
    password = container.env["REDIS_PASSWORD"]
    operators = (container.directory / "mounts" / "run" / "operator").read_text()
    lines = [each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline") if each.exists()]
    assert any(b"redis-server" in line for line in lines)
    assert not any(each.encode() in line for line in lines for each in (password, operators))
    kept = container.directory / "mounts" / "run" / "user.conf"
    assert password in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0


def test_it_does_not_matter_who_comes_up_first(tmp_path: Path) -> None:
    node = Node(render(), tmp_path)
    health = f"http://127.0.0.1:{node.ports['gateway', '9100']}/healthz"
    with node.launch_gateway() as gateway:
        gateway.wait_until(lambda: _answers(health), timeout_s=30)
        assert not node.gateway_is_ready()
        with node.start_redis(), node.start_worker():
            gateway.wait_until(node.gateway_is_ready, timeout_s=30)


def test_the_internal_redis_moves_to_another_server_as_the_document_says(tmp_path: Path) -> None:
    node = Node(render(sets=(f"seed.declarations={PROJECT}",)), tmp_path)
    with node.start_redis() as server:
        server.wait_until(lambda: accepts_connections(node.ports["redis", "6379"]), timeout_s=20)
        assert node.run("Job/gw-llm-gateway-seed").returncode == 0
        assert server.stop() == 0
    data = node.container(REDIS).directory / "mounts" / "data"
    shutil.copytree(data / "appendonlydir", tmp_path / "other" / "appendonlydir")
    port = free_port()
    with start_redis(port, tmp_path / "other", durable=True):
        told = gwctl({"REDIS_URL": f"redis://127.0.0.1:{port}/0"}, "project", "list")
    assert [each["id"] for each in told] == ["prj_seeded"]


def test_a_backup_of_the_internal_redis_is_restored_as_the_document_says(tmp_path: Path) -> None:
    node = Node(render(sets=(f"seed.declarations={PROJECT}",)), tmp_path)
    container = node.container(REDIS)
    operator = ["sh", str(container.directory / "mounts" / "configuration" / "operator.sh")]
    data = tmp_path / "other"
    data.mkdir()
    with node.start_redis() as server:
        server.wait_until(lambda: accepts_connections(node.ports["redis", "6379"]), timeout_s=20)
        assert node.run("Job/gw-llm-gateway-seed").returncode == 0
        backup = data / "gateway.rdb"
        # Through a pipe, as kubectl gives it.
        piped = [*operator, "--rdb", "/dev/stdout"]
        done = node.execute(container, ["sh", "-c", f"{shlex.join(piped)} | cat >{backup}"])
        assert done.returncode == 0, done.stderr
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with (
        start_redis(port, data, "--dbfilename", "gateway.rdb"),
        redis.Redis.from_url(url) as restored,
    ):
        restored.config_set("appendonly", "yes")
        wait_until(
            lambda: restored.info("persistence")["aof_rewrite_in_progress"] == 0,
            "the append-only file was written",
        )
    with start_redis(port, data, durable=True):
        told = gwctl({"REDIS_URL": url}, "project", "list")
    assert [each["id"] for each in told] == ["prj_seeded"]


def test_a_redis_whose_password_cannot_be_part_of_a_url_does_not_start(
    node: Node, tmp_path: Path
) -> None:
    secret = {"gw-llm-gateway-redis": {"password": "p@ss/word"}}
    container = Node(node.rendered, tmp_path, secret).container(REDIS)
    done = node.execute(container, container.command)
    assert done.returncode == 1
    assert "must consist of letters and digits" in done.stderr


def test_a_worker_that_ends_finishes_what_it_has_and_takes_nothing_new(
    node: Node, tmp_path: Path
) -> None:
    """The hook before SIGTERM, while an answer of some seconds is under way."""
    assert node.run("Job/gw-llm-gateway-seed").returncode == 0
    other = Node(node.rendered, tmp_path, node.secrets)
    other.ports["redis", "6379"] = node.ports["redis", "6379"]
    with other.start_worker() as triton, other.start_gateway():
        url = f"http://127.0.0.1:{other.ports['gateway', '8080']}"
        container = other.container(WORKER)
        hook = [*container.spec["lifecycle"]["preStop"]["exec"]["command"]]
        hook[1] = str(CHART / "files" / "drain_worker.py")
        hook.append(f"http://127.0.0.1:{other.ports['worker', '8002']}/metrics")
        events: list[str] = []
        codes: list[int] = []
        asking = threading.Thread(target=_stream, args=(url, 400, events))
        draining = threading.Thread(
            target=lambda: codes.append(other.execute(container, hook).returncode)
        )
        asking.start()
        while len(events) < 20:
            assert asking.is_alive()
            time.sleep(0.05)
        draining.start()
        while httpx.post(f"{url}/v1/responses", json=_request(1), headers=_AUTH).is_success:
            assert draining.is_alive(), "it took new work all the time"
        assert "response.completed" not in events, "the answer was under way"
        draining.join()
        asking.join(timeout=1)
        assert events[-1] in ("response.completed", "response.incomplete")
        assert codes == [0]
        assert not Path(container.env["WORKER_DRAIN_FILE"]).exists(), "a restart would find it"
        assert triton.stop(timeout_s=20) == 0


def test_a_worker_that_is_gone_is_not_waited_for(node: Node, tmp_path: Path) -> None:
    container = Node(node.rendered, tmp_path).container(WORKER)
    hook = [*container.spec["lifecycle"]["preStop"]["exec"]["command"]]
    hook[1:] = [str(CHART / "files" / "drain_worker.py"), hook[2], "http://127.0.0.1:9/metrics"]
    assert node.execute(container, hook).returncode == 0
    assert not Path(container.env["WORKER_DRAIN_FILE"]).exists()


def test_it_runs_with_tls_everywhere(tmp_path: Path) -> None:
    """At the route's end, at the admin API, and between gateways and workers, both of whom show who they are."""
    node = Node(_with_tls(), tmp_path, _certificates())
    trust = ssl.create_default_context(cadata=node.secrets["gateway"]["tls.crt"])
    trust.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    # It is asked by address here.
    trust.check_hostname = False
    with running(node):
        done = node.run("Pod/gw-llm-gateway-test")
        assert done.returncode == 0, done.stdout + done.stderr
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{node.ports['gateway', '8080']}/v1/models")
        admin = f"https://127.0.0.1:{node.ports['gateway', '9443']}/v1/organization/projects"
        key = node.container("Deployment/gw-llm-gateway-gateway").env["GATEWAY_ADMIN_KEY"]
        found = httpx.get(admin, headers={"authorization": f"Bearer {key}"}, verify=trust)
        assert [each["id"] for each in found.json()["data"]] == ["prj_helm_test"]


def test_a_worker_talks_to_nobody_without_a_certificate(tmp_path: Path) -> None:
    secrets = dict(_certificates())
    stranger = _certificates()["gateway-to-worker"]
    secrets["gateway-to-worker"] = {**stranger, "ca.crt": secrets["worker"]["ca.crt"]}
    node = Node(_with_tls(), tmp_path, secrets)
    refused = pytest.raises(StartError, match="no worker is up")
    with node.start_redis(), node.start_worker(), refused:
        node.start_gateway(timeout_s=8)


def _with_tls() -> Rendered:
    return render(
        sets=(
            'gateway.tls={"enabled": true, "existingSecret": "gateway"}',
            'admin.tls={"enabled": true, "existingSecret": "gateway"}',
            "workers.tls.enabled=true",
            'workers.tls.existingSecret="worker"',
            'workers.tls.gatewaySecret="gateway-to-worker"',
        )
    )


def _certificates() -> dict[str, dict[str, str]]:
    """What an authority of one's own, or cert-manager, puts into Secrets."""
    authority = trustme.CA()
    service = f"gw-llm-gateway-gateway.{NAMESPACE}.svc"

    def secret(*names: str) -> dict[str, str]:
        issued = authority.issue_cert(*names)
        return {
            "ca.crt": authority.cert_pem.bytes().decode(),
            "tls.crt": b"".join(blob.bytes() for blob in issued.cert_chain_pems).decode(),
            "tls.key": issued.private_key_pem.bytes().decode(),
        }

    return {
        "gateway": secret(service, "127.0.0.1"),
        "worker": secret(f"gw-llm-gateway-worker.{NAMESPACE}.svc"),
        "gateway-to-worker": secret(service),
    }


_AUTH = {"authorization": f"Bearer {TOKEN}"}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def _request(max_tokens: int) -> dict[str, object]:
    return {"model": "gpt-oss-120b", "input": "Tell me more.", "max_output_tokens": max_tokens}


def _stream(url: str, max_tokens: int, events: list[str]) -> None:
    body = {**_request(max_tokens), "stream": True}
    with httpx.stream(
        "POST", f"{url}/v1/responses", json=body, headers=_AUTH, timeout=60
    ) as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                events.append(line.removeprefix("event: "))


def _info(node: Node, client: list[str]) -> dict[str, str]:
    told = node.execute(node.container(REDIS), [*client, "info"]).stdout
    return dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
