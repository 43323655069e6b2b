"""How one attempt on one worker can fail, and what follows from it.

The words here are the gateway's operators': they appear in logs and as the
`reason` of metrics. What a tenant may hear is `generation.UpstreamFailure`.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

from gateway.generation import UpstreamError, UpstreamFailure


class Reason(enum.Enum):
    """Why an attempt failed."""

    # The worker is to blame.
    UNREACHABLE = "unreachable"  # no connection, or it broke
    TRITON_ERROR = "triton_error"  # Triton answered instead of the model
    ENDED_EARLY = "ended_early"  # the stream ended without `finished`
    SILENT = "silent"  # not even a heartbeat
    CONTRACT_VIOLATION = "contract_violation"
    ENGINE_FAILED = "engine_failed"  # it said so itself
    # It is well, but does not want this generation.
    OVERLOADED = "overloaded"
    DRAINING = "draining"
    # No worker would do better.
    INVALID_ARGUMENT = "invalid_argument"
    CONTEXT_TOO_LONG = "context_too_long"
    NO_FIRST_TOKEN = "no_first_token"  # alive, but first_token_s have passed
    DEADLINE = "deadline"  # Generation.deadline_unix_ms has passed


# Another worker would answer the same: these are about the generation.
FINAL = frozenset(
    {Reason.INVALID_ARGUMENT, Reason.CONTEXT_TOO_LONG, Reason.NO_FIRST_TOKEN, Reason.DEADLINE}
)


class AttemptFailed(Exception):
    """One worker did not finish the generation. The text is for logs."""

    def __init__(self, reason: Reason, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_ms = retry_after_ms  # only with OVERLOADED; None = not said


class ContractViolation(AttemptFailed):
    """A worker sent what proto/wire/v1/generation.proto does not allow."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.CONTRACT_VIOLATION, message)


def sum_up(
    failures: Sequence[AttemptFailed], *, constrained: bool, generated_tokens: int = 0
) -> UpstreamError:
    """What the tenant may be told about all attempts at a generation, in their order.

    *constrained*: it had an OutputConstraint, of which a worker may think that no
    engine can enforce it. Without one, and when there are tokens already,
    INVALID_ARGUMENT is a bug of ours.
    """
    text = "; ".join(f"{failed.reason.value}: {failed}" for failed in failures)
    if generated_tokens and failures[-1].reason is not Reason.DEADLINE:
        # Half an answer was given. That others had no room for it is no news for the tenant.
        return UpstreamError(
            UpstreamFailure.ENGINE_FAILED, f"after {generated_tokens} tokens: {text}"
        )
    match failures[-1].reason:
        case Reason.CONTEXT_TOO_LONG:
            return UpstreamError(UpstreamFailure.CONTEXT_TOO_LONG, text)
        case Reason.NO_FIRST_TOKEN | Reason.DEADLINE:
            return UpstreamError(UpstreamFailure.TIMEOUT, text)
        case Reason.INVALID_ARGUMENT if constrained:
            return UpstreamError(UpstreamFailure.CONSTRAINT_REFUSED, text)
        case Reason.INVALID_ARGUMENT:
            return UpstreamError(UpstreamFailure.ENGINE_FAILED, text)
    reasons = {failed.reason for failed in failures}
    if Reason.OVERLOADED in reasons:
        # Whatever else went wrong: there is a worker, and it will have room.
        known = [failed.retry_after_ms for failed in failures if failed.retry_after_ms is not None]
        return UpstreamError(
            UpstreamFailure.OVERLOADED, text, retry_after_ms=min(known, default=None)
        )
    if reasons <= {Reason.UNREACHABLE, Reason.DRAINING}:
        return UpstreamError(UpstreamFailure.NO_WORKER, text)
    return UpstreamError(UpstreamFailure.ENGINE_FAILED, text)


class UpstreamObserver(Protocol):
    """Is told what went wrong with which worker, as it happens. Must not raise."""

    def worker_failed(self, address: str, reason: str) -> None:
        """An attempt on this worker failed; *reason* is the value of a Reason."""

    def taken_over(self, generated_tokens: int) -> None:
        """Another worker takes over, behind so many tokens."""


class Unobserved:
    """An UpstreamObserver that does nothing."""

    def worker_failed(self, address: str, reason: str) -> None:
        pass

    def taken_over(self, generated_tokens: int) -> None:
        pass
