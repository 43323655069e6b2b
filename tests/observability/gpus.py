"""What dcgm-exporter tells of GPUs, played: there is none here. Names and labels are its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Gauge, start_http_server


@contextmanager
def played_gpus() -> Iterator[str]:
    """One GPU that is well; where it is told of."""
    registry = CollectorRegistry()
    for name, value in (
        ("DCGM_FI_DEV_GPU_UTIL", 91),
        ("DCGM_FI_DEV_FB_USED", 74_000),
        ("DCGM_FI_DEV_POWER_USAGE", 610),
        ("DCGM_FI_DEV_XID_ERRORS", 0),
    ):
        Gauge(name, name, ("gpu", "UUID", "modelName"), registry=registry).labels(
            "0", "GPU-0", "NVIDIA H200"
        ).set(value)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
