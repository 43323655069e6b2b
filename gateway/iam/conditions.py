"""When a rule holds: conditions as data, evaluated for each request. Pure: time is an argument.

No expressions: an evaluator in the path of every request would be something to attack,
and something to wait for. All conditions of a rule must hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from gateway.iam.address import Address, Ranges

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# Priority is at others' cost: it must be given by name.
USUAL_TIERS = frozenset({"default", "flex"})
MAX_WORDS = 100
MAX_WORD_LENGTH = 256
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What conditions look at."""

    at: float  # Unix time, s
    address: Address | None = None  # of the client, if it is known
    user_agent: str = ""
    model: str | None = None  # None: not known yet, so a condition on it is left for later
    tier: str | None = None  # of service; None: not known yet, likewise


@dataclass(frozen=True, slots=True)
class Conditions:
    """None and empty mean that nothing is asked. Made by `read_conditions`."""

    not_before: int | None = None  # Unix time, s
    expires_at: int | None = None  # Unix time, s; from then on the rule does not hold
    source_cidrs: Ranges | None = None
    models: frozenset[str] | None = None
    tiers: frozenset[str] | None = None  # of service; None: USUAL_TIERS
    user_agent_prefix: str | None = None
    weekdays: frozenset[str] | None = None  # of WEEKDAYS, in `tz`
    hours: str | None = None  # "08:00-18:00" in `tz`; "22:00-06:00" goes over midnight
    tz: str | None = None  # IANA's name; None: UTC

    _minutes: tuple[int, int] = (0, 0)  # of `hours`
    _zone: tzinfo = UTC

    @property
    def look_at_body(self) -> bool:
        """Whether they tell one model or usual tier from another."""
        return self.models is not None or self.tiers is not None

    def unmet(self, facts: RequestFacts) -> str | None:
        """The first condition that does not hold, in words for an operator; None if all do."""
        if self.not_before is not None and facts.at < self.not_before:
            return f"it does not hold before {_utc(self.not_before)}"
        if self.expires_at is not None and facts.at >= self.expires_at:
            return f"it has expired at {_utc(self.expires_at)}"
        if self.source_cidrs is not None:
            if facts.address is None:
                return "the source address is not known"
            if facts.address not in self.source_cidrs:
                ranges = ", ".join(self.source_cidrs.texts)
                return f"the source address {facts.address} is not in {ranges}"
        if self.models is not None and facts.model is not None and facts.model not in self.models:
            return f"the model is not one of {_list(self.models)}"
        tiers = USUAL_TIERS if self.tiers is None else self.tiers
        if facts.tier is not None and facts.tier not in tiers:
            return f"the tier {facts.tier} is not one of {_list(tiers)}"
        prefix = self.user_agent_prefix
        if prefix is not None and not facts.user_agent.startswith(prefix):
            return f"the user agent does not begin with {prefix!r}"
        if self.weekdays is not None or self.hours is not None:
            return self._unmet_time(facts.at)
        return None

    def _unmet_time(self, at: float) -> str | None:
        local = datetime.fromtimestamp(at, self._zone)
        zone = self.tz or "UTC"
        weekday = WEEKDAYS[local.weekday()]
        if self.weekdays is not None and weekday not in self.weekdays:
            return f"it is {weekday} in {zone}, which is not one of {_list(self.weekdays)}"
        if self.hours is not None:
            begin, end = self._minutes
            minute = local.hour * 60 + local.minute
            within = begin <= minute < end if begin < end else minute >= begin or minute < end
            if not within:
                return f"it is {local:%H:%M} in {zone}, which is not in {self.hours}"
        return None


NO_CONDITIONS = Conditions()
NAMES = tuple(each.name for each in fields(Conditions) if not each.name.startswith("_"))


def read_conditions(stored: Mapping[str, object]) -> Conditions:
    """Conditions as the admin API and Redis write them. Raises ValueError, naming the field."""
    unknown = sorted(set(stored) - set(NAMES))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no condition; there are {', '.join(NAMES)}")
    given = {name: value for name, value in stored.items() if value is not None}
    not_before, expires_at = (_moment(given, name) for name in ("not_before", "expires_at"))
    if not_before is not None and expires_at is not None and not_before >= expires_at:
        raise ValueError("expires_at must be later than not_before")
    cidrs, weekdays = _words(given, "source_cidrs"), _words(given, "weekdays")
    if weekdays and not set(weekdays) <= set(WEEKDAYS):
        raise ValueError(f"weekdays must be of {', '.join(WEEKDAYS)}")
    hours, tz = _word(given, "hours"), _word(given, "tz")
    if tz is not None and weekdays is None and hours is None:
        raise ValueError("tz says nothing without weekdays or hours")
    models, tiers = _words(given, "models"), _words(given, "tiers")
    return Conditions(
        not_before=not_before,
        expires_at=expires_at,
        source_cidrs=None if cidrs is None else Ranges.read(cidrs),
        models=None if models is None else frozenset(models),
        tiers=None if tiers is None else frozenset(tiers),
        user_agent_prefix=_word(given, "user_agent_prefix"),
        weekdays=None if weekdays is None else frozenset(weekdays),
        hours=hours,
        tz=tz,
        _minutes=(0, 0) if hours is None else _minutes_of(hours),
        _zone=UTC if tz is None else _zone_of(tz),
    )


def conditions_to_json(conditions: Conditions) -> dict[str, object]:
    """What `read_conditions` reads; what is not asked is left out."""
    told: dict[str, object] = {}
    for name in NAMES:
        value = getattr(conditions, name)
        if value is None:
            continue
        if isinstance(value, Ranges):
            value = list(value.texts)
        elif name == "weekdays":
            value = [each for each in WEEKDAYS if each in value]
        elif isinstance(value, frozenset):
            value = sorted(value)
        told[name] = value
    return told


def _moment(given: Mapping[str, object], name: str) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**11:
        raise ValueError(f"{name} must be a Unix time in whole seconds")
    return value


def _word(given: Mapping[str, object], name: str) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_WORD_LENGTH:
        raise ValueError(f"{name} must be a text of 1 to {MAX_WORD_LENGTH} characters")
    return value


def _words(given: Mapping[str, object], name: str) -> list[str] | None:
    value = given.get(name)
    if value is None:
        return None
    # An empty list would mean "never": whoever writes it means "any".
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_WORDS:
        raise ValueError(f"{name} must be a list of 1 to {MAX_WORDS} texts")
    return [_word({name: each}, name) or "" for each in value]


def _minutes_of(hours: str) -> tuple[int, int]:
    match = _HOURS.fullmatch(hours)
    if match is None:
        raise ValueError("hours must be such as 08:00-18:00, or 22:00-06:00 over midnight")
    begin = int(match[1]) * 60 + int(match[2])
    end = 24 * 60 if match[3] is None else int(match[3]) * 60 + int(match[4])
    if begin == end:
        raise ValueError("hours must begin and end at different times")
    return begin, end


def _zone_of(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    # OSError: a directory of the database, such as "Europe".
    except (ValueError, LookupError, OSError) as exc:
        raise ValueError(f"{name!r} is no time zone such as Europe/Paris") from exc


def _list(words: frozenset[str]) -> str:
    return ", ".join(sorted(words))


def _utc(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
