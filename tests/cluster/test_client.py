"""Whether the client of `make test-cluster` sees what is broken; that it sees a rollout through, test_whole.py shows."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.client import ALL_OPEN, STREAMS, Tenant
from tests.cluster.manifests import client
from tests.cluster.release import Client, Release, release_without_gateways
from tests.drain.kubelet import Pod, another_pod
from tests.stack.demo import gwctl
from tests.system.waiting import wait_until

# Five seconds each, at the simulator's pace.
_WORDS = 250


@dataclass(frozen=True)
class Installed:
    """A release, and a key of a tenant's there."""

    release: Release
    key: str

    @property
    def pods(self) -> list[Pod]:
        return self.release.service.pods

    def client(self, directory: Path, key: str | None = None) -> AbstractContextManager[Client]:
        pod = self.release.node.rendered.one("Pod", "-test")
        return self.release.running_client(directory, client(pod, key or self.key, _WORDS)["items"])


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with release_without_gateways(tmp_path_factory.mktemp("node")) as release:
        project = gwctl(release.store, "project", "create", "a tenant")["id"]
        created = gwctl(release.store, "key", "create", "--project", project, "--name", "a key")
        yield Installed(release, created["token"])


@pytest.mark.timeout(120)
def test_the_client_ends_by_itself_and_tells_what_broke_when_a_gateway_is_killed(
    installed: Installed, tmp_path: Path
) -> None:
    with another_pod(installed.release.node, tmp_path / "pod") as pod:
        installed.pods[:] = [pod]
        with installed.client(tmp_path / "client") as tenant:
            tenant.wait_until_all_are_open()
            pod.process.kill()
            assert tenant.process.wait(timeout_s=60) == 1
    failures = _last_word(tenant)["failures"]
    assert sum("a stream" in each for each in failures) == STREAMS
    assert tenant.log.count("FAILED: ") == len(failures)


@pytest.mark.timeout(120)
def test_the_client_ends_at_once_when_its_key_is_not_taken(
    installed: Installed, tmp_path: Path
) -> None:
    with another_pod(installed.release.node, tmp_path / "pod") as pod:
        installed.pods[:] = [pod]
        with installed.client(tmp_path / "client", key="nonsense") as tenant:
            assert tenant.process.wait(timeout_s=60) == 1
    assert ALL_OPEN not in tenant.log
    assert "Broken('401: " in tenant.log


def _last_word(tenant: Client) -> Any:
    return json.loads(tenant.log.splitlines()[-1])


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
