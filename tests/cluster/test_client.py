"""The client of `make test-cluster`: for real, while pods are replaced; and whether it sees what is broken."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.chart.helm import Rendered, render
from tests.chart.node import Node
from tests.cluster import service
from tests.cluster.client import ALL_OPEN, STREAMS, Tenant
from tests.cluster.manifests import CLIENT, client
from tests.drain.kubelet import Service, another_pod
from tests.stack.demo import gwctl
from tests.stack.process import Process
from tests.system.waiting import wait_until

# Five seconds each, at the simulator's pace.
_WORDS = 250
# Short, for nobody wants to wait; the arithmetic is the chart's.
_TIMES = (
    "gateway.drain.preStopSeconds=2",
    "gateway.drain.delaySeconds=2",
    "gateway.drain.settleSeconds=10",
    "gateway.config.bodyTimeoutSeconds=2",
    "gateway.config.queueTimeoutSeconds=1",
    "gateway.config.maxDurationSeconds=30",
)


@dataclass
class Release:
    """Redis and a worker, as the chart runs them; gateways come and go behind one address."""

    node: Node
    service: Service
    key: str

    @contextmanager
    def client(self, directory: Path, key: str | None = None) -> Iterator[_Client]:
        """The Job's container, as a process."""
        items = client(self.node.rendered.one("Pod", "-test"), key or self.key, _WORDS)["items"]
        rendered = Rendered((*self.node.rendered.objects, *items))
        (secret,) = [each for each in items if each["kind"] == "Secret"]
        node = Node(rendered, directory, {CLIENT: secret["stringData"]})
        with service.Service(self._port) as address:
            node.ports["gateway", "8080"] = address.port
            container = node.container(f"Job/{CLIENT}")
            path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
            with Process(
                "The client",
                container.command,
                log=directory / "log",
                env={**container.env, "PATH": path},
            ) as process:
                yield _Client(process, Path(container.env["STOP_FILE"]))

    def _port(self) -> int:
        port = urlsplit(self.service.url()).port
        assert port is not None
        return port


@dataclass
class _Client:
    process: Process
    stop_file: Path

    @property
    def log(self) -> str:
        return self.process.log.read_text()

    def wait_until_all_are_open(self) -> None:
        self.process.wait_until(lambda: ALL_OPEN in self.log, timeout_s=20)

    def told(self) -> Any:
        """Its last word, when it has ended."""
        return json.loads(self.log.splitlines()[-1])


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    node = Node(render(sets=_TIMES), tmp_path_factory.mktemp("node"))
    with node.start_redis(), node.start_worker():
        env = node.container("Deployment/gw-llm-gateway-gateway").env
        store = {name: env[name] for name in ("REDIS_URL", "GATEWAY_KEY_PEPPERS")}
        store["GATEWAY_ADMIN_URL"] = ""
        project = gwctl(store, "project", "create", "a tenant")["id"]
        key = gwctl(store, "key", "create", "--project", project, "--name", "a key")["token"]
        yield Release(node, Service(), key)


@pytest.mark.timeout(180)
def test_the_client_sees_a_rollout_through_that_cuts_no_stream(
    release: Release, tmp_path: Path
) -> None:
    pods = release.service.pods = []
    with ExitStack() as running:
        for number in range(2):
            old = running.enter_context(another_pod(release.node, tmp_path / f"old-{number}"))
            pods.append(old)
        with release.client(tmp_path / "client") as tenant:
            tenant.wait_until_all_are_open()
            for number in range(2):  # maxSurge 1, maxUnavailable 0
                new = running.enter_context(another_pod(release.node, tmp_path / f"new-{number}"))
                pods.append(new)
                assert pods[number].terminate() == 0
            assert tenant.process.running, tenant.log
            tenant.stop_file.touch()
            assert tenant.process.wait(timeout_s=30) == 0, tenant.log
    told = tenant.told()
    assert told["failures"] == []
    assert told["streams"] >= 2 * STREAMS, "some began before the rollout, and some behind it"
    assert told["short_requests"] > 10


@pytest.mark.timeout(120)
def test_the_client_ends_by_itself_and_tells_what_broke_when_a_gateway_is_killed(
    release: Release, tmp_path: Path
) -> None:
    with another_pod(release.node, tmp_path / "pod") as pod:
        release.service.pods = [pod]
        with release.client(tmp_path / "client") as tenant:
            tenant.wait_until_all_are_open()
            pod.process.kill()
            assert tenant.process.wait(timeout_s=30) == 1
    failures = tenant.told()["failures"]
    assert sum("a stream" in each for each in failures) == STREAMS
    assert tenant.log.count("FAILED: ") == len(failures)


@pytest.mark.timeout(120)
def test_the_client_ends_at_once_when_its_key_is_not_taken(
    release: Release, tmp_path: Path
) -> None:
    with another_pod(release.node, tmp_path / "pod") as pod:
        release.service.pods = [pod]
        with release.client(tmp_path / "client", key="nonsense") as tenant:
            assert tenant.process.wait(timeout_s=20) == 1
    assert ALL_OPEN not in tenant.log
    assert "Broken('401: " in tenant.log


def _event(number: int, kind: str, **more: object) -> str:
    return json.dumps({"type": kind, "sequence_number": number, **more})


_BEGIN = _event(0, "response.created")
_TEXT = _event(1, "response.output_text.delta", delta="sky")
_OUTPUT = [{"type": "message", "content": [{"text": "sky"}]}]
_COMPLETED = _event(2, "response.completed", response={"output": _OUTPUT})
_FAILED = _event(2, "response.failed", response={"output": []})
_GAP = _event(3, "response.completed", response={"output": _OUTPUT})


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([_BEGIN, _TEXT, _COMPLETED, "[DONE]"], None),
        ([_BEGIN, _TEXT, _COMPLETED], "the last of 3 events was"),
        ([_BEGIN, _TEXT, "[DONE]"], "the last of 2 events was"),
        ([_BEGIN, _TEXT, _FAILED, "[DONE]"], "response.failed"),
        ([_BEGIN, _TEXT, _GAP, "[DONE]"], "in place of event 2 came"),
        ([_BEGIN, _TEXT, _TEXT, _COMPLETED, "[DONE]"], "in place of event 2 came"),
        (
            [_BEGIN, _event(1, "response.in_progress"), _COMPLETED, "[DONE]"],
            "the text of 3 events is not that of the response",
        ),
        ([_BEGIN, '{"type": '], "JSONDecodeError"),
        ([], "the last of 0 events was"),
    ],
)
def test_the_client_takes_no_stream_that_is_not_whole(
    lines: Sequence[str], said: str | None, tmp_path: Path
) -> None:
    with _broken_gateway(lines, 200) as url:
        failures = _ask(url, tmp_path)
    if said is None:
        assert failures == []
    else:
        assert failures
        assert all(said in each and each.startswith("a stream") for each in failures), failures


def test_the_client_takes_no_short_request_that_fails(tmp_path: Path) -> None:
    with _broken_gateway([_BEGIN, _TEXT, _COMPLETED, "[DONE]"], 503) as url:
        (failure,) = _ask(url, tmp_path)
    assert failure.startswith("a short request")
    assert "503: played" in failure


def _ask(url: str, directory: Path) -> list[str]:
    """What went wrong, until there were some whole streams."""
    tenant = Tenant(url, "m", "k", 1, directory / "stop")
    asking = threading.Thread(target=tenant.ask_until_stopped)
    asking.start()
    wait_until(
        lambda: bool(tenant.failures) or (tenant.streams > STREAMS and tenant.short_requests > 1),
        "it had an opinion",
    )
    (directory / "stop").touch()
    asking.join()
    return tenant.failures


@contextmanager
def _broken_gateway(lines: Sequence[str], short_status: int) -> Iterator[str]:
    """What no gateway of ours sends, unless it is broken: *lines* as the data of a stream."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            streams = asked.get("stream")
            body = "".join(f"data: {each}\n\n" for each in lines) if streams else "played"
            self.send_response(200 if streams else short_status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
