"""How each gateway is started, in front of which model, and what it is asked with.

Each runs as its makers advise for one process, with what it has of tenants turned on: a key and
its limits. What that is differs, and bench/README.md says how. A gateway that is not installed,
or does not start, is told of in the table with the reason.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.command import commit
from bench.peers.scenarios import BUILD, ENOUGH, PROMPT, Scenario
from tests.stack.process import Process, free_port
from tests.stack.product import Product, metric_sample, running_product
from tests.stack.redis import start_redis
from tests.system.http import MODEL, simulate

CONF = Path(__file__).parent / "conf"
PORTKEY = Path(__file__).parent / "portkey" / "node_modules" / "@portkey-ai" / "gateway"
CHAT = "/v1/chat/completions"
TENANT = {"authorization": "Bearer sk-tenant-a"}


class NotInstalled(Exception):
    """The text says what to do."""


@dataclass
class Running:
    """A gateway that answers."""

    url: str  # whole: where requests go
    pids: list[int]  # whose CPU and memory are counted, with their children's
    headers: Mapping[str, str]
    set_pace: Callable[[Scenario], None]  # how the next answers are generated
    body: Callable[[Scenario], Mapping[str, Any]]  # the JSON of a request
    tokens: Callable[[], float] | None = None  # so far, where the lines of clients do not tell


@dataclass(frozen=True)
class Gateway:
    name: str
    does: str  # for each request, beside passing it on
    start: Callable[[Path], AbstractContextManager[Running]]
    version: Callable[[], str]  # raises NotInstalled


# --- the model server of those that speak HTTP to one -------------------------------


@contextmanager
def fake_upstream(directory: Path) -> Iterator[str]:
    port = free_port()
    process = Process(
        "The fake model server",
        [BUILD / "fake_upstream", "--port", str(port)],
        log=directory / "upstream.log",
    )
    url = f"http://127.0.0.1:{port}"
    try:
        process.wait_until(lambda: _answers(f"{url}/health"), timeout_s=10)
        yield url
    finally:
        process.stop()


def _pace_of(upstream: str) -> Callable[[Scenario], None]:
    def set_pace(scenario: Scenario) -> None:
        httpx.get(
            f"{upstream}/__config",
            params={
                "chunks": scenario.deltas,
                "delay_us": scenario.delay_us,
                "ttft_us": 0,
                "pad": 0,
            },
        ).raise_for_status()

    return set_pace


def _chat(scenario: Scenario) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": ENOUGH,
    }
    return {**body, "stream": True} if scenario.stream else body


# --- the gateways -------------------------------------------------------------------


@contextmanager
def direct(directory: Path) -> Iterator[Running]:
    with fake_upstream(directory) as upstream:
        yield Running(upstream + CHAT, [], {}, _pace_of(upstream), _chat)


@contextmanager
def litellm(directory: Path) -> Iterator[Running]:
    redis_port, port = free_port(), free_port()
    for name in ("litellm.yaml", "litellm_auth.py"):
        shutil.copy(CONF / name, directory / name)
    with fake_upstream(directory) as upstream, start_redis(redis_port, directory / "redis"):
        environment = {
            "BENCH_UPSTREAM_V1": f"{upstream}/v1",
            "BENCH_REDIS_PORT": str(redis_port),
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOCAL_BLOG_POSTS": "True",
            "NO_DOCS": "True",
        }
        command = [
            *(Path(".venv-peer-litellm/bin/litellm").absolute(), "--host", "127.0.0.1"),
            *("--config", directory / "litellm.yaml", "--port", str(port)),
            *("--num_workers", "1", "--telemetry", "False"),
        ]
        with _running("litellm", command, directory, environment) as process:
            url = f"http://127.0.0.1:{port}"
            process.wait_until(lambda: _answers(f"{url}/health/liveliness"), timeout_s=120)
            yield Running(url + CHAT, [process.pid], TENANT, _pace_of(upstream), _chat)


@contextmanager
def smg(directory: Path) -> Iterator[Running]:
    port = free_port()
    limits = (CONF / "smg_tenants.yaml").read_text()
    limits = limits.replace("$TPM", "4000000000").replace("$RPM", "100000000")
    (directory / "tenants.yaml").write_text(limits)
    with fake_upstream(directory) as upstream:
        command = [
            *(Path(".venv-peer-smg/bin/smg").absolute(), "launch", "--backend", "openai"),
            *("--worker-urls", upstream, "--host", "127.0.0.1", "--port", str(port)),
            *("--prometheus-host", "127.0.0.1", "--prometheus-port", str(free_port())),
            *("--log-level", "warn", "--history-backend", "none", "--disable-retries"),
            *("--tenant-api-key", "project-a:sk-tenant-a", "--tenant-rate-limit-enabled"),
            *("--tenant-rate-limit-config", directory / "tenants.yaml"),
        ]
        with _running("smg", command, directory) as process:
            url = f"http://127.0.0.1:{port}"
            process.wait_until(lambda: _answers(f"{url}/health"), timeout_s=60)
            yield Running(url + CHAT, [process.pid], TENANT, _pace_of(upstream), _chat)


@contextmanager
def portkey(directory: Path) -> Iterator[Running]:
    port = free_port()
    with fake_upstream(directory) as upstream:
        command = [
            *("node", "--require", CONF / "loopback.cjs"),
            *(PORTKEY / "build" / "start-server.js", f"--port={port}", "--headless"),
        ]
        environment = {
            "NODE_ENV": "production",
            "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost",
        }
        headers = {
            "authorization": "Bearer sk-bench",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"{upstream}/v1",
        }
        with _running("portkey", command, directory, environment) as process:
            url = f"http://127.0.0.1:{port}"
            process.wait_until(lambda: _answers(url), timeout_s=60)
            yield Running(url + CHAT, [process.pid], headers, _pace_of(upstream), _chat)


@contextmanager
def dynamo(directory: Path) -> Iterator[Running]:
    """Tokenizes, routes and detokenizes by itself: its worker stands where an engine would."""
    python = Path(".venv-peer-dynamo/bin/python").absolute()
    model = directory / "model"
    subprocess.run(
        [python, CONF / "tiny_model.py", model, CONF.parent / "src" / "loadgen.c"], check=True
    )
    pace = directory / "pace.json"

    def set_pace(scenario: Scenario) -> None:
        pace.write_text(json.dumps({"chunks": scenario.deltas, "delay_us": scenario.delay_us}))

    pace.write_text(json.dumps({"chunks": 8, "delay_us": 0}))
    here = "127.0.0.1"
    environment = {
        "DYN_FILE_KV": str(directory / "kv"),
        "DYN_DISCOVERY_BACKEND": "file",
        "DYN_REQUEST_PLANE": "tcp",
        "DYN_EVENT_PLANE": "zmq",
        "DYN_TCP_RPC_HOST": here,
        "DYN_TCP_RESPONSE_STREAM_HOST": here,
        "DYN_EVENT_PLANE_HOST": here,
        "DYN_SYSTEM_HOST": here,
        "HF_HUB_OFFLINE": "1",
        "DYN_LOG": "error",
    }
    port = free_port()
    frontend = [
        *(python, "-m", "dynamo.frontend", "--http-host", here, "--http-port", str(port)),
        *("--discovery-backend", "file", "--request-plane", "tcp", "--event-plane", "zmq"),
        *("--router-mode", "round-robin"),
    ]
    worker = [python, (CONF / "dynamo_worker.py").absolute(), model]
    url = f"http://{here}:{port}"
    with (
        _running("dynamo-worker", worker, directory, environment),
        _running("dynamo", frontend, directory, environment) as process,
    ):
        process.wait_until(lambda: _has_models(url), timeout_s=120)
        yield Running(url + CHAT, [process.pid], {}, set_pace, _chat)


@contextmanager
def ours(directory: Path) -> Iterator[Running]:
    """All of the product: keys, policies, quotas and bills in Redis, a real Triton."""
    worker = {
        "WORKER_SIMULATOR_FIRST_TOKEN_MS": "0",
        "WORKER_SIMULATOR_TOKENS_PER_SECOND": "0",
        "WORKER_SIMULATOR_DIRECTIVES": "1",
        "WORKER_MAX_RUNNING": "1200",
    }
    with running_product(directory, worker_env=worker) as product:
        tenant = product.new_project(requests_per_minute=10**8, tokens_per_minute=10**12)

        def body(scenario: Scenario) -> dict[str, Any]:
            pace = {"tokens_per_second": 1e6 / scenario.delay_us if scenario.delay_us else 0}
            said = simulate(repeat=scenario.deltas, reasoning="", **pace)
            return {
                "model": MODEL,
                "input": f"{said}\n{PROMPT}",
                "max_output_tokens": ENOUGH,
                "stream": scenario.stream,
            }

        yield Running(
            f"{product.url}/v1/responses",
            [product.gateway.pid],
            {"authorization": f"Bearer {tenant.key}"},
            lambda scenario: None,  # each request says it
            body,
            lambda: _completion_tokens(product),
        )


def _completion_tokens(product: Product) -> float:
    text = httpx.get(product.workers[0].metrics_url).text
    return metric_sample(text, "worker_tokens_total", {"kind": "completion"})


GATEWAYS = (
    Gateway("no gateway", "nothing: the fake model server itself", direct, lambda: ""),
    Gateway(
        "ours",
        "key and policies, exact tokens, quotas reserved and settled in Redis, bill, harmony, takeover",
        ours,
        commit,
    ),
    Gateway(
        "LiteLLM",
        "key (hook), limits and spend in Redis, translation",
        litellm,
        lambda: _version(".venv-peer-litellm", "litellm"),
    ),
    Gateway(
        "SMG",
        "key, limits in its own memory",
        smg,
        lambda: _version(".venv-peer-smg", "smg"),
    ),
    Gateway(
        "Portkey",
        "nothing of tenants in the open version; translation",
        portkey,
        lambda: _npm_version(),
    ),
    Gateway(
        "Dynamo",
        "nothing of tenants; tokenizes and detokenizes, over its own transport",
        dynamo,
        lambda: _version(".venv-peer-dynamo", "ai-dynamo"),
    ),
)


def _version(venv: str, package: str) -> str:
    python = Path(venv) / "bin" / "python"
    if not python.exists():
        raise NotInstalled("not installed: `make peers`")
    script = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotInstalled("not installed: `make peers`")
    return done.stdout.strip()


def _npm_version() -> str:
    if not PORTKEY.exists() or shutil.which("node") is None:
        raise NotInstalled("not installed: `make peers`, with npm")
    return str(json.loads((PORTKEY / "package.json").read_text())["version"])


@contextmanager
def _running(
    name: str, command: list[Any], directory: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    process = Process(name, command, log=directory / f"{name}.log", env=environment, cwd=directory)
    try:
        yield process
    finally:
        process.stop()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code < 500
    except httpx.HTTPError:
        return False


def _has_models(url: str) -> bool:
    """The worker announces itself after the frontend listens."""
    try:
        return bool(httpx.get(f"{url}/v1/models", timeout=2).json()["data"])
    except (httpx.HTTPError, ValueError, KeyError):
        return False
