"""What stations may cost, in turns of a loop that is measured in the same run. Pure.

Microseconds differ from machine to machine, and here from minute to minute; how many turns
of a loop of ordinary Python a station is worth differs by a few per cent. So a change that
makes a station slower is seen by whoever makes it, on any machine.
"""

from __future__ import annotations

import json

# A change may cost so much without anybody deciding so.
TOLERANCE = 1.25

# Turns of `baseline`, measured; lower one when it has become faster, and say why if you raise it.
BUDGETS = {
    "parser, events, SSE: a chunk of 1": 1.45,
    "parser, events, SSE: a chunk of 4": 1.85,
    "parser, events, SSE: a chunk of 16": 3.6,
    "the parser alone: a token": 0.38,
    "a worker's message of 4 tokens, read": 1.2,
    "a request of 200 tokens, validated": 3.6,
    "a prompt's token, rendered": 0.075,  # in Rust, which a loop of Python says less of
    "a junk key": 0.52,
    "read a key and verify its secret": 1.5,
    "decide: one rule": 0.195,
    "decide: 20 rules of other things, and one": 0.195,
    "decide: an address and a model": 0.48,
    "decide: every condition, ten ranges": 0.95,
    "a request, watched": 10.2,
    "a series of a scrape": 3.6,
}

_TURN = {"id": "0192f0c1", "delta": "blue", "output": [{"type": "text", "text": "blue"}], "n": 1}


def baseline(turns: int) -> int:
    """Attributes, dicts, strings and JSON, as the stations are made of."""
    size = 0
    for number in range(turns):
        fields = {**_TURN, "n": number, "delta": "blue"[number % 4 :]}
        text = json.dumps(fields)
        size += len(text.partition('"n"')[2]) + sum(map(len, fields))
    return size


def over_budget(turns: dict[str, float]) -> list[str]:
    """A sentence for each station that costs more turns than it may, or has no budget."""
    found = []
    for station, measured in turns.items():
        budget = BUDGETS.get(station)
        if budget is None:
            found.append(f"{station!r} has no budget: it costs {measured:.3g} turns")
        elif measured > budget * TOLERANCE:
            found.append(
                f"{station!r} costs {measured:.3g} turns of the loop instead of {budget:.3g}"
            )
    return found
