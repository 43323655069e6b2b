"""The steps of `make test-cluster`, with kubectl and helm that are played."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.helm import CHART, HELM, helm
from tests.cluster.client import ALL_OPEN
from tests.cluster.played import Answer, Played, Rule, playing
from tests.system.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
DIGEST = f"sha256:{'0' * 64}"
OLD, NEW = "pod/gw-old-1\npod/gw-old-2\n", "pod/gw-new-1\npod/gw-new-2\n"
WHOLE = json.dumps({"streams": 24, "events": 73_032, "short_requests": 310, "failures": []})
BROKEN = json.dumps(
    {"streams": 9, "events": 27_000, "short_requests": 90, "failures": ["a stream: ReadError"]}
)


def deployment(**annotations: str) -> Answer:
    metadata = {"annotations": {"checksum/config": "x", **annotations}}
    return Answer(json.dumps({"spec": {"template": {"metadata": metadata}}}))


def job(**status: int) -> Answer:
    return Answer(json.dumps({"status": status}))


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Played]:
    """All goes well, as far as anybody asks."""
    hooks = helm("template", "gw", CHART, "--show-only", "templates/tests/selftest.yaml")
    rules: dict[str, Rule] = {
        "^helm get hooks": [Answer(hooks)],
        "gwctl project": [Answer('{"id": "prj_cluster_test"}')],
        "gwctl key": [Answer('{"token": "gw_token"}')],
        # It is not over before it is told to stop.
        "get job/": [job(active=1)] * 4 + [job(succeeded=1)],
        "logs job/": [
            Answer(err="ContainerCreating", code=1),
            Answer(f"{ALL_OPEN}\n"),
            Answer(f"{ALL_OPEN}\n{WHOLE}\n"),
        ],
        "get pods --selector": [Answer(OLD), Answer(OLD), Answer(OLD + NEW), Answer(NEW)],
        "get deployment/": [deployment(**{"cluster-test/rollout": "upgraded"}), deployment()],
        "get pods --output json": [Answer(json.dumps({"items": [_pod("gw-new-1")]}))],
        "logs gw-new-1": [Answer("what the gateway said\n")],
        "get events": [Answer("Warning  FailedScheduling  no node fits\n")],
    }
    with playing(tmp_path, rules) as found:
        yield found


def _pod(name: str) -> object:
    return {"metadata": {"name": name}, "status": {"containerStatuses": [{"restartCount": 0}]}}


def unreachable(directory: Path) -> str:
    """A KUBECONFIG of a cluster that nobody is."""
    server = {"server": "http://127.0.0.1:9"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": server}],
        "users": [{"name": "a", "user": {}}],
    }
    (directory / "kubeconfig").write_text(json.dumps(config))
    return str(directory / "kubeconfig")


def make(played: Played, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `make test-cluster` runs."""
    return subprocess.run(
        [sys.executable, "-m", "tests.cluster"],
        cwd=ROOT,
        env=dict(played.environment(**environment)),
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_cluster_it_is_skipped_with_a_sentence(played: Played) -> None:
    done = make(played, KUBECONFIG="")
    assert done.returncode == 0
    assert done.stdout.startswith("Skipped: there is no cluster")
    assert "KUBECONFIG=" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert played.asked() == []


def test_a_chart_that_does_what_it_should_passes(played: Played) -> None:
    done = make(played)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    steps = [line.split()[0] for line in done.stdout.splitlines()]
    assert steps == [
        *("namespace", "install", "test", "load", "upgrade", "streams", "rollback", "test"),
        *("uninstall", "namespace", "passed"),
    ]
    assert "24 streams of 73032 events were whole, 310 short requests answered" in done.stdout

    (namespace,) = set(re.findall(r"--namespace (\S+)", "\n".join(played.asked())))
    created = played.given("create --filename")
    assert created["metadata"]["name"] == namespace
    assert created["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert [each.split()[1] for each in played.asked("^helm")] == [
        *("install", "get", "test", "upgrade", "rollback", "test", "uninstall")
    ]
    for verb in ("install", "upgrade", "rollback", "uninstall"):
        (call,) = played.asked(f"^helm {verb}")
        assert " --wait --timeout 900s" in call
    # Zero values, but for what makes the upgrade one.
    assert not re.search("--values|--set", played.asked("^helm install")[0])
    assert played.asked("^helm upgrade")[0].count("--set") == 1
    assert played.asked()[-1] == (
        f"kubectl --namespace {namespace} delete namespace {namespace} --wait --timeout=300s"
    )


def test_the_upgrade_begins_when_all_streams_are_open_and_they_end_after_it(
    played: Played,
) -> None:
    assert make(played).returncode == 0
    order = "apply|logs job|upgrade|exec job|get pods"
    found = [re.search(order, each) for each in played.asked(order)]
    asked = [each[0] for each in found if each is not None]
    assert asked[asked.index("apply") :] == [
        *("apply", "logs job", "logs job"),  # its container was not there at first
        *("get pods", "upgrade", "get pods", "get pods"),  # the last old one ends under load
        *("exec job", "logs job"),
    ]


def test_values_and_images_are_handed_on_to_install_and_upgrade(played: Played) -> None:
    done = make(
        played,
        VALUES="a.yaml b.yaml",
        GATEWAY_IMAGE="registry:5000/llm/gateway:1.2",
        WORKER_IMAGE="registry:5000/llm/worker@sha256:abc",
    )
    assert done.returncode == 0
    for verb in ("install", "upgrade"):
        (call,) = played.asked(f"^helm {verb}")
        assert "--values a.yaml --values b.yaml" in call
        set_values = dict(re.findall(r"--set-string (\S+?)=(\S*)", call))
        assert set_values["gateway.image.repository"] == "registry:5000/llm/gateway"
        assert set_values["gateway.image.tag"] == "1.2"
        assert set_values["workers.simulator.image.repository"] == "registry:5000/llm/worker"
        assert set_values["workers.simulator.image.digest"] == "sha256:abc"
        assert "redis.internal.image.repository" not in set_values


def test_the_chart_takes_images_as_they_are_handed_on(played: Played) -> None:
    images = {"GATEWAY_IMAGE": "a:1/g:2", "WORKER_IMAGE": "w", "REDIS_IMAGE": f"r@{DIGEST}"}
    assert make(played, **images).returncode == 0
    flags = re.findall(r"--set-string \S+", played.asked("^helm install")[0])
    text = helm("template", "gw", CHART, *(part for each in flags for part in each.split()))
    found = set(re.findall(r"^ +image: (\S+)$", text, re.MULTILINE))
    assert found == {"a:1/g:2", "w:0.1.0", f"r@{DIGEST}"}


def test_a_failed_install_is_shown_with_pods_events_and_logs_and_leaves_nothing(
    played: Played,
) -> None:
    played.rules = {
        "^helm install": [Answer(err="Error: context deadline exceeded", code=1)]
    } | played.rules
    done = make(played)
    assert done.returncode == 1
    for shown in (
        "context deadline exceeded",
        "FailedScheduling  no node fits",
        "the log of gw-new-1",
        "what the gateway said",
    ):
        assert shown in done.stdout
    assert played.asked("^helm (test|upgrade)") == []
    assert "delete namespace" in played.asked()[-1]


def test_a_failed_stream_fails_it_and_is_told(played: Played) -> None:
    played.rules["logs job/"] = [
        Answer(f"{ALL_OPEN}\n"),
        Answer(f"{ALL_OPEN}\nFAILED: a stream, 12.0 s after it began\n{BROKEN}\n"),
    ]
    played.rules["get job/"] = [job(active=1), job(active=1), job(failed=1)]
    done = make(played)
    assert done.returncode == 1
    assert "the client saw 1 failures" in done.stdout
    assert "a stream, 12.0 s after it began" in done.stdout
    assert played.asked("^helm rollback") == []
    assert "delete namespace" in played.asked()[-1]


@pytest.mark.parametrize(
    ("rule", "answers", "sentence"),
    [
        ("get job/", [job(failed=1)], "ended before its streams were open"),
        ("get job/", [job(), job(), job(succeeded=1)], "ended before it was told to"),
        ("logs job/", [Answer(f"{ALL_OPEN}\n")], "does not say what came of it"),
        (
            "logs job/",
            [Answer(f"{ALL_OPEN}\n"), Answer(WHOLE.replace("310", "0"))],
            "has asked too little",
        ),
        ("get deployment/", [deployment()], "helm upgrade has left the Deployment as it was"),
        (
            "get deployment/",
            [deployment(**{"cluster-test/rollout": "upgraded"})],
            "helm rollback has left the Deployment as it was",
        ),
        (
            "get deployments,",
            [Answer("configmap/gw-left\n")],
            "helm uninstall has left configmap/gw-left",
        ),
        ("get pods --selector", [Answer()], "no pod has the labels"),
        ("gwctl key", [Answer("Killed")], "said no JSON:\nKilled"),
        ("^helm get hooks", [Answer("")], "test.enabled must be true"),
        (
            "^helm test",
            [Answer(err="Error: pod gw-llm-gateway-test failed", code=1)],
            "-test failed",
        ),
    ],
)
def test_what_is_not_as_it_should_be_fails_it_with_a_sentence(
    played: Played, rule: str, answers: list[Answer], sentence: str
) -> None:
    played.rules = {rule: answers} | {
        each: told for each, told in played.rules.items() if each != rule
    }
    done = make(played)
    assert done.returncode == 1
    assert sentence in done.stdout
    assert "\npassed" not in done.stdout
    assert "delete namespace" in played.asked()[-1]


def test_a_namespace_may_be_kept_and_one_that_was_not_created_is_not_deleted(
    played: Played,
) -> None:
    done = make(played, KEEP="1")
    assert done.returncode == 0
    assert "Kept: kubectl delete namespace gw-test-" in done.stdout
    assert played.asked("delete") == []
    played.rules["create --filename"] = [Answer(err="Error: forbidden", code=1)]
    done = make(played)
    assert done.returncode == 1
    assert "forbidden" in done.stdout
    assert played.asked("delete") == []


def test_the_real_programs_know_every_command_and_flag(played: Played) -> None:
    """Up to the point where they would ask the cluster."""
    played.rules = {"logs gw-new-1.*--previous": [Answer()]} | played.rules
    restarted = {
        "metadata": {"name": "gw-new-1"},
        "status": {"containerStatuses": [{"restartCount": 1}]},
    }
    played.rules["get pods --output json"] = [Answer(json.dumps({"items": [restarted]}))]
    played.rules["get deployments,"] = [Answer("configmap/gw-left")]
    assert make(played, GATEWAY_IMAGE="a/b:1").returncode == 1, "the very last step fails"
    real = {"helm": str(HELM), "kubectl": shutil.which("kubectl")}
    env = {**os.environ, "KUBECONFIG": unreachable(played.directory)}
    calls = {each["asked"]: each["given"] for each in played.calls}
    assert len(calls) > 20
    for asked, given in calls.items():
        name, *arguments = asked.split()
        if (program := real[name]) is None:
            continue  # no kubectl here
        done = subprocess.run(
            [program, *arguments], input=given, env=env, capture_output=True, text=True, check=False
        )
        assert "connection" in done.stderr, f"{asked}: {done.stderr}"
        assert "refused" in done.stderr, f"{asked}: {done.stderr}"


def test_who_interrupts_it_leaves_no_namespace(played: Played) -> None:
    interrupted = threading.Event()

    def install(*_: object) -> Answer:
        interrupted.wait()
        return Answer()

    played.rules = {"^helm install": install} | played.rules
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cluster"],
        cwd=ROOT,
        env=dict(played.environment()),
        stdout=subprocess.PIPE,
        text=True,
    ) as making:
        wait_until(lambda: bool(played.asked("^helm install")), "it installs")
        making.terminate()
        said, _ = making.communicate(timeout=30)
    interrupted.set()
    assert making.returncode == 1
    assert said.splitlines()[1] == "install    interrupted"
    assert "delete namespace" in played.asked()[-1]


def test_a_cluster_that_tells_nothing_any_more_hides_no_failure(played: Played) -> None:
    gone = [Answer(err="Unable to connect to the server", code=1)]
    played.rules = {"^helm install": [Answer(err="Error: no nodes", code=1)], "get |logs ": gone}
    done = make(played)
    assert (done.returncode, done.stderr) == (1, "")
    assert "Error: no nodes" in done.stdout
    assert "Unable to connect to the server" in done.stdout
