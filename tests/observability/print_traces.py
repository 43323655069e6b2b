"""Print the traces that a gateway on this machine sends: `make traces`, while `make run` runs."""

from __future__ import annotations

import argparse
import time

from tests.observability.collector import as_tree, running_collector


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make traces",
        description="A collector (OTLP over HTTP) that prints each trace when its request has ended.",
    )
    parser.add_argument("--port", type=int, default=4318, help="(4318)")
    arguments = parser.parse_args()
    with running_collector(arguments.port) as collector:
        print(
            f"Listening at {collector.url}. In another terminal:\n\n"
            f"  GATEWAY_TRACES_URL={collector.url} GATEWAY_TRACES_SHARE=1 make run\n",
            flush=True,
        )
        printed: set[str] = set()
        while True:
            time.sleep(0.5)
            # Our own span has no parent and ends last.
            for root in [span for span in collector.spans if not span.parent_id]:
                if root.trace_id not in printed:
                    printed.add(root.trace_id)
                    print(*as_tree(collector.trace(root.trace_id)), "", sep="\n", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as exc:
        raise SystemExit(f"the port cannot be had ({exc.strerror}); --port names another") from None
