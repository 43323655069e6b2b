"""Try the chart on the cluster that KUBECONFIG names: `make test-cluster`."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from pathlib import Path

from tests.cluster.steps import IMAGES, STREAM_WORDS, Settings, run
from tests.cluster.tools import ToolError, ToolMissing, find_cluster


def main() -> int:
    if not os.environ.get("KUBECONFIG"):
        print(
            "Skipped: there is no cluster to try the chart on;"
            " `make test-cluster KUBECONFIG=FILE` names one."
        )
        return 0
    # Whoever ends us does not want the namespace either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = Settings(
        values=tuple(map(Path, os.environ.get("VALUES", "").split())),
        images={value: os.environ[name] for name, value in IMAGES.items() if os.environ.get(name)},
        stream_words=int(os.environ.get("STREAM_WORDS") or STREAM_WORDS),
        keep=os.environ.get("KEEP") == "1",
    )
    try:
        return 0 if run(find_cluster(f"gw-test-{secrets.token_hex(3)}"), settings) else 1
    except (ToolError, ToolMissing) as exc:
        print(exc)
    except KeyboardInterrupt:
        pass  # said where it happened
    return 1


if __name__ == "__main__":
    sys.exit(main())
