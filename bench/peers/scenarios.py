"""What every gateway is asked, and how the load generator is run."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUILD = Path("build/bench-peers")
# About so many tokens, by whichever tokenizer.
# <number> becomes another one for each request (src/loadgen.c).
PROMPT = (
    "Day <number>. " + "The sky is blue because air scatters short waves more than long ones. " * 13
)
ENOUGH = 4096


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load; the answers' pace is the model server's."""

    name: str
    clients: int
    stream: bool
    deltas: int  # of one answer
    delay_us: int  # between two of them
    seconds: float
    warm_up_s: float
    ramp_s: float = 0.0

    @property
    def deltas_per_s(self) -> float:
        """Of all clients, as fast as the model server gives them. For streams."""
        return self.clients * 1e6 / self.delay_us


SCENARIOS = (
    Scenario("plain", 8, stream=False, deltas=8, delay_us=0, seconds=6, warm_up_s=2),
    Scenario("streams-32", 32, True, 200, 20_000, seconds=8, warm_up_s=5, ramp_s=1),
    Scenario("streams-256", 256, True, 200, 20_000, seconds=8, warm_up_s=7, ramp_s=2),
    Scenario("memory-1000", 1000, True, 600, 1_000_000, seconds=5, warm_up_s=35, ramp_s=25),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of a scenario gave. CPU is of the gateway's processes alone."""

    cpu_s: float
    seconds: float
    requests: int
    deltas: int  # that clients got
    first_ms: float | None  # p50: to the first delta; of answers in one piece, to their end
    first_p99_ms: float | None
    pss_mb: float | None
    open_streams: int  # at most, at once
    bad: int  # answers that were errors, or broke off

    @property
    def us_per_request(self) -> float:
        return 1e6 * self.cpu_s / max(1, self.requests)

    @property
    def us_per_delta(self) -> float:
        return 1e6 * self.cpu_s / max(1, self.deltas)


def build() -> None:
    """Compile both programs, unless they are there. Raises CalledProcessError."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("fake_upstream", "loadgen"):
        source, program = Path(__file__).parent / "src" / f"{name}.c", BUILD / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-O2", "-o", str(program), str(source)], check=True)


def run(
    scenario: Scenario,
    url: str,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    pids: Sequence[int],
) -> Measured:
    """Raises RuntimeError with what the load generator says."""
    command = [
        *(str(BUILD / "loadgen"), "--url", url, "--body", json.dumps(body)),
        *("-c", str(scenario.clients), "--duration", str(scenario.seconds)),
        *("--warmup", str(scenario.warm_up_s), "--pids", ",".join(map(str, pids))),
        *(["--stream"] if scenario.stream else []),
        *(["--ramp", str(scenario.ramp_s)] if scenario.ramp_s else []),
    ]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=scenario.seconds + 120, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"loadgen: {done.stderr[-500:]}")
    return _read(scenario, json.loads(done.stdout))


def _read(scenario: Scenario, told: Mapping[str, Any]) -> Measured:
    first = told.get("first_data_ms") if scenario.stream else told.get("latency_ms")
    # Text with stamps is counted by them; other text by its lines of data.
    deltas = told.get("deltas") or told.get("data_lines") or 0
    return Measured(
        cpu_s=told["cpu_s"],
        seconds=told["seconds"],
        requests=told["ok"],
        deltas=deltas,
        first_ms=first["p50"] if first else None,
        first_p99_ms=first["p99"] if first else None,
        pss_mb=told.get("pss_mb"),
        open_streams=told.get("peak_open", 0),
        bad=told["http_errors"] + told["broken"],
    )


def settle() -> None:
    """From one run to the next: what clients have left may still be open."""
    time.sleep(2)
