"""Fill the volume with the model's checkpoint: `fetch` does, `wait` waits until it has been done.

A file beside the checkpoint says what it is, and is written last: who finds it finds all.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

POLL_S = 10.0


def main() -> int:
    directory = Path(os.environ["WEIGHTS_DIRECTORY"])
    repository, revision = os.environ["WEIGHTS_REPOSITORY"], os.environ["WEIGHTS_REVISION"]
    marker = directory.with_name(f"{directory.name}.complete")
    wanted = f"{repository}@{revision}\n"
    if sys.argv[1] == "wait":
        while not is_complete(marker, wanted):
            print(f"waiting for {wanted.strip()} in {directory}", flush=True)
            time.sleep(POLL_S)
    elif not is_complete(marker, wanted):
        # Only there in the worker's image; workers themselves never download.
        from huggingface_hub import snapshot_download

        marker.unlink(missing_ok=True)
        snapshot_download(
            repo_id=repository,
            revision=revision,
            local_dir=str(directory),
            ignore_patterns=[each for each in os.environ["WEIGHTS_IGNORE"].split(",") if each],
        )
        marker.write_text(wanted)
    print(f"{wanted.strip()} is in {directory}")
    return 0


def is_complete(marker: Path, wanted: str) -> bool:
    return marker.exists() and marker.read_text() == wanted


if __name__ == "__main__":
    sys.exit(main())
