"""What is asked of the ledger for one request."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from gateway.quota.service_tier import ServiceTier


class ReserveRequest(TypedDict):
    """The arguments of `RedisLedger.reserve`, which says what they mean."""

    lease_id: str
    project_id: str
    config_version: int
    kid: str
    model: str
    input_tokens: int
    output_tokens: int
    max_output_tokens: int
    clampable: bool
    tier: NotRequired[ServiceTier]
    floor: NotRequired[int]
