"""What an operator can set: environment variables WORKER_*, read once at start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workers.engines.simulator.cost_model import PRESETS
from workers.engines.simulator.prefix_cache import BLOCK_TOKENS

# A gateway takes a worker for dead that says nothing for 15 s.
MAX_HEARTBEAT_MS = 10_000


class SettingsError(Exception):
    """A setting is unusable; the text names it and says what it must be."""


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """How the engine without a GPU behaves."""

    first_token_ms: float = 50  # from a place in the batch to the first token
    tokens_per_second: float = 100  # of each generation; 0 = as fast as possible
    preset: str = ""  # of cost_model.PRESETS; "" = the two above hold, however full it is
    speed: float = 1  # with a preset: factor on the time a step takes; 0 = none
    kv_blocks: int = 60_000  # of 32 tokens: what an H200 holds beside the weights
    directives: bool = False  # obey `SIM: {...}` lines of prompts: tests only


@dataclass(frozen=True, slots=True)
class GrammarSettings:
    """What a constraint may cost."""

    timeout_ms: int = 2_000  # for one to be compiled; more is refused
    max_bytes: int = 524_288  # of names and schemas
    compile_fuel: int = 1_000_000  # llguidance's measure: about 50,000 a ms
    step_fuel: int = 200_000  # of one token: about 14,000 a ms
    cache_entries: int = 256
    cache_bytes: int = 4_194_304  # of names and schemas; compiled, each is 30 in memory


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Everything about this worker that is not in the contract."""

    engine: str = "simulator"  # or "tensorrt-llm", whose own settings are with it
    max_running: int = 256  # generations that share the batch
    max_queued: int = 1024  # generations that wait for a place; more are refused
    context_tokens: int = 131_072  # prompt and output together
    heartbeat_ms: int = 5_000  # the contract's; less in tests
    cancel_poll_ms: int = 100  # the contract allows 250 from cancel to stop
    chunks_per_second: int = 1_000  # of all generations together, about; 0 = no limit
    sender_threads: int = 2  # each delivers 3,000 to 6,000 chunks a second
    drain_file: Path | None = None  # when it appears, new work is refused ...
    drain_ms: int = 240_000  # ... and what still runs after this is ended
    grammar: GrammarSettings = GrammarSettings()
    simulator: SimulatorSettings = SimulatorSettings()


def read_settings(environment: Mapping[str, str]) -> WorkerSettings:
    """The settings that *environment* holds, defaults for the rest. Raises SettingsError."""
    settings, grammar, simulator = WorkerSettings(), GrammarSettings(), SimulatorSettings()
    drain_file = environment.get("WORKER_DRAIN_FILE", "")
    preset = environment.get("WORKER_SIMULATOR_PRESET", "")
    if preset and preset not in PRESETS:
        names = ", ".join(PRESETS)
        raise SettingsError(f"WORKER_SIMULATOR_PRESET must be one of {names}, not {preset!r}")
    kv_blocks = PRESETS[preset].kv_tokens // BLOCK_TOKENS if preset else simulator.kv_blocks

    def whole(name: str, default: int, *, at_least: int, at_most: float = math.inf) -> int:
        return int(
            read_number(environment, name, default, at_least=at_least, at_most=at_most, whole=True)
        )

    def number(name: str, default: float) -> float:
        return read_number(environment, name, default, at_least=0, whole=False)

    return WorkerSettings(
        engine=environment.get("WORKER_ENGINE", settings.engine),
        max_running=whole("WORKER_MAX_RUNNING", settings.max_running, at_least=1),
        max_queued=whole("WORKER_MAX_QUEUED", settings.max_queued, at_least=0),
        context_tokens=whole("WORKER_CONTEXT_TOKENS", settings.context_tokens, at_least=2),
        heartbeat_ms=whole(
            "WORKER_HEARTBEAT_MS", settings.heartbeat_ms, at_least=1, at_most=MAX_HEARTBEAT_MS
        ),
        cancel_poll_ms=whole("WORKER_CANCEL_POLL_MS", settings.cancel_poll_ms, at_least=1),
        chunks_per_second=whole("WORKER_CHUNKS_PER_SECOND", settings.chunks_per_second, at_least=0),
        sender_threads=whole("WORKER_SENDER_THREADS", settings.sender_threads, at_least=1),
        drain_file=Path(drain_file) if drain_file else None,
        drain_ms=whole("WORKER_DRAIN_MS", settings.drain_ms, at_least=0),
        grammar=GrammarSettings(
            timeout_ms=whole("WORKER_GRAMMAR_TIMEOUT_MS", grammar.timeout_ms, at_least=1),
            max_bytes=whole("WORKER_GRAMMAR_MAX_BYTES", grammar.max_bytes, at_least=1),
            compile_fuel=whole("WORKER_GRAMMAR_COMPILE_FUEL", grammar.compile_fuel, at_least=1),
            step_fuel=whole("WORKER_GRAMMAR_STEP_FUEL", grammar.step_fuel, at_least=1),
            cache_entries=whole("WORKER_GRAMMAR_CACHE_ENTRIES", grammar.cache_entries, at_least=0),
            cache_bytes=whole("WORKER_GRAMMAR_CACHE_BYTES", grammar.cache_bytes, at_least=0),
        ),
        simulator=SimulatorSettings(
            first_token_ms=number("WORKER_SIMULATOR_FIRST_TOKEN_MS", simulator.first_token_ms),
            tokens_per_second=number(
                "WORKER_SIMULATOR_TOKENS_PER_SECOND", simulator.tokens_per_second
            ),
            preset=preset,
            speed=number("WORKER_SIMULATOR_SPEED", simulator.speed),
            kv_blocks=whole("WORKER_SIMULATOR_KV_BLOCKS", kv_blocks, at_least=1),
            directives=read_switch(environment, "WORKER_SIMULATOR_DIRECTIVES", False),
        ),
    )


def read_number(
    environment: Mapping[str, str],
    name: str,
    default: float,
    *,
    at_least: float,
    at_most: float = math.inf,
    whole: bool,
) -> float:
    """The variable *name*; *default* if it is empty or absent. Raises SettingsError."""
    text = environment.get(name, "")
    if not text:
        return default
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    # NaN is not >= anything.
    if not (at_least <= value <= at_most and math.isfinite(value)):
        kind = "a whole number" if whole else "a number"
        range_ = f"of at least {at_least:g}"
        if math.isfinite(at_most):
            range_ = f"from {at_least:g} to {at_most:g}"
        raise SettingsError(f"{name} must be {kind} {range_}, not {text!r}")
    return value


def read_switch(environment: Mapping[str, str], name: str, default: bool) -> bool:
    """As read_number, of 0 or 1."""
    text = environment.get(name, "") or str(int(default))
    if text not in ("0", "1"):
        raise SettingsError(f"{name} must be 0 or 1, not {text!r}")
    return text == "1"
