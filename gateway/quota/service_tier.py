"""How urgent a request is, as its client asks and its key allows. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence


class ServiceTier(enum.Enum):
    """The value is the word of requests, responses, policies and metrics."""

    PRIORITY = "priority"
    DEFAULT = "default"
    FLEX = "flex"

    # Enum's own hashes the name, by a call of Python; a request looks up tiers nineteen times.
    __hash__ = object.__hash__

    @property
    def share(self) -> int:
        """Of what is scarce a project gets so many parts in this tier, beside others in theirs."""
        return _SHARES[self]

    @property
    def patience(self) -> float:
        """Waits so many times as long as a default request before it is refused."""
        return _PATIENCE[self]


_SHARES = {ServiceTier.PRIORITY: 16, ServiceTier.DEFAULT: 4, ServiceTier.FLEX: 1}
_PATIENCE = {ServiceTier.PRIORITY: 1 / 3, ServiceTier.DEFAULT: 1.0, ServiceTier.FLEX: 8.0}

_ASKED = {
    "priority": (ServiceTier.PRIORITY, ServiceTier.DEFAULT),
    "fast": (ServiceTier.PRIORITY, ServiceTier.DEFAULT),
    "ultrafast": (ServiceTier.PRIORITY, ServiceTier.DEFAULT),
    "flex": (ServiceTier.FLEX,),
    "default": (ServiceTier.DEFAULT,),
}
_ANY = (ServiceTier.DEFAULT, ServiceTier.FLEX, ServiceTier.PRIORITY)


def acceptable_tiers(asked: str | None) -> Sequence[ServiceTier]:
    """What may answer `service_tier`, best first: "auto" takes what there is.

    Who asks for priority and may not have it is served all the same, as OpenAI does; the
    response says as what.
    """
    return _ANY if asked is None else _ASKED.get(asked, _ANY)
