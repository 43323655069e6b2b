"""One response and what it has used: what is to be charged, now or later."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.quota.reservation import Reservation
from gateway.quota.usage import Usage


@dataclass(frozen=True, slots=True)
class Settlement:
    reservation: Reservation
    usage: Usage
    status: str  # of the response
    made_at: float  # Unix time, s

    @property
    def response_id(self) -> str:
        return self.reservation.lease_id
