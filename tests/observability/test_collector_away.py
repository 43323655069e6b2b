"""A collector that does not answer delays nobody: no request, and no rollout."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.telemetry.traces import CLOSE_S
from tests.stack.product import running_product
from tests.system.http import create
from tests.system.waiting import wait_until


@contextmanager
def mute_collector() -> Iterator[tuple[str, list[socket.socket]]]:
    """Takes connections and says nothing."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/v1/traces", held
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for each in held:
                each.close()


def test_a_gateway_ends_in_time_though_its_spans_are_not_taken(tmp_path: Path) -> None:
    with (
        mute_collector() as (url, held),
        running_product(
            tmp_path,
            gateway_env={
                "GATEWAY_TRACES_URL": url,
                "GATEWAY_TRACES_SHARE": "1",
                "OTEL_BSP_SCHEDULE_DELAY": "50",
                # Longer than anybody would wait for a pod.
                "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
            },
        ) as product,
    ):
        tenant = product.new_project()
        assert create(product.url, tenant, max_output_tokens=5).status_code == 200
        wait_until(lambda: bool(held), "spans are on their way")
        assert create(product.url, tenant, max_output_tokens=5).status_code == 200

        began = time.monotonic()
        product.gateway.send(signal.SIGTERM)
        assert product.gateway.wait(timeout_s=50) == 0
        # A minute, if it waited; the rest is settling and a busy machine.
        assert time.monotonic() - began < CLOSE_S + 20
