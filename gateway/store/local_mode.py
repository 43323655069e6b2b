"""Admit requests without Redis: by what this gateway knows, and for a while.

What is admitted here has a reservation like any other, though no lease: its settlement
waits until Redis is back, and is charged then as one whose lease was lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.quota.limits import Limits
from gateway.quota.local_quotas import LocalQuotas, Remaining
from gateway.quota.reservation import RateLimitState, Refused, Reservation
from gateway.quota.service_tier import ServiceTier
from gateway.quota.usage import Usage
from gateway.store.errors import StoreUnavailable
from gateway.store.reserve_request import ReserveRequest
from gateway.store.usage import month_of

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class KnownLimits:
    """Of a project and of one of its keys, as they were when Redis was last asked for them."""

    project: Limits
    key: Limits


class LocalMode:
    def __init__(
        self,
        quotas: LocalQuotas,
        *,
        max_s: float,
        away_for_s: Callable[[], float],
        limits_of: Callable[[str, str], KnownLimits | None],
        remaining: Callable[[str, str | None, Limits], Remaining],
        gateways: Callable[[], int | None],
        on_admitted: Callable[[str], None] = lambda concern: None,
        monotonic: Callable[[], float] = time.monotonic,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """*max_s*: for how long it is of use; *away_for_s*: how long Redis is not asked any more.

        *on_admitted* is told which promise is at stake: rates, soft_budget, or hard_budget.
        """
        self._quotas = quotas
        self._max_s = max_s
        self._away_for_s = away_for_s
        self._limits_of = limits_of
        self._remaining = remaining
        self._gateways = gateways
        self._on_admitted = on_admitted
        self._monotonic = monotonic
        self._unix_time = unix_time

    @property
    def may_serve(self) -> bool:
        """Whether it knows enough, and Redis is not away for too long."""
        return self._gateways() is not None and self._away_for_s() < self._max_s

    def reserve(self, request: ReserveRequest) -> Reservation | Refused:
        """Raises StoreUnavailable when only Redis could say whether the request may pass."""
        project_id, kid = request["project_id"], request["kid"]
        gateways = self._gateways()
        if gateways is None or self._away_for_s() >= self._max_s:
            raise StoreUnavailable("Redis is away, and has been for too long to do without")
        known = self._limits_of(project_id, kid)
        if known is None:
            raise StoreUnavailable(f"Redis is away, and the limits of {project_id} are not known")
        answer = self._quotas.admit(
            request["lease_id"],
            (
                (
                    "project",
                    project_id,
                    known.project,
                    self._remaining(project_id, None, known.project),
                ),
                (
                    "key",
                    _scope_name(project_id, kid),
                    known.key,
                    self._remaining(project_id, kid, known.key),
                ),
            ),
            input_tokens=request["input_tokens"],
            output_tokens=request["output_tokens"],
            max_output_tokens=request["max_output_tokens"],
            clampable=request["clampable"],
            now=self._monotonic(),
            gateways=gateways,
        )
        if answer is None:
            raise StoreUnavailable(f"Redis is away, and {project_id} has used what it may without")
        if isinstance(answer, Refused):
            return answer
        self._on_admitted(_concern(known))
        # Its own clock: it is the only one there is now.
        now = self._unix_time()
        day = int(now) // DAY_S
        return Reservation(
            lease_id=request["lease_id"],
            project_id=project_id,
            kid=kid,
            model=request["model"],
            input_tokens=request["input_tokens"],
            output_tokens=min(request["output_tokens"], answer.max_output_tokens),
            max_output_tokens=answer.max_output_tokens,
            admitted_at_ms=int(now * 1000),
            day=day,
            month=month_of(day),
            rate_limits=RateLimitState(None, None),
            cut_by_budget=answer.cut_by_budget,
            tier=request.get("tier", ServiceTier.DEFAULT),
        )

    def has_admitted(self, reservation: Reservation) -> bool:
        """Whether it is one of ours, and Redis has not come back since."""
        return self._quotas.holds(reservation.lease_id)

    def settled(self, reservation: Reservation, usage: Usage) -> None:
        """A request has ended; what it has not used is free again. Others than ours are ignored."""
        self._quotas.ended(reservation.lease_id, usage.input_tokens + usage.output_tokens)

    def redis_has_counted(self, project_id: str, kid: str | None) -> None:
        """What is left of their budgets was read, after everything was settled."""
        self._quotas.counted(_scope_name(project_id, kid))

    def redis_is_back(self) -> None:
        """From now on Redis counts."""
        self._quotas.reset()


def _scope_name(project_id: str, kid: str | None) -> str:
    return project_id if kid is None else f"{project_id} {kid}"


def _concern(known: KnownLimits) -> str:
    modes = {mode for limits in (known.project, known.key) for _, _, mode in limits.budgets()}
    if "hard" in modes:
        return "hard_budget"
    return "soft_budget" if "soft" in modes else "rates"
