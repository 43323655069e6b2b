"""What goes wrong in a run, how often, and for how long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.clients import Clients
from tests.chaos.gateways import LEASE_S, Gateways
from tests.chaos.link import Link
from tests.chaos.store import SAMPLE_S, Store
from tests.chaos.verdict import Verdict, judge
from tests.stack import demo
from tests.stack.product import PEPPERS
from tests.system.waiting import wait_until

CLIENTS = 12
TENANTS = 4
FROZEN_S = LEASE_S + 1.0
# Budgets and concurrency that nobody reaches: they are counted all the same.
LIMITS = (
    *("--daily-tokens", "1000000000", "--monthly-tokens", "10000000000"),
    *("--tokens-per-minute", "100000000", "--concurrent-requests", "500"),
)


@dataclass
class Run:
    """What a fault can be done to."""

    gateways: Gateways
    store: Store
    link: Link


@dataclass(frozen=True)
class Scenario:
    what: str
    fault: Callable[[Run], None]
    every_s: tuple[float, float]  # at random between these
    seconds: float = 60.0  # of harm, unless somebody says
    durable: bool = False  # Redis keeps an append-only file
    replicated: bool = False
    lossy: bool = False
    also: Callable[[Run], None] | None = None  # every other time

    @property
    def promised(self) -> bool:
        """Two faults at once are beyond the promise; the run is for information."""
        return self.also is None


def _kill_gateway(run: Run) -> None:
    run.gateways.kill_one()


def _freeze_gateway(run: Run) -> None:
    run.gateways.freeze_one(FROZEN_S)


def _fail_over(run: Run) -> None:
    run.store.fail_over()


SCENARIOS = {
    "gwkill": Scenario("gateways are killed (SIGKILL)", _kill_gateway, (1.0, 3.0), 270.0),
    "freeze": Scenario(
        "gateways are frozen for longer than their leases (SIGSTOP)",
        _freeze_gateway,
        (0.5, 1.5),
        75.0,
    ),
    "rediskill": Scenario(
        "Redis is killed, and starts again", lambda run: run.store.kill(), (2.0, 4.0), durable=True
    ),
    "nodecrash": Scenario(
        "Redis is killed, and the last second of its file is lost",
        lambda run: run.store.crash(),
        (2.5, 4.0),
        durable=True,
    ),
    "failover": Scenario(
        "Redis is replaced by a replica that was cut off for 0.3 s",
        _fail_over,
        (2.5, 4.0),
        replicated=True,
    ),
    "flaky": Scenario(
        "0.4 % of Redis's answers are lost, 0.2 % are late, and gateways are killed",
        _kill_gateway,
        (2.0, 4.0),
        180.0,
        lossy=True,
    ),
    "double": Scenario(
        "failovers and killed gateways at once (for information: beyond the promise)",
        _fail_over,
        (2.0, 3.5),
        replicated=True,
        also=_kill_gateway,
    ),
}


def run_scenario(
    scenario: Scenario,
    directory: Path,
    workers: str,
    *,
    seconds: float,
    seed: int,
    mutant: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[Verdict, int]:
    """Returns what it has shown, and how many faults there were."""
    chance = random.Random(seed)
    with (
        Link(0, seed=seed) as link,
        Store(directory, link, durable=scenario.durable, replicated=scenario.replicated) as store,
    ):
        redis_url = f"redis://127.0.0.1:{link.port}/0"
        tenants = [_tenant(redis_url, number) for number in range(TENANTS)]
        link.lossy = scenario.lossy
        gateways = Gateways(directory, redis_url, workers, mutant, seed)
        clients = Clients(gateways, tenants, count=CLIENTS, seed=seed)
        try:
            gateways.start()
            clients.start()
            faults = _do_harm(scenario, Run(gateways, store, link), chance, seconds, progress)
            clients.stop()
            link.lossy = False
            wait_until(gateways.quiet, "all was settled", timeout_s=60)
            wait_until(lambda: _no_leases(store, tenants), "all leases were reaped", timeout_s=60)
        finally:
            gateways.stop()
        with store.client() as client:
            port = client.connection_pool.connection_kwargs["port"]
        return judge(port, tenants, clients.asked), faults


def _do_harm(
    scenario: Scenario,
    run: Run,
    chance: random.Random,
    seconds: float,
    progress: Callable[[str], None],
) -> int:
    ends_at = time.monotonic() + seconds
    next_at = time.monotonic() + 2
    faults = 0
    while time.monotonic() < ends_at:
        run.store.sample()
        if time.monotonic() >= next_at:
            scenario.fault(run)
            if scenario.also is not None and faults % 2:
                scenario.also(run)
            faults += 1
            progress(f"{faults} faults")
            next_at = time.monotonic() + chance.uniform(*scenario.every_s)
        time.sleep(SAMPLE_S)
    return faults


def _tenant(redis_url: str, number: int) -> demo.Tenant:
    project_id = f"prj_chaos_{number}"
    environment = {"REDIS_URL": redis_url, "GATEWAY_KEY_PEPPERS": PEPPERS}
    demo.gwctl(environment, "project", "create", "chaos", "--id", project_id, *LIMITS)
    key = demo.gwctl(environment, "key", "create", "--project", project_id)
    return demo.Tenant(project_id, key["token"])


def _no_leases(store: Store, tenants: list[demo.Tenant]) -> bool:
    with store.client() as client:
        return all(client.hlen(f"gw:{{{each.project_id}}}:ld") == 0 for each in tenants)
