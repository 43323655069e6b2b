"""The tenant's Job in the cluster: begun, awaited, stopped, heard."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.chart.helm import Object
from tests.cluster.client import ALL_OPEN, STREAMS
from tests.cluster.manifests import CLIENT, STOP_FILE, client
from tests.cluster.tools import Cluster, ToolError
from tests.cluster.waiting import Failed, wait_until

_JOB = f"job/{CLIENT}"
# A stream takes half a minute; nodes that are busy, GPUs that queue.
_END_TIMEOUT_S = 600
_BEGIN_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    streams: int
    events: int
    short_requests: int


def begin(cluster: Cluster, test_pod: Object, api_key: str, stream_words: int) -> None:
    """Returns when all streams are open. Raises Failed, ToolError."""
    cluster.kubectl("apply", "--filename", "-", given=client(test_pod, api_key, stream_words))
    wait_until(lambda: _all_are_open(cluster), ALL_OPEN, timeout_s=_BEGIN_TIMEOUT_S)


def _all_are_open(cluster: Cluster) -> bool:
    if _ended(cluster):
        raise Failed(f"the client has ended before its streams were open:\n{_log(cluster)}")
    return ALL_OPEN in _log(cluster)


def end(cluster: Cluster) -> Outcome:
    """Stop it, when its streams have ended by themselves. Raises Failed, ToolError."""
    if _ended(cluster):
        raise Failed(f"the client has ended before it was told to:\n{_log(cluster)}")
    touch = f"import pathlib; pathlib.Path('{STOP_FILE}').touch()"
    cluster.kubectl("exec", _JOB, "--", "python", "-c", touch)
    wait_until(lambda: _ended(cluster), "the client has ended", timeout_s=_END_TIMEOUT_S)
    text = _log(cluster)
    try:
        told: Any = json.loads(text.splitlines()[-1])
    except (IndexError, ValueError) as exc:
        raise Failed(f"the client does not say what came of it:\n{text}") from exc
    if told["failures"] or not cluster.get(_JOB)["status"].get("succeeded"):
        raise Failed(f"the client saw {len(told['failures'])} failures:\n{text}")
    if told["streams"] < STREAMS or not told["short_requests"]:
        raise Failed(f"the client has asked too little to tell anything:\n{text}")
    return Outcome(told["streams"], told["events"], told["short_requests"])


def _ended(cluster: Cluster) -> bool:
    status = cluster.get(_JOB).get("status", {})
    return bool(status.get("succeeded") or status.get("failed"))


def _log(cluster: Cluster) -> str:
    try:
        return cluster.kubectl("logs", _JOB)
    except ToolError:
        return ""  # its container has not been started yet
