"""What the scripts keep packed, read in Python: how a scope stands, leases, counters."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gateway.quota.usage import Usage

_SCOPE = struct.Struct(">10d")  # SCOPE of includes/scope.lua
_LEASE = struct.Struct(">11d")  # LEASE of includes/lease.lua
_USAGE = struct.Struct(">5d")  # USAGE of includes/charge.lua


@dataclass(frozen=True, slots=True)
class ScopeState:
    """A project's, or a key's, buckets and budgets."""

    # When the buckets are at rest, us of Unix time; the past means now.
    requests_rest_us: int = 0
    tokens_rest_us: int = 0
    input_rest_us: int = 0
    output_rest_us: int = 0
    day: int = 0  # since 1970-01-01 UTC
    day_used: int = 0  # tokens
    day_reserved: int = 0
    month: int = 0  # YYYYMM
    month_used: int = 0
    month_reserved: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A request in flight, as the store knows it."""

    lease_id: str
    kid: str
    model: str
    admitted_at_ms: int
    day: int
    month: int
    input_tokens: int  # reserved
    output_tokens: int  # reserved of the rates
    budget_tokens: int  # reserved of the budgets
    progress: Usage  # what would be charged if its gateway died now


def read_scope_state(packed: bytes | None) -> ScopeState:
    """None: nothing has been used yet."""
    return ScopeState() if packed is None else ScopeState(*map(int, _SCOPE.unpack(packed)))


def read_lease(lease_id: str, packed: bytes) -> Lease:
    admitted, day, month, input_, output, budget, _, *progress = map(
        int, _LEASE.unpack_from(packed)
    )
    kid, model = packed[_LEASE.size :].decode().split("|", 1)
    return Lease(
        lease_id, kid, model, admitted, day, month, input_, output, budget, Usage(*progress)
    )


def read_counters(packed: bytes) -> tuple[int, Usage]:
    """Requests, and their tokens."""
    requests, *tokens = map(int, _USAGE.unpack(packed))
    return requests, Usage(*tokens)
