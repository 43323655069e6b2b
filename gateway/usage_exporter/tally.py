"""Adds up what projects use, and chooses whose figures are told by name. Pure.

Counters must never go back, also when a project gains or loses its name: what it uses while it
has none counts for `_other`, for good, and when it gets one its own counters begin at zero. So
the sum of all is what everybody has used.

Prometheus sees no increase in a series that is new: each is told as 0 first, until whoever
scrapes has had the time to see that, and then with what it counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

OTHER = "_other"
# How long it takes until what was used counts for half, when names are given.
HALF_LIFE_S = 3600.0
# Who has a name keeps it unless another uses so much more: names that come and go are broken lines.
ADVANTAGE = 1.2


@dataclass
class Used:
    """By one project, or by all without a name, since its counters began."""

    requests: Counter[str] = field(default_factory=Counter)  # by status
    tokens: Counter[str] = field(default_factory=Counter)  # by type
    limited: Counter[str] = field(default_factory=Counter)  # by quota

    def copy(self) -> Used:
        return Used(self.requests.copy(), self.tokens.copy(), self.limited.copy())

    def add(self, more: Used) -> None:
        self.requests.update(more.requests)
        self.tokens.update(more.tokens)
        self.limited.update(more.limited)


class Tally:
    """*named*: how many projects have figures of their own. *held_s*: how long a new series is
    told as 0."""

    def __init__(self, *, named: int, held_s: float) -> None:
        self._named = named
        self._held_s = held_s
        self._used: dict[str, Used] = {OTHER: Used()}
        self._weights: dict[str, float] = {}  # of whoever has used anything of late
        # Of series that are told as 0: what they count, and for how long they are.
        self._held: dict[str, tuple[Used, float]] = {}

    def begin(self, used: Mapping[str, int]) -> None:
        """Names for those who have used most tokens of late: of them is told also while they rest."""
        self._weights = dict(used)
        self._name(self._choose())

    def round(self, news: Mapping[str, Used], *, seconds: float) -> None:
        """What each project has used in the last so many seconds. Names are given first."""
        decay = 0.5 ** (seconds / HALF_LIFE_S)
        for project_id in list(self._weights):
            self._weights[project_id] *= decay
            # Who has a name keeps it until another wants it: its budget is still used.
            if self._weights[project_id] < 1 and project_id not in self._used:
                del self._weights[project_id]
        for project_id, used in news.items():
            tokens = used.tokens["input"] + used.tokens["output"]
            # Who is only refused is worth a name too, if there is one left.
            self._weights[project_id] = self._weights.get(project_id, 0) + tokens + 1
        names = self._choose()
        for project_id in self._used.keys() - names - {OTHER}:
            del self._used[project_id]
            self._used[OTHER].add(self._held.pop(project_id, (Used(), 0.0))[0])
        self._name(names - self._used.keys())
        for project_id, used in news.items():
            if project_id in self._held:
                self._held[project_id][0].add(used)
            else:
                self._used[project_id if project_id in names else OTHER].add(used)

    def release(self, told: Collection[str], *, seconds: float) -> None:
        """These series have been told for *seconds* more, some of them as 0."""
        for project_id in self._held.keys() & told:
            used, told_s = self._held[project_id]
            if told_s + seconds < self._held_s:
                self._held[project_id] = (used, told_s + seconds)
            else:
                del self._held[project_id]
                self._used[project_id].add(used)

    def _name(self, project_ids: Collection[str]) -> None:
        for project_id in project_ids:
            self._used[project_id] = Used()
            self._held[project_id] = (Used(), 0.0)

    @property
    def used(self) -> dict[str, Used]:
        """By project, and OTHER."""
        return self._used

    @property
    def names(self) -> Collection[str]:
        return self._used.keys() - {OTHER}

    @property
    def folded(self) -> int:
        """Projects that have used something of late and have no name."""
        return len(self._weights.keys() - self._used.keys())

    def _choose(self) -> set[str]:
        def rank(project_id: str) -> float:
            return self._weights[project_id] * (ADVANTAGE if project_id in self._used else 1)

        return set(sorted(self._weights, key=rank, reverse=True)[: self._named])
