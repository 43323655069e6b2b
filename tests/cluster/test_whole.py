"""`make test-cluster` as a whole: only kubectl, helm and the kubelet are played; pods, Job and gwctl are real."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from tests.cluster.client import STREAMS
from tests.cluster.played import Answer, Rule, playing
from tests.cluster.release import Client, Release, release_without_gateways
from tests.drain.kubelet import Pod, another_pod
from tests.stack.demo import gwctl

ROOT = Path(__file__).resolve().parents[2]


class Kubernetes:
    """What a cluster does when it is asked, as far as the steps ask it."""

    def __init__(self, release: Release, directory: Path) -> None:
        self._release, self._directory = release, directory
        self._running = ExitStack()
        self._pods: dict[str, Pod] = {}
        self._ending: list[threading.Thread] = []
        self._rollout: str | None = None
        self._client: Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._ending:
            each.join()
        self._running.close()

    def rules(self) -> dict[str, Rule]:
        return {
            "^helm install": self._install,
            "^helm get hooks": [Answer(yaml.safe_dump(self._test_pod()))],
            "^helm test": self._test,
            "^helm upgrade": self._upgrade,
            "^helm rollback": self._roll_back,
            " gwctl ": self._gwctl,
            " apply ": self._apply,
            "logs job/": lambda *_: Answer(self._the_client().log),
            "get job/": self._get_job,
            "exec job/": self._stop_client,
            "get pods --selector": self._get_pods,
            "get deployment/": self._get_deployment,
        }

    def _test_pod(self) -> Any:
        return self._release.node.rendered.one("Pod", "-test")

    def _the_client(self) -> Client:
        assert self._client is not None
        return self._client

    def _install(self, *_: object) -> Answer:
        for number in range(2):
            self._start_pod(f"old-{number}")
        return Answer()

    def _start_pod(self, name: str) -> None:
        pod = another_pod(self._release.node, self._directory / name)
        self._pods[name] = self._running.enter_context(pod)
        self._release.service.pods.append(self._pods[name])

    def _test(self, *_: object) -> Answer:
        with self._release.at_one_address(self._directory / "test") as node:
            done = node.run("Pod/gw-llm-gateway-test")
        return Answer(done.stdout, done.stderr, done.returncode)

    def _upgrade(self, *_: object) -> Answer:
        """maxSurge 1, maxUnavailable 0; the last of the old pods ends behind Helm's back."""
        for number in range(2):
            self._start_pod(f"new-{number}")
            self._ending.append(self._pods[f"old-{number}"].terminating())
        self._rollout = "upgraded"
        return Answer()

    def _roll_back(self, *_: object) -> Answer:
        self._rollout = None
        return Answer()

    def _gwctl(self, asked: str, _: Any) -> Answer:
        arguments = asked.partition(" -- gwctl ")[2].removesuffix(" -o json").split()
        return Answer(json.dumps(gwctl(self._release.store, *arguments)))

    def _apply(self, _: str, given: Any) -> Answer:
        running = self._release.running_client(self._directory / "client", given["items"])
        self._client = self._running.enter_context(running)
        return Answer()

    def _get_job(self, *_: object) -> Answer:
        process = self._the_client().process
        if process.running:
            return Answer('{"status": {"active": 1}}')
        ended = "failed" if process.wait(timeout_s=0) else "succeeded"
        return Answer(json.dumps({"status": {ended: 1}}))

    def _stop_client(self, asked: str, _: Any) -> Answer:
        stop_file = self._the_client().stop_file
        program = asked.partition(" -- python -c ")[2].replace("/tmp/stop", str(stop_file))
        subprocess.run([sys.executable, "-c", program], check=True)
        return Answer()

    def _get_pods(self, *_: object) -> Answer:
        return Answer("\n".join(n for n, pod in self._pods.items() if pod.process.running))

    def _get_deployment(self, *_: object) -> Answer:
        annotations = {"cluster-test/rollout": self._rollout} if self._rollout else {}
        template = {"metadata": {"annotations": annotations}}
        return Answer(json.dumps({"spec": {"template": template}}))


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    with release_without_gateways(tmp_path / "node") as found:
        yield found


@pytest.mark.timeout(300)
def test_a_release_of_real_pods_passes_the_whole_of_it(release: Release, tmp_path: Path) -> None:
    with (
        Kubernetes(release, tmp_path) as kubernetes,
        playing(tmp_path, kubernetes.rules()) as played,
    ):
        done = subprocess.run(
            [sys.executable, "-m", "tests.cluster"],
            cwd=ROOT,
            env=dict(played.environment(STREAM_WORDS="250")),
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "the 2 old ones have ended" in done.stdout
    (streams,) = [line for line in done.stdout.splitlines() if line.startswith("streams")]
    assert int(streams.split()[1]) >= 2 * STREAMS, streams
    assert done.stdout.splitlines()[-1] == "passed"
