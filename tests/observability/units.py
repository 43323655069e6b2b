"""Values as Grafana writes them: by the panel's unit, scaled to what a reader can say aloud."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    one: float  # what it calls 1, in the panel's unit
    symbol: str
    since: float = 0  # from which value on, if not from one


# 1,500 is read more easily than 1.5 K, and 75 s than 1.25 min.
_COUNTS = (Scale(1, ""), Scale(1e3, "K", since=1e4), Scale(1e6, "M"), Scale(1e9, "G"))
_IEC = (Scale(1, "B"), Scale(2**10, "KiB"), Scale(2**20, "MiB"), Scale(2**30, "GiB"))
_SI = (Scale(1, "B"), Scale(1e3, "kB"), Scale(1e6, "MB"), Scale(1e9, "GB"), Scale(1e12, "TB"))

# Grafana's names of units: its "bytes" are those of 1,024, "decbytes" those of 1,000.
_SCALES: Mapping[str, Sequence[Scale]] = {
    "s": (
        Scale(1e-6, "µs"),
        Scale(1e-3, "ms"),
        Scale(1, "s"),
        Scale(60, "min", since=120),
        Scale(3600, "h", since=7200),
        Scale(86400, "d", since=172800),
    ),
    "bytes": _IEC,
    "binBps": _IEC,
    "decbytes": _SI,
    "Bps": _SI,
    "decmbytes": (Scale(1, "MB"), Scale(1e3, "GB"), Scale(1e6, "TB")),
    "percent": (Scale(1, "%"),),
    "percentunit": (Scale(0.01, "%"),),
    "watt": (Scale(1, "W"), Scale(1e3, "kW")),
}

_PER_SECOND = {"reqps", "rps", "ops", "iops", "rops", "wps", "cps", "eps", "mps", "Bps", "binBps"}
_WITHOUT_A_NAME = {"", "none", "short"}


def unit_in_words(unit: str) -> str:
    """What stands beside the title; "" if the numbers say it, or there is nothing to say."""
    if unit in _PER_SECOND:
        return "per second"
    if unit in _WITHOUT_A_NAME or unit in _SCALES:
        return ""
    # Grafana shows what it does not know as it is: that is how a panel gets a unit of its own.
    name = unit.removeprefix("suffix:").strip()
    return f"{name.removesuffix('/s').strip()} per second".strip() if name.endswith("/s") else name


def scale_of(value: float, unit: str) -> Scale:
    """The largest one for it."""
    scales = _SCALES.get(unit, _COUNTS)
    if value == 0 or not math.isfinite(value):
        return next((each for each in scales if each.one == 1), scales[0])
    # A hair below: 0.06 of a percentunit is 6 %, whatever binary fractions make of it.
    fitting = [each for each in scales if (each.since or each.one) <= abs(value) * (1 + 1e-9)]
    return fitting[-1] if fitting else scales[0]


def value_text(value: float, unit: str) -> str:
    """One figure by itself: 87 ms, 3.23 %, 9.2 /s."""
    if math.isnan(value):
        return "no data"
    number = _with_symbol(value, scale_of(value, unit))
    return f"{number} {unit_in_words(unit).replace('per second', '/s')}".strip()


def ticks(top: float, unit: str) -> list[tuple[float, str]]:
    """Some five round values from 0 to *top*, all in the same scale."""
    scale = scale_of(top, unit)
    step = _round_step(top / scale.one / 5) * scale.one
    values = [number * step for number in range(math.floor(top / step * (1 + 1e-9)) + 1)]
    return [
        (value, _with_symbol(value, scale) if value or scale not in _COUNTS else "0")
        for value in values
    ]


def minutes_and_seconds(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _round_step(atleast: float) -> float:
    magnitude: float = 10.0 ** math.floor(math.log10(atleast))
    return next(
        each * magnitude for each in (1, 2, 2.5, 5, 10) if each * magnitude >= atleast * (1 - 1e-9)
    )


def _with_symbol(value: float, scale: Scale) -> str:
    scaled = value / scale.one
    digits = f"{scaled:,.0f}" if abs(scaled) >= 1000 else f"{scaled:.3g}"
    return f"{digits} {scale.symbol}".strip()
