"""A rollout, a scale-down, and an end that comes too early: `make test-drain`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.chart.helm import render
from tests.chart.node import Node
from tests.drain.kubelet import Pod, Service, another_pod
from tests.stack.demo import Tenant, gwctl
from tests.system.http import MODEL, simulate
from tests.system.waiting import wait_until

_STREAMS = 8
_STREAM_S = 5
# Short, for nobody wants to wait; the arithmetic is the chart's.
_TIMES = (
    "gateway.drain.preStopSeconds=2",
    "gateway.drain.delaySeconds=2",
    "gateway.drain.settleSeconds=10",
    "gateway.config.bodyTimeoutSeconds=2",
    "gateway.config.queueTimeoutSeconds=1",
    "gateway.config.maxDurationSeconds=20",
)
_INTERVAL_S = 5
_CUT = (
    *_TIMES,
    "gateway.drain.timeoutSeconds=1",
    "gateway.drain.allowTruncation=true",
    "metrics.podMonitor.enabled=true",
    f'metrics.podMonitor.interval="{_INTERVAL_S}s"',
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Redis and a worker; no gateway yet."""
    found = Node(render(sets=_TIMES), tmp_path_factory.mktemp("node"))
    with found.start_redis(), found.start_worker(WORKER_SIMULATOR_DIRECTIVES="1"):
        yield found


@pytest.fixture(scope="module")
def tenant(node: Node) -> Tenant:
    return _new_tenant(node)


def _store(node: Node) -> dict[str, str]:
    """What gwctl finds the release's Redis by, whatever gateways there are."""
    env = node.container("Deployment/gw-llm-gateway-gateway").env
    return {name: env[name] for name in ("REDIS_URL", "GATEWAY_KEY_PEPPERS")} | {
        "GATEWAY_ADMIN_URL": ""
    }


def _new_tenant(node: Node) -> Tenant:
    project = gwctl(_store(node), "project", "create", "a tenant")
    key = gwctl(_store(node), "key", "create", "--project", project["id"], "--name", "a key")
    return Tenant(project["id"], key["token"])


@dataclass
class Stream:
    """One that a client reads to its end, in a thread."""

    events: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False  # `[DONE]` has come
    failure: Exception | None = None

    def begin(self, url: str, tenant: Tenant, seconds: float) -> threading.Thread:
        asked = simulate(reasoning="", repeat=round(seconds * 40), tokens_per_second=40)
        thread = threading.Thread(target=self._read, args=(url, tenant, asked))
        thread.start()
        wait_until(lambda: self.failure is not None or len(self.events) > 6, "it had begun")
        assert self.failure is None
        return thread

    def _read(self, url: str, tenant: Tenant, asked: str) -> None:
        body = {"model": MODEL, "stream": True, "input": asked}
        headers = {"authorization": f"Bearer {tenant.key}"}
        try:
            with httpx.stream(
                "POST", f"{url}/v1/responses", json=body, headers=headers, timeout=30
            ) as answer:
                assert answer.status_code == 200, answer.read()
                for line in answer.iter_lines():
                    if line.startswith("data: {"):
                        self.events.append(json.loads(line.removeprefix("data: ")))
                    self.done |= line == "data: [DONE]"
        except (httpx.HTTPError, AssertionError) as exc:
            self.failure = exc

    @property
    def whole(self) -> bool:
        numbers = [event["sequence_number"] for event in self.events]
        return (
            self.failure is None
            and self.done
            and numbers == list(range(len(numbers)))
            and self.events[-1]["type"] == "response.completed"
        )


class ShortRequests:
    """One after the other, each over a connection of its own, until they are stopped."""

    def __init__(self, service: Service, tenant: Tenant) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._service, self._tenant = service, tenant
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        body = {"model": MODEL, "input": simulate(reasoning="", text="Yes.")}
        headers = {"authorization": f"Bearer {self._tenant.key}"}
        while not self._stop.is_set():
            try:
                answer = httpx.post(
                    f"{self._service.url()}/v1/responses", json=body, headers=headers, timeout=20
                )
            except httpx.HTTPError as exc:
                self.failures.append(repr(exc))
                continue
            self.answered += answer.is_success
            if not answer.is_success:
                self.failures.append(answer.text)


@pytest.mark.timeout(180)
def test_a_rollout_cuts_no_stream_and_fails_no_request(
    node: Node, tenant: Tenant, tmp_path: Path
) -> None:
    service = Service()
    streams = [Stream() for _ in range(_STREAMS)]
    exit_codes = []
    with ExitStack() as running:
        for number in range(2):
            service.pods.append(
                running.enter_context(another_pod(node, tmp_path / f"old-{number}"))
            )
        with ShortRequests(service, tenant) as short:
            threads = [each.begin(service.url(), tenant, _STREAM_S) for each in streams]
            for number in range(2):  # maxSurge 1, maxUnavailable 0
                new = running.enter_context(another_pod(node, tmp_path / f"new-{number}"))
                assert new.ready()
                service.pods.append(new)
                exit_codes.append(service.pods[number].terminate())
            for thread in threads:
                thread.join()
    assert [each.failure for each in streams] == [None] * _STREAMS
    assert all(each.whole for each in streams)
    assert short.failures == []
    assert short.answered > 10
    assert exit_codes == [0, 0]


def test_who_ends_says_so_first_and_serves_whoever_has_not_heard(
    node: Node, tenant: Tenant, tmp_path: Path
) -> None:
    with another_pod(node, tmp_path) as pod:
        stream = Stream()
        reading = stream.begin(pod.url, tenant, _STREAM_S)
        ending = pod.terminating()
        assert pod.ready(), "preStop: as if nothing were"
        assert _asked(pod, tenant) == 200
        wait_until(lambda: not pod.ready(), "it said that it ends")
        assert not stream.done
        assert _asked(pod, tenant) == 200, "there are load balancers that are told slowly"
        reading.join()
        assert stream.whole
        read_at = time.monotonic()
        ending.join()
        assert time.monotonic() - read_at < 5, "nothing keeps it when its last stream has ended"
        assert pod.process.wait(timeout_s=0) == 0


@pytest.mark.parametrize("scraped", [True, False], ids=["watched", "unwatched"])
def test_a_stream_that_is_longer_than_the_grace_ends_with_an_error_and_an_exact_bill(
    tmp_path: Path, scraped: bool
) -> None:
    node = Node(render(sets=_CUT), tmp_path / "node")
    with ExitStack() as running:
        running.enter_context(node.start_redis())
        running.enter_context(node.start_worker(WORKER_SIMULATOR_DIRECTIVES="1"))
        pod = running.enter_context(another_pod(node, tmp_path / "pod"))
        cut, stream = _new_tenant(node), Stream()
        reading = stream.begin(pod.url, cut, 15)
        told = running.enter_context(scraping(pod)) if scraped else []
        assert pod.terminate() == 0, "before SIGKILL"
        reading.join()
        (usage,) = gwctl(_store(node), "usage", "--project", cut.project_id)
    assert stream.failure is None
    assert stream.done
    error, failed = stream.events[-2:]
    assert (error["type"], error["code"]) == ("error", "shutting_down")
    assert failed["type"] == "response.failed"
    billed = failed["response"]["usage"]["output_tokens"]
    assert 0 < billed < 15 * 40
    assert (usage["requests"], usage["output_tokens"]) == (1, billed)
    if scraped:
        sample = 'gw_streams_cut_total{by="drain"} '
        assert [line for line in told[-1].splitlines() if line.startswith(sample)] == [
            f"{sample}1.0"
        ]


def _asked(pod: Pod, tenant: Tenant) -> int:
    return httpx.post(
        f"{pod.url}/v1/responses",
        json={"model": MODEL, "input": simulate(reasoning="", text="Yes.")},
        headers={"authorization": f"Bearer {tenant.key}"},
        timeout=20,
    ).status_code


@contextmanager
def scraping(pod: Pod) -> Iterator[list[str]]:
    """What Prometheus is told of the pod, once an interval, for as long as it answers."""
    told: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(_INTERVAL_S):
            with suppress(httpx.TransportError):
                told.append(httpx.get(pod.metrics_url, timeout=2).text)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield told
    finally:
        over.set()
        thread.join()
