"""Reserve and settle, in Redis: one atomic round trip each."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from redis.asyncio import Redis

from gateway.quota.reservation import RateLimit, RateLimitState, Refused, Reservation, Stale
from gateway.quota.usage import Usage
from gateway.store import keys
from gateway.store.errors import StoreUnavailable, ask_twice, store_errors
from gateway.store.replies import text
from gateway.store.scripts import read_script

HOUR_MS = 60 * 60 * 1000

# settled: charged. lost: charged, though the lease had ended. duplicate: charged before.
Verdict = Literal["settled", "lost", "duplicate"]


class RedisLedger:
    """The quotas and the books of all projects."""

    def __init__(
        self,
        redis: Redis,
        *,
        lease_ms: int,
        observe: Callable[[str, str, float], None] = lambda operation, result, seconds: None,
    ) -> None:
        """*lease_ms*: when the concurrency of a request that nobody settles is given back.
        Nothing renews a lease yet, so it must outlive the longest response.

        *observe* is told of every round trip: "reserve" or "settle", the word it was
        answered with or "unavailable" (cancelled as well), and how many seconds it took.
        """
        self._lease_ms = lease_ms
        self._observe = observe
        self._scripts = {
            name: redis.register_script(read_script(name))
            for name in ("reserve", "release", "settle")
        }

    async def reserve(
        self,
        *,
        lease_id: str,
        project_id: str,
        config_version: int,
        kid: str,
        input_tokens: int,
        output_tokens: int,
    ) -> Reservation | Refused | Stale:
        """Hold a request's share of the project's quotas until it is settled.

        *config_version*: of the grant the request was authenticated with.
        Idempotent by *lease_id*. Raises StoreUnavailable.
        """
        script_keys = _quota_keys(project_id, lease_id)
        args = [lease_id, config_version, kid, input_tokens, output_tokens, self._lease_ms]
        # The same lease id debits nothing twice, so a lost reply may be asked for again.
        reply = await ask_twice(lambda: self._call("reserve", script_keys, args))
        match reply:
            case ["admitted", int(admitted_at_ms), int(day), *buckets]:
                return Reservation(
                    lease_id=lease_id,
                    project_id=project_id,
                    kid=kid,
                    input_tokens=input_tokens,
                    output_tokens=output_tokens,
                    admitted_at_ms=admitted_at_ms,
                    day=day,
                    rate_limits=_rate_limits(buckets),
                )
            case ["refused" | "too_large" as word, quota, int(retry_after_ms), *buckets]:
                return Refused(quota, retry_after_ms, word == "too_large", _rate_limits(buckets))
            case ["released"]:
                raise StoreUnavailable(f"{lease_id} was given up before it was reserved")
            case ["stale"]:
                return Stale()
            case _:
                raise AssertionError(f"reserve.lua replied {reply!r}")

    async def release(self, *, project_id: str, lease_id: str) -> None:
        """Take back a lease that may be there, or may yet come. Raises StoreUnavailable."""
        reply = await self._call("release", _quota_keys(project_id, lease_id), [lease_id])
        assert reply in (["released"], ["absent"]), reply

    async def rate_limits(self, project_id: str) -> RateLimitState:
        """How the project's buckets stand. Raises StoreUnavailable."""
        reply = await self._call("reserve", _quota_keys(project_id, ""), ["", "", "", 0, 0, 0])
        match reply:
            case ["told", *buckets]:
                return _rate_limits(buckets)
            case _:
                raise AssertionError(f"reserve.lua replied {reply!r}")

    async def settle(
        self, reservation: Reservation, usage: Usage, *, model: str, status: str
    ) -> Verdict:
        """Charge a response for its *usage*, exactly once, however often this is called.

        *status* is the response's, for the ledger. Raises StoreUnavailable; the
        charge may have happened then, and saying it again is harmless. Requests
        should go through `Settler`, which does.
        """
        project_id = reservation.project_id
        reply = await self._call(
            "settle",
            [
                keys.config(project_id),
                keys.quota_state(project_id),
                keys.lease_ends(project_id),
                keys.leases(project_id),
                keys.settled(project_id, reservation.admitted_at_ms // HOUR_MS),
                keys.usage(project_id, reservation.day),
                keys.ledger(project_id),
            ],
            [
                reservation.lease_id,
                reservation.kid,
                model,
                status,
                reservation.input_tokens + reservation.output_tokens,
                usage.input_tokens,
                usage.cached_tokens,
                usage.output_tokens,
                usage.reasoning_tokens,
                reservation.day,
                reservation.admitted_at_ms,
            ],
        )
        match reply:
            case ["settled"]:
                return "settled"
            case ["lost"]:
                return "lost"
            case ["duplicate"]:
                return "duplicate"
            case _:
                raise AssertionError(f"settle.lua replied {reply!r}")

    async def _call(self, name: str, script_keys: list[str], args: list[Any]) -> list[Any]:
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


def _quota_keys(project_id: str, lease_id: str) -> list[str]:
    return [
        keys.config(project_id),
        keys.quota_state(project_id),
        keys.lease_ends(project_id),
        keys.leases(project_id),
        keys.released(project_id, lease_id),
    ]


def _rate_limits(buckets: list[Any]) -> RateLimitState:
    requests, tokens = buckets[:3], buckets[3:]
    return RateLimitState(_rate_limit(*requests), _rate_limit(*tokens))


def _rate_limit(limit: int, remaining: int, reset_ms: int) -> RateLimit | None:
    return None if limit < 0 else RateLimit(limit, remaining, reset_ms)
