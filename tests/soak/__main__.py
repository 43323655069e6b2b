"""The product under mixed load for long: is anything left of it? `make soak`.

Clients of all kinds (tests/soak/load.py) ask in rounds; after each they pause, and when all is
quiet it is noted what every process takes: memory, threads, open files, tasks of the
gateway's event loop, streams, leases in Redis, regions of shared memory. The first round
warms up; from the second to the last nothing may grow, and each token that a patient
client heard of is charged once.

    make soak                                 half an hour
    make soak SOAK='--minutes 240'

Ends with exit code 1, and a sentence for everything that grew or was left.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import anyio
import httpx

from tests.soak.load import Clients
from tests.soak.verdict import Bill, Quiet, Usage, leaks
from tests.stack.demo import Tenant
from tests.stack.product import FAST_SIMULATOR, Product, running_product
from tests.stack.resources import resources, shared_memory
from tests.system.waiting import wait_until

ROUNDS = 7
AT_ONCE = 24


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=AT_ONCE, help="at once")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        running_product(Path(directory), worker_env=FAST_SIMULATOR) as product,
    ):
        found = soak(product, seconds=arguments.minutes * 60, clients=arguments.clients)
    for sentence in found:
        print(f"LEAK {sentence}")
    if not found:
        print("nothing is left")
    return 1 if found else 0


def soak(product: Product, *, seconds: float, clients: int) -> list[str]:
    """Load *product* for so long; a sentence for everything that is wrong then."""
    patient, hasty = product.new_project(), product.new_project()
    began = time.monotonic()
    samples: list[Quiet] = []
    print(f"{'s':>6}{'requests':>10}" + "".join(f"{name:>14}" for name in product.processes()))
    print(f"{'':16}{'MB, threads, files':>56}{'tasks':>7}{'shm':>5}")

    async def rounds() -> Clients:
        limits = httpx.Limits(max_connections=clients, max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=product.url, timeout=60, limits=limits) as http:
            load = Clients(http, patient, hasty)
            for _ in range(ROUNDS):
                await load.run(clients, seconds / ROUNDS)
                sample = await anyio.to_thread.run_sync(
                    partial(_quiet, product, (patient, hasty), time.monotonic() - began)
                )
                samples.append(sample)
                _tell(sample, sum(load.done.values()))
        return load

    load = anyio.run(rounds)
    print(", ".join(f"{count} {kind}" for kind, count in sorted(load.done.items())))
    charged = product.usage(patient.project_id)
    bill = Bill(dict(load.heard), {name: charged.get(name, 0) for name in load.heard})
    return leaks(samples[1:], bill)


def _quiet(product: Product, tenants: tuple[Tenant, ...], at_s: float) -> Quiet:
    """What is there once all has ended, or should have."""

    def streams() -> int:
        return round(
            product.metric("gw_inflight_requests")
            + product.metric("gw_slots_in_use")
            + product.worker_metric("worker_running_requests")
        )

    def leases() -> int:
        return sum(
            len(
                product.admin("GET", "/admin/v1/leases", params={"project_id": each.project_id})[
                    "data"
                ]
            )
            for each in tenants
        )

    # What does not end is for the verdict to tell.
    try:
        wait_until(lambda: streams() + leases() == 0, "all was quiet")
    except AssertionError:
        pass
    processes = {}
    for name, pid in product.processes().items():
        taken = resources(pid)
        processes[name] = Usage(taken.own_kb / 1024, taken.threads, taken.files)
    return Quiet(
        at_s=at_s,
        processes=processes,
        tasks=round(product.metric("gw_event_loop_tasks")),
        streams=streams(),
        leases=leases(),
        shm_regions=len(shared_memory(product.processes().values())),
    )


def _tell(sample: Quiet, requests: int) -> None:
    cells = "".join(
        f"{f'{each.own_mb:.0f} {each.threads} {each.files}':>14}"
        for each in sample.processes.values()
    )
    print(
        f"{sample.at_s:>6.0f}{requests:>10}{cells}{sample.tasks:>7}{sample.shm_regions:>5}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
