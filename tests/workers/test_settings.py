"""WORKER_* variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.settings import (
    GrammarSettings,
    SettingsError,
    SimulatorSettings,
    WorkerSettings,
    read_settings,
)


def test_without_variables_the_defaults_hold() -> None:
    assert read_settings({"WORKER_MAX_RUNNING": "", "WORKER_SIMULATOR_DIRECTIVES": ""}) == (
        WorkerSettings()
    )


def test_every_variable_is_read() -> None:
    assert read_settings(
        {
            "WORKER_ENGINE": "another",
            "WORKER_MAX_RUNNING": "1",
            "WORKER_MAX_QUEUED": "0",
            "WORKER_CONTEXT_TOKENS": "3",
            "WORKER_HEARTBEAT_MS": "4",
            "WORKER_CANCEL_POLL_MS": "5",
            "WORKER_SENDER_THREADS": "6",
            "WORKER_DRAIN_FILE": "/run/drain",
            "WORKER_DRAIN_MS": "7",
            "WORKER_GRAMMAR_TIMEOUT_MS": "10",
            "WORKER_GRAMMAR_MAX_BYTES": "11",
            "WORKER_GRAMMAR_COMPILE_FUEL": "12",
            "WORKER_GRAMMAR_STEP_FUEL": "13",
            "WORKER_GRAMMAR_CACHE_ENTRIES": "14",
            "WORKER_GRAMMAR_CACHE_BYTES": "15",
            "WORKER_SIMULATOR_FIRST_TOKEN_MS": "8.5",
            "WORKER_SIMULATOR_TOKENS_PER_SECOND": "0",
            "WORKER_SIMULATOR_PRESET": "b200",
            "WORKER_SIMULATOR_SPEED": "0.5",
            "WORKER_SIMULATOR_KV_BLOCKS": "9",
            "WORKER_SIMULATOR_DIRECTIVES": "1",
        }
    ) == WorkerSettings(
        engine="another",
        max_running=1,
        max_queued=0,
        context_tokens=3,
        heartbeat_ms=4,
        cancel_poll_ms=5,
        sender_threads=6,
        drain_file=Path("/run/drain"),
        drain_ms=7,
        grammar=GrammarSettings(
            timeout_ms=10,
            max_bytes=11,
            compile_fuel=12,
            step_fuel=13,
            cache_entries=14,
            cache_bytes=15,
        ),
        simulator=SimulatorSettings(
            first_token_ms=8.5,
            tokens_per_second=0,
            preset="b200",
            speed=0.5,
            kv_blocks=9,
            directives=True,
        ),
    )


def test_a_preset_says_how_large_the_kv_cache_is() -> None:
    settings = read_settings({"WORKER_SIMULATOR_PRESET": "h100"})

    assert settings.simulator.kv_blocks == 1_400_000 // 32


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    wanted = "WORKER_SIMULATOR_PRESET must be one of h200-tp1, h100, b200, not 'a100'"
    with pytest.raises(SettingsError, match=wanted):
        read_settings({"WORKER_SIMULATOR_PRESET": "a100"})


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("WORKER_MAX_RUNNING", "0", "a whole number of at least 1"),
        ("WORKER_MAX_QUEUED", "1.5", "a whole number of at least 0"),
        ("WORKER_HEARTBEAT_MS", "20000", "a whole number from 1 to 10000"),
        ("WORKER_SIMULATOR_TOKENS_PER_SECOND", "nan", "a number of at least 0"),
        ("WORKER_SIMULATOR_FIRST_TOKEN_MS", "inf", "a number of at least 0"),
        ("WORKER_SIMULATOR_DIRECTIVES", "yes", "0 or 1"),
    ],
)
def test_an_unusable_value_is_named(name: str, value: str, wanted: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} must be {wanted}, not '{value}'"):
        read_settings({name: value})
