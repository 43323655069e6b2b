"""The Triton python-backend model: tensors in, chunks out.

Runs only inside Triton's stub process, which provides triton_python_backend_utils.
What can be tested without Triton is elsewhere: see `worker.py`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from workers.engine import Engine, EngineLoad
from workers.engines.simulator.engine import Simulator
from workers.engines.trtllm.configuration import read_configuration
from workers.engines.trtllm.engine import TensorRtLlm
from workers.live import Tally
from workers.settings import SettingsError, WorkerSettings, read_settings
from workers.worker import Worker

# The engine's loop holds the GIL in bursts; Python's 5 ms would be the wait of
# each sender that comes back from a send.
_GIL_SWITCH_S = 0.0005


class TritonPythonModel:
    """What Triton calls. One instance per process."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the engine. An exception makes Triton give the model up."""
        logging.basicConfig(
            level=logging.INFO,
            stream=sys.stderr,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        )
        sys.setswitchinterval(_GIL_SWITCH_S)
        settings = read_settings(os.environ)
        engine = _make_engine(settings)
        self._metrics = _Metrics()
        self._worker = Worker(engine, settings, publish=self._metrics.publish)
        self._worker.start()

    def execute(self, requests: Sequence[Any]) -> None:
        """Take the requests over; all answers come from other threads, later."""
        for request in requests:
            input_ids = pb_utils.get_input_tensor_by_name(request, "input_ids").as_numpy()
            blob = pb_utils.get_input_tensor_by_name(request, "request").as_numpy()[0]
            channel = TritonChannel(
                request.get_response_sender(), self._metrics, self._worker.figures
            )
            self._worker.submit(input_ids.tolist(), blob, channel)

    def is_ready(self) -> bool:
        """For probes of this model. Triton asks from 26.03 on."""
        return self._worker.ready()

    def finalize(self) -> None:
        self._worker.close()
        self._metrics.close()


class TritonChannel:
    """A response sender of Triton as a `live.Channel`."""

    def __init__(
        self, sender: Any, metrics: _Metrics, figures: Callable[[], tuple[EngineLoad, Tally]]
    ) -> None:
        self._sender = sender
        self._metrics = metrics
        self._figures = figures
        self._closed = False
        metrics.request_began()
        # is_cancelled() after the final response reads memory that the server
        # has freed (2.51): the watch must not ask while a sender says goodbye.
        self._lock = threading.Lock()

    def send(self, blob: bytes, *, final: bool) -> None:
        # np.array([blob]) would make an S-tensor, which drops trailing zeros.
        chunk = np.empty(1, dtype=np.object_)
        chunk[0] = blob
        response = pb_utils.InferenceResponse([pb_utils.Tensor("chunk", chunk)])
        if final:
            self._send_last(response)
        else:
            with self._lock:
                self._sender.send(response)

    def end(self) -> None:
        self._send_last()

    def _send_last(self, *response: Any) -> None:
        with self._lock:
            self._closed = True
            with self._metrics.request_ends(self._figures):
                self._sender.send(*response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def cancelled(self) -> bool:
        with self._lock:
            return not self._closed and bool(self._sender.is_cancelled())


@dataclass(frozen=True, slots=True)
class _Family:
    """Of series in Triton's /metrics."""

    name: str
    description: str
    counts: bool = False  # a counter; else a gauge
    label: str = ""


_Read = Callable[[EngineLoad, Tally], float]

# Each with its series, by the value of the label.
_FAMILIES: dict[_Family, dict[str, _Read]] = {
    _Family("worker_running_requests", "Generations that hold a place in the batch"): {
        "": lambda load, tally: load.running
    },
    _Family("worker_queued_requests", "Generations that wait for a place in the batch"): {
        "": lambda load, tally: load.queued
    },
    _Family(
        "worker_tokens_total",
        "Tokens: prompt (cached ones included), cached, completion",
        counts=True,
        label="kind",
    ): {
        "prompt": lambda load, tally: tally.prompt,
        "cached": lambda load, tally: tally.cached,
        "completion": lambda load, tally: tally.completion,
    },
    _Family("worker_kv_cache_usage_ratio", "Share of the KV cache that running generations hold"): {
        "": lambda load, tally: round(1 - load.kv_free_ratio, 3)
    },
    _Family("worker_engine_broken", "1 when the engine will never generate again"): {
        "": lambda load, tally: int(load.broken)
    },
    _Family(
        "worker_engine_seconds_total",
        "Seconds that generations spent in the engine, by phase",
        counts=True,
        label="phase",
    ): {
        "queue": lambda load, tally: load.totals.queue_s,
        "prefill": lambda load, tally: load.totals.prefill_s,
        "decode": lambda load, tally: load.totals.decode_s,
    },
    _Family("worker_iterations_total", "Steps of the batch, each a token further", counts=True): {
        "": lambda load, tally: load.totals.iterations
    },
    _Family(
        "worker_iteration_seconds_total", "Seconds that steps of the batch took", counts=True
    ): {"": lambda load, tally: load.totals.iteration_s},
    _Family(
        "worker_kv_cache_blocks_total",
        "Blocks of prompts that were in the KV cache (reused), or not (missed)",
        counts=True,
        label="kind",
    ): {
        "reused": lambda load, tally: load.totals.reused_blocks,
        "missed": lambda load, tally: load.totals.missed_blocks,
    },
}


class _Series:
    """One of them, and what Triton knows of it already."""

    def __init__(self, metric: Any, counts: bool, read: _Read) -> None:
        self._metric = metric
        self._counts = counts
        self._read = read
        self._published: float = 0

    def bring(self, load: EngineLoad, tally: Tally) -> None:
        value = self._read(load, tally)
        if value == self._published:
            return
        if self._counts:
            self._metric.increment(value - self._published)
        else:
            self._metric.set(value)
        self._published = value


class _Metrics:
    """Our series in Triton's /metrics, brought up to date while requests are in flight.

    A change is a round trip that holds a lock all threads need, and Triton stops
    answering it when it begins to unload the model: then finalize() would never
    be called (2.51, seen). It begins only when no request is in flight; so that
    is the only time at which nothing may be published, and nothing changes.
    """

    def __init__(self) -> None:
        self._families = []
        self._series = []
        for family, values in _FAMILIES.items():
            kind = pb_utils.MetricFamily.COUNTER if family.counts else pb_utils.MetricFamily.GAUGE
            made = pb_utils.MetricFamily(
                name=family.name, description=family.description, kind=kind
            )
            self._families.append(made)
            for value, read in values.items():
                labels = {family.label: value} if family.label else {}
                self._series.append(_Series(made.Metric(labels=labels), family.counts, read))
        self._lock = threading.Lock()  # of all below
        self._in_flight = 0

    def request_began(self) -> None:
        with self._lock:
            self._in_flight += 1

    @contextmanager
    def request_ends(self, figures: Callable[[], tuple[EngineLoad, Tally]]) -> Iterator[None]:
        """Around the sending of a request's last chunk."""
        with self._lock:
            if self._in_flight == 1:
                self._bring(*figures())
            try:
                yield
            finally:
                self._in_flight -= 1

    def publish(self, load: EngineLoad, tally: Tally) -> None:
        """Bring what has changed since the last call to Triton, if it still listens."""
        with self._lock:
            if self._in_flight:
                self._bring(load, tally)

    def _bring(self, load: EngineLoad, tally: Tally) -> None:
        for series in self._series:
            series.bring(load, tally)

    def close(self) -> None:
        # The stub of 2.51 segfaults if it ends while Metric objects are alive,
        # and the model object still is when finalize() returns.
        del self._series, self._families


def _make_engine(settings: WorkerSettings) -> Engine:
    match settings.engine:
        case "simulator":
            return Simulator(
                settings.simulator, max_running=settings.max_running, grammar=settings.grammar
            )
        case "tensorrt-llm":
            return TensorRtLlm(read_configuration(os.environ, settings), grammar=settings.grammar)
        case other:
            raise SettingsError(f"WORKER_ENGINE must be simulator or tensorrt-llm, not {other!r}")
