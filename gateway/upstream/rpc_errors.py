"""What the end of a gRPC call says of a worker."""

from __future__ import annotations

import asyncio

import grpc

from gateway.upstream.failures import AttemptFailed, Reason


def rpc_failure(exc: grpc.aio.AioRpcError) -> AttemptFailed:
    match exc.code():
        case grpc.StatusCode.UNAVAILABLE:
            reason = Reason.UNREACHABLE
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            reason = Reason.DEADLINE
        case _:
            reason = Reason.TRITON_ERROR
    return AttemptFailed(reason, f"{exc.code().name}: {exc.details()}")


def task_is_cancelled() -> bool:
    """Whose is a CancelledError? grpc.aio raises it for calls as well that somebody has cancelled."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
