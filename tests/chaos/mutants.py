"""A gateway with one safeguard taken out: the gate must see it.

    python -m tests.chaos.mutants no-dedupe

Each is found by the scenario that is named beside it; `make chaos-mutants` runs them all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from gateway.__main__ import main
from gateway.store import ledger
from gateway.store.scripts import read_script
from gateway.store.settlements import Settler


@dataclass(frozen=True)
class Mutant:
    what: str
    scenario: str
    break_it: Callable[[], None]


def _in_script(name: str, good: str, bad: str) -> Callable[[], None]:
    def break_it() -> None:
        def broken(asked: str) -> str:
            source = read_script(asked)
            if asked != name:
                return source
            assert good in source, f"{name}.lua has changed; so must its mutant"
            return source.replace(good, bad)

        vars(ledger)["read_script"] = broken

    return break_it


def _never_again() -> None:
    def forget(self: Settler) -> None:
        self._undurable.clear()

    Settler._say_again = forget  # type: ignore[method-assign]


MUTANTS = {
    "no-dedupe": Mutant(
        "a settlement that is said twice is charged twice",
        "flaky",
        _in_script("settle", "response_id) == 0 then", "response_id) == 2 then"),
    ),
    "no-tombstone": Mutant(
        "an owner that comes back pays all of it, whatever was charged before",
        "freeze",
        _in_script("settle", "if reaped and reaped ~= '' then", "if false then"),
    ),
    "no-replay": Mutant("what Redis has acknowledged is not said again", "failover", _never_again),
    "kept-reservation": Mutant(
        "what is reserved of a budget is not given back",
        "rediskill",
        _in_script("settle", "local held = lease and lease.budget or 0", "local held = 0"),
    ),
    "reaper-charges-reservation": Mutant(
        "for a dead gateway's request what was reserved is charged",
        "gwkill",
        _in_script(
            "reap",
            "local input, output = lease.used_input, lease.used_output",
            "local input, output = lease.input, lease.output",
        ),
    ),
}

if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)].break_it()
    raise SystemExit(main())
