"""Draw the dashboards of the running product for the documents: `make dashboards-preview`.

Grafana's JSON and Prometheus' answers are real, the drawing is ours.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from redis import Redis

from charts.monitoring.__main__ import BOARDS
from tests.observability.dashboards import Panel, Shown, panels, show
from tests.observability.drawing import draw
from tests.observability.scene import Scene, Tenants, everything, usual, watched_product
from tests.stack.demo import Tenant
from tests.system.http import simulate

PICTURES = Path("docs/pictures")
BEFORE_S, DURING_S = 25.0, 45.0


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, and the panels in which an operator finds it."""

    name: str
    title: str
    panels: Sequence[tuple[str, str]]  # board, title


SLOW_WORKER = Fault(
    "slow-worker",
    "One worker of three generates 12 tokens a second instead of 75, from the middle on",
    [
        ("fleet", "Time per token"),
        ("fleet", "Duration of requests"),
        ("workers", "Time per token, by worker"),
        ("workers", "Generations in flight"),
    ],
)
SLOW_REDIS = Fault(
    "slow-redis",
    "Redis stands still for 80 ms, again and again, from the middle on",
    [
        ("fleet", "Time to first token"),
        ("fleet", "Where the time goes beside generating: stations, p95"),
        ("store", "Round trips, p99"),
        ("store", "Not answered"),
    ],
)
NOISY_TENANT = Fault(
    "noisy-tenant",
    "One project sends thirty requests at once, from the middle on",
    [
        ("fleet", "Places"),
        ("fleet", "Waiting for a place"),
        ("fleet", "Time to first token"),
        ("fleet", "Turned away because workers are busy"),
        ("tenants", "Tokens a second by project, the ten busiest"),
        ("tenants", "Requests by status"),
    ],
)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.observability",
        description="Run the product under load, with faults, and draw what its dashboards show.",
    )
    parser.add_argument("--out", type=Path, default=PICTURES, help=f"(default: {PICTURES})")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        watched_product(Path(directory)) as scene,
        Tenants(scene) as clients,
    ):
        projects = [scene.product.new_project(monthly_tokens=3_000_000) for _ in range(3)]
        limited = scene.product.new_project(requests_per_minute=20)
        for number in range(9):
            clients.client(projects[number % 3], usual, pause_s=0.3)
        clients.client(limited, everything, pause_s=0.5)
        time.sleep(10)
        for fault, planted in (
            (SLOW_WORKER, slow_worker(scene)),
            (SLOW_REDIS, slow_redis(scene)),
            (NOISY_TENANT, noisy_tenant(scene, projects[0])),
        ):
            began = time.time()
            print(f"{fault.name}: as usual for {BEFORE_S:.0f} s", flush=True)
            time.sleep(BEFORE_S)
            with planted:
                print(f"{fault.name}: planted for {DURING_S:.0f} s", flush=True)
                time.sleep(DURING_S)
                file = arguments.out / f"fault-{fault.name}.png"
                draw(_shown(scene, fault, began), fault.title, file)
                print(f"drawn: {file}", flush=True)
            time.sleep(10)
        print("a worker dies, a gateway is replaced", flush=True)
        scene.product.workers[2].kill()
        time.sleep(8)
        scene.product.workers[2].start()
        scene.drain_second_gateway()
        scene.start_second_gateway(version=2)
        time.sleep(15)
        now = time.time()
        for board in BOARDS:
            shown = [show(scene.prometheus, each, scene.began, now) for each in panels(board)]
            file = arguments.out / f"board-{board}.png"
            draw(shown, f"LLM gateway / {board}", file)
            print(f"drawn: {file}", flush=True)
    return 0


def _shown(scene: Scene, fault: Fault, began: float) -> list[Shown]:
    """The panels of a fault, two in a row."""
    now = time.time()
    found = []
    for number, (board, title) in enumerate(fault.panels):
        (panel,) = [each for each in panels(board) if each.title == title]
        place = {"x": 12 * (number % 2), "y": 8 * (number // 2), "w": 12, "h": 8}
        found.append(show(scene.prometheus, _placed(panel, place), began, now))
    return found


def _placed(panel: Panel, place: dict[str, int]) -> Panel:
    return replace(panel, position=place, title=f"{panel.board}: {panel.title}")


@contextmanager
def slow_worker(scene: Scene) -> Iterator[None]:
    worker = scene.product.workers[0]
    worker.stop()
    worker.start(WORKER_SIMULATOR_SPEED="12")
    try:
        yield
    finally:
        worker.stop()
        worker.start()


@contextmanager
def slow_redis(scene: Scene) -> Iterator[None]:
    def stand_still() -> None:
        with Redis.from_url(scene.product.redis_url) as redis:
            redis.execute_command("CLIENT", "PAUSE", "80", "ALL")

    with _again_and_again(stand_still, every_s=0.16):
        yield


@contextmanager
def _again_and_again(what: Callable[[], None], *, every_s: float) -> Iterator[None]:
    stop = threading.Event()

    def go_on() -> None:
        while not stop.wait(every_s):
            what()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def noisy_tenant(scene: Scene, tenant: Tenant) -> Iterator[None]:
    def much(draw: random.Random) -> dict[str, object]:
        return {"input": simulate(repeat=160), "stream": True}

    with Tenants(scene) as clients:
        for _ in range(30):
            clients.client(tenant, much)
        yield


if __name__ == "__main__":
    raise SystemExit(main())
