"""Reserve, renew, settle and reap, in Redis: one atomic step each."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from gateway.quota.limits import Quota, QuotaScope
from gateway.quota.reservation import (
    RateLimit,
    RateLimitState,
    Refused,
    Reservation,
    ShadowRefusal,
    Stale,
)
from gateway.quota.service_tier import ServiceTier
from gateway.quota.usage import LeaseProgress, Usage
from gateway.scheduling.service import virtual_time
from gateway.store import keys
from gateway.store.errors import StoreUnavailable, ask_twice, store_errors
from gateway.store.guard import Guard, Unguarded
from gateway.store.patience import Patience
from gateway.store.pipe import Scripting
from gateway.store.replies import text
from gateway.store.scope_state import Lease, read_lease
from gateway.store.scripts import read_script

TRY_S = 0.06  # for an answer that a request waits for
HOUR_MS = 60 * 60 * 1000
RENEWED_A_CALL = 500  # Lua's unpack() has an end, and other projects wait meanwhile

# settled: charged. adjusted: the reaper had charged a part, the rest was. lost: charged,
# though nothing was known of a lease. duplicate: charged before.
Verdict = Literal["settled", "adjusted", "lost", "duplicate"]


@dataclass(frozen=True, slots=True)
class Reaped:
    """A lease that was settled for a gateway that is gone."""

    lease_id: str
    kid: str
    usage: Usage  # what was charged: what its gateway told last


class RedisLedger:
    """The quotas and the books of all projects."""

    def __init__(
        self,
        redis: Scripting,
        *,
        lease_ms: int,
        guard: Guard | None = None,
        observe: Callable[[str, str, float], None] = lambda operation, result, seconds: None,
    ) -> None:
        """*lease_ms*: how long a lease lasts that nobody renews. *guard*: knows whether it is
        of use to ask; but for `reserve`, whose caller does.

        *observe* is told of every round trip: the operation, the word it was answered
        with or "unavailable" (cancelled as well), and how many seconds it took.
        """
        self._lease_ms = lease_ms
        self._guard = guard or Unguarded()
        self._observe = observe
        self._scripts = {
            name: redis.register_script(read_script(name))
            for name in ("reserve", "renew", "release", "settle", "ended", "reap")
        }

    async def reserve(
        self,
        *,
        lease_id: str,
        project_id: str,
        config_version: int,
        kid: str,
        model: str,
        input_tokens: int,
        output_tokens: int,
        max_output_tokens: int,
        clampable: bool,
        tier: ServiceTier = ServiceTier.DEFAULT,
        floor: int = 0,
    ) -> Reservation | Refused | Stale:
        """Hold a request's share of the quotas of its project and key until it is settled.

        *config_version*: of the grant the request was authenticated with.
        *output_tokens*: an estimate, for the rates. *max_output_tokens*: the worst case,
        for hard budgets, which may cut it if it is *clampable*. *floor*: the project's virtual
        time in *tier* is lifted to it (scheduling/fair_queue.py).
        Idempotent by *lease_id*. Raises StoreUnavailable.
        """
        script_keys = _lease_keys(project_id, lease_id, kid)
        args = [
            *(lease_id, config_version, kid, model),
            *(input_tokens, output_tokens, max_output_tokens, int(clampable), self._lease_ms),
            *(tier.value, floor),
        ]
        # The same lease id debits nothing twice, so a lost reply may be asked for again.
        reply = await ask_twice(lambda: self._call_soon("reserve", script_keys, args))
        match reply:
            case ["admitted", int(admitted_at_ms), int(day), int(month), int(granted), *more]:
                clock, *told = more
                return Reservation(
                    lease_id=lease_id,
                    project_id=project_id,
                    kid=kid,
                    model=model,
                    input_tokens=input_tokens,
                    output_tokens=min(output_tokens, granted),
                    max_output_tokens=granted,
                    admitted_at_ms=admitted_at_ms,
                    day=day,
                    month=month,
                    rate_limits=_rate_limits(told[:6]),
                    cut_by_budget=granted < max_output_tokens,
                    shadow_refusals=_shadow_refusals(told[6:]),
                    tier=tier,
                    virtual_time=clock,
                )
            case ["refused" | "too_large" as word, quota, scope, int(retry_after_ms), *told]:
                return Refused(
                    quota, scope, retry_after_ms, word == "too_large", _rate_limits(told)
                )
            case ["released"]:
                raise StoreUnavailable(f"{lease_id} was given up before it was reserved")
            case ["stale"]:
                return Stale()
            case _:
                raise AssertionError(f"reserve.lua replied {reply!r}")

    async def release(self, *, project_id: str, lease_id: str, kid: str) -> None:
        """Take back a lease that may be there, or may yet come. Raises StoreUnavailable."""
        script_keys = _lease_keys(project_id, lease_id, kid)
        reply = await self._call("release", script_keys, [lease_id, kid])
        assert reply in (["released"], ["absent"]), reply

    async def rate_limits(self, project_id: str, *, kid: str = "") -> RateLimitState:
        """How the buckets of a project, and of one of its keys, stand. Raises StoreUnavailable."""
        told = await self._told(project_id, kid, "")
        assert isinstance(told, RateLimitState)  # no version, nothing to be stale
        return told

    async def rate_limits_if_current(
        self, project_id: str, *, kid: str, config_version: int
    ) -> RateLimitState | Stale:
        """The same, for whoever was authenticated under *config_version*: Stale if that is past."""
        return await self._told(project_id, kid, config_version)

    async def _told(
        self, project_id: str, kid: str, config_version: int | str
    ) -> RateLimitState | Stale:
        with self._guard.call(TRY_S):
            reply = await self._call(
                "reserve",
                _lease_keys(project_id, "", kid),
                ["", config_version, kid, "", 0, 0, 0, 0, 0, "", 0],
            )
        match reply:
            case ["told", *buckets]:
                return _rate_limits(buckets)
            case ["stale"]:
                return Stale()
            case _:
                raise AssertionError(f"reserve.lua replied {reply!r}")

    async def renew(self, project_id: str, progress: Sequence[LeaseProgress]) -> frozenset[str]:
        """Keep leases from ending, and note what they would be charged if we died now.

        Returns the ids the store does not know. Raises StoreUnavailable.
        """
        unknown: set[str] = set()
        for start in range(0, len(progress), RENEWED_A_CALL):
            batch = progress[start : start + RENEWED_A_CALL]
            kids = sorted({each.kid for each in batch})
            script_keys = [
                *_project_keys(project_id),
                *(keys.key_lease_ends(project_id, kid) for kid in kids),
            ]
            position = {kid: n for n, kid in enumerate(kids, start=5)}
            args = itertools.chain.from_iterable(
                (
                    *(each.lease_id, position[each.kid]),
                    *(each.usage.input_tokens, each.usage.cached_tokens),
                    *(each.usage.output_tokens, each.usage.reasoning_tokens),
                )
                for each in batch
            )
            with self._guard.call():
                word, *ids = await self._call("renew", script_keys, [self._lease_ms, *args])
            assert word == "renewed", word
            unknown.update(ids)
        return frozenset(unknown)

    async def settle(
        self,
        reservation: Reservation,
        usage: Usage,
        *,
        status: str,
        patience_s: float | None = None,
    ) -> Verdict:
        """Charge a response for its *usage*, exactly once, however often this is called.

        *status* is the response's, for the ledger. Raises StoreUnavailable, after
        *patience_s* if somebody waits; the charge may have happened then, and saying it again
        is harmless. Requests should go through `Settler`, which does.
        """
        project_id, kid = reservation.project_id, reservation.kid
        with self._guard.call(patience_s):
            reply = await self._call(
                "settle",
                [
                    *_lease_keys(project_id, reservation.lease_id, kid),
                    *_book_keys(project_id, reservation.day),
                    keys.settled(project_id, reservation.admitted_at_ms // HOUR_MS),
                ],
                [
                    *(reservation.lease_id, kid, reservation.model, status),
                    *(usage.input_tokens, usage.cached_tokens),
                    *(usage.output_tokens, usage.reasoning_tokens),
                    *(reservation.day, reservation.month, reservation.admitted_at_ms),
                    *(reservation.input_tokens, reservation.output_tokens),
                    *(reservation.tier.value, virtual_time(reservation.tier, usage)),
                ],
            )
        match reply:
            case ["settled" | "adjusted" | "lost" | "duplicate"]:
                return cast("Verdict", reply[0])
            case _:
                raise AssertionError(f"settle.lua replied {reply!r}")

    async def reap(self, project_id: str, *, grace_ms: int = 0, limit: int = 100) -> list[Reaped]:
        """Settle leases that ended *grace_ms* ago or longer, with what was told of them last.

        At most *limit*; which ones others reap meanwhile is no error. Raises StoreUnavailable.
        """
        reaped = []
        for lease_id, lease in await self._ended(project_id, grace_ms, limit):
            kid, model, day = ("", "", 0) if lease is None else (lease.kid, lease.model, lease.day)
            reply = await self._call(
                "reap",
                [*_lease_keys(project_id, lease_id, kid), *_book_keys(project_id, day)],
                [lease_id, kid, model],
            )
            match reply:
                case ["reaped", _, *tokens]:
                    reaped.append(Reaped(lease_id, kid, Usage(*map(int, tokens))))
                case ["alive"] | ["gone"]:
                    pass
                case _:
                    raise AssertionError(f"reap.lua replied {reply!r}")
        return reaped

    async def _ended(
        self, project_id: str, grace_ms: int, limit: int
    ) -> list[tuple[str, Lease | None]]:
        with store_errors():
            # Packed, so not through `_call`, which makes text of all of it.
            _, *found = await self._scripts["ended"](
                keys=[keys.lease_ends(project_id), keys.leases(project_id)],
                args=[grace_ms, limit],
            )
        ids = [text(each) for each in found[::2]]
        return [
            (lease_id, read_lease(lease_id, packed) if packed else None)
            for lease_id, packed in zip(ids, found[1::2], strict=True)
        ]

    async def _call_soon(
        self, name: str, script_keys: Sequence[str], args: Sequence[Any]
    ) -> list[Any]:
        with Patience(TRY_S):
            return await self._call(name, script_keys, args)

    async def _call(self, name: str, script_keys: Sequence[str], args: Sequence[Any]) -> list[Any]:
        started_at, result = time.perf_counter(), "unavailable"
        try:
            # Sends the script itself only if Redis does not know it: after a
            # restart, or a failover.
            with store_errors():
                reply = await self._scripts[name](keys=script_keys, args=args)
            words = [text(part) if isinstance(part, bytes) else part for part in reply]
            result = words[0]
            return words
        finally:
            self._observe(name, result, time.perf_counter() - started_at)


def _project_keys(project_id: str) -> list[str]:
    """KEYS[1] to KEYS[4] of every script."""
    return [
        keys.config(project_id),
        keys.quota_state(project_id),
        keys.lease_ends(project_id),
        keys.leases(project_id),
    ]


def _lease_keys(project_id: str, lease_id: str, kid: str) -> list[str]:
    """KEYS[1] to KEYS[6]."""
    return [
        *_project_keys(project_id),
        keys.ended_lease(project_id, lease_id),
        keys.key_lease_ends(project_id, kid),
    ]


def _book_keys(project_id: str, day: int) -> list[str]:
    """KEYS[7] and KEYS[8]."""
    return [keys.usage(project_id, day), keys.ledger(project_id)]


def _rate_limits(buckets: Sequence[Any]) -> RateLimitState:
    requests, tokens = buckets[:3], buckets[3:]
    return RateLimitState(_rate_limit(*requests), _rate_limit(*tokens))


def _rate_limit(limit: int, remaining: int, reset_ms: int) -> RateLimit | None:
    return None if limit < 0 else RateLimit(limit, remaining, reset_ms)


def _shadow_refusals(words: Iterable[str]) -> tuple[ShadowRefusal, ...]:
    """From "scope:quota", as reserve.lua spells it."""
    pairs = (word.split(":") for word in words)
    return tuple(
        ShadowRefusal(cast("QuotaScope", scope), cast("Quota", quota)) for scope, quota in pairs
    )
