"""What a gRPC error says of a worker."""

from __future__ import annotations

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
