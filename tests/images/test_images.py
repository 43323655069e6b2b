"""The images run as the chart's pods do, and answer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.images.docker import RESTRICTED, ROOT, Docker, docker_engine
from tests.stack.demo import gwctl
from tests.stack.gateway import is_ready
from tests.stack.process import free_port
from tests.stack.product import PEPPERS
from tests.stack.redis import start_redis
from tests.system.waiting import wait_until

TAG = "tested"
GATEWAY, WORKER = f"llm-gateway/gateway:{TAG}", f"llm-gateway/worker-sim:{TAG}"
SBOM = "/usr/share/sbom/llm-gateway.cdx.json"

pytestmark = [
    pytest.mark.timeout(900),  # a base is made perhaps, and packages are fetched
    pytest.mark.skipif(
        os.environ.get("REQUIRE_IMAGES") != "1",
        reason="they take minutes to build: `make test-images` does it",
    ),
]


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """With the images in it."""
    with docker_engine(tmp_path_factory.mktemp("docker")) as engine:
        engine.build(TAG)
        yield engine


def test_a_streamed_answer_comes_out_of_the_images(
    docker: Docker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    redis_port = free_port()
    grpc, http, metrics = free_port(), free_port(), free_port()
    port, ops_port = free_port(), free_port()
    redis_url = f"redis://127.0.0.1:{redis_port}/0"
    worker_flags = [
        *(
            "--model-control-mode=none",
            "--disable-auto-complete-config",
            "--allow-gpu-metrics=false",
        ),
        *("--grpc-address=127.0.0.1", f"--grpc-port={grpc}"),
        *("--http-address=127.0.0.1", f"--http-port={http}"),
        *("--metrics-address=127.0.0.1", f"--metrics-port={metrics}"),
    ]
    settings = {
        "GATEWAY_PORT": str(port),
        "GATEWAY_OPS_PORT": str(ops_port),
        "GATEWAY_WORKERS": f"127.0.0.1:{grpc}",
        "GATEWAY_KEY_PEPPERS": PEPPERS,
        "REDIS_URL": redis_url,
    }
    with (
        start_redis(redis_port, tmp_path_factory.mktemp("redis")),
        docker.running(WORKER, *worker_flags, env={}, options=["--shm-size", "256m"]),
    ):
        wait_until(
            lambda: _answers(f"http://127.0.0.1:{http}/v2/models/gpt-oss-120b/ready"),
            "the worker was ready",
            timeout_s=60,
        )
        began = time.monotonic()
        with docker.running(GATEWAY, env=settings) as container:
            wait_until(lambda: is_ready(ops_port), "the gateway was ready", timeout_s=60)
            print(f"the gateway was ready after {time.monotonic() - began:.1f} s")
            store = {
                "REDIS_URL": redis_url,
                "GATEWAY_ADMIN_URL": "",
                "GATEWAY_KEY_PEPPERS": PEPPERS,
            }
            project = gwctl(store, "project", "create", "of images")["id"]
            key = gwctl(store, "key", "create", "--project", project, "--name", "k")["token"]
            events = []
            with httpx.stream(
                "POST",
                f"http://127.0.0.1:{port}/v1/responses",
                headers={"authorization": f"Bearer {key}"},
                json={"model": "gpt-oss-120b", "input": "Hello", "stream": True},
                timeout=30,
            ) as answer:
                for line in answer.iter_lines():
                    if line.startswith("data: {"):
                        events.append(json.loads(line.removeprefix("data: ")))
            assert events[-1]["type"] == "response.completed"
            usage = docker(
                "exec", "--env", "GATEWAY_ADMIN_URL=", container, "gwctl", "usage", "-o", "json"
            )
            assert json.loads(usage)[0]["requests"] == 1
            docker("stop", "--time", "30", container)
            assert docker("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"


@pytest.mark.parametrize("image", [GATEWAY, WORKER])
def test_an_image_holds_what_runs_and_nothing_else(docker: Docker, image: str) -> None:
    (found,) = json.loads(docker("image", "inspect", image))
    config = found["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"][0] == "python", "no shell is needed"
    assert config["Labels"]["org.opencontainers.image.revision"]
    history = docker("image", "history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert "://" not in history
    for module in ("pip", "setuptools"):
        with pytest.raises(subprocess.CalledProcessError):
            docker(
                "run",
                "--rm",
                *RESTRICTED,
                "--entrypoint",
                "python",
                image,
                "-c",
                f"import {module}",
            )
    writable = (
        "import os; print([os.path.join(d, f) for d, _, fs in os.walk('/opt') for f in fs"
        " if os.access(os.path.join(d, f), os.W_OK)])"
    )
    flags = ("run", "--rm", "--user", "10001:10001", "--network", "none")
    assert docker(*flags, "--entrypoint", "python", image, "-c", writable).strip() == "[]"


@pytest.mark.parametrize("image", [GATEWAY, WORKER])
def test_the_sbom_in_an_image_tells_every_package_that_is_installed_there(
    docker: Docker, image: str
) -> None:
    installed = (
        "import importlib.metadata as m, json;"
        "print(json.dumps([[d.name, d.version] for d in m.distributions()]))"
    )
    run = ("run", "--rm", "--network", "none", *RESTRICTED, "--entrypoint", "python", image)
    found = json.loads(docker(*run, "-c", installed))
    text = docker(*run, "-c", f"print(open({SBOM!r}).read())")
    told = json.loads(text)
    components = [told["metadata"]["component"], *told["components"]]
    listed = {(_canonical(each["name"]), each["version"]) for each in components}
    assert {(_canonical(name), version) for name, version in found} <= listed
    assert len(found) > 10
    beside = ROOT / "build/images" / f"{image.rpartition('/')[2].partition(':')[0]}.cdx.json"
    assert told == json.loads(beside.read_text())


def test_the_gateway_shows_its_settings_without_a_shell(docker: Docker) -> None:
    env = ["--env", f"GATEWAY_KEY_PEPPERS={PEPPERS}", "--env", "GATEWAY_WORKERS=worker:8001"]
    shown = docker("run", "--rm", "--network", "none", *RESTRICTED, *env, GATEWAY, "--print-config")
    assert json.loads(shown)["port"] == 8080
    assert PEPPERS not in shown


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
