"""The Job that fills the volume with the checkpoint, and the workers that wait for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.chart.helm import CHART, render

SCRIPT = CHART / "files" / "fetch_weights.py"
# What the worker's image has, played: a download takes a moment, and may fail.
HUB = """
import pathlib, sys
def snapshot_download(repo_id, revision, local_dir, ignore_patterns):
    directory = pathlib.Path(local_dir)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory.parent / "downloads").open("a") as log:
        print(repo_id, revision, *ignore_patterns, file=log)
    (directory / "model.safetensors").write_text("weights")
    if revision == "broken":
        raise OSError("the connection was reset")
"""


def environment(volume: Path, **changes: str) -> dict[str, str]:
    """The Job's, with its volume at *volume*."""
    pod = next(
        pod
        for name, pod in render(CHART / "profiles" / "gpu.yaml").pods().items()
        if name.startswith("Job/")
    )
    env = {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}
    directory = env["WEIGHTS_DIRECTORY"].replace("/models", str(volume))
    (volume / "hub").mkdir(exist_ok=True)
    (volume / "hub" / "huggingface_hub.py").write_text(HUB)
    return {
        **os.environ,
        **env,
        "WEIGHTS_DIRECTORY": directory,
        "PYTHONPATH": str(volume / "hub"),
        **changes,
    }


def fetch(env: dict[str, str]) -> int:
    return subprocess.run(
        [sys.executable, SCRIPT, "fetch"], env=env, capture_output=True, check=False
    ).returncode


def test_it_fetches_once_and_again_only_for_another_revision(tmp_path: Path) -> None:
    env = environment(tmp_path)
    assert [fetch(env), fetch(env)] == [0, 0]
    downloads = (tmp_path / "downloads").read_text()
    assert downloads == "openai/gpt-oss-120b main original/* metal/*\n"
    assert fetch({**env, "WEIGHTS_REVISION": "b5c9"}) == 0
    assert (tmp_path / "downloads").read_text().count("\n") == 2


def test_a_download_that_breaks_off_does_not_count(tmp_path: Path) -> None:
    env = environment(tmp_path, WEIGHTS_REVISION="broken")
    assert fetch(env) == 1
    assert fetch(env) == 1
    assert (tmp_path / "downloads").read_text().count("\n") == 2


def test_workers_wait_until_it_is_done(tmp_path: Path) -> None:
    env = environment(tmp_path)
    wait = ("import runpy, sys; sys.argv = [sys.argv[1], 'wait'];"
            " module = runpy.run_path(sys.argv[0]); module['main'].__globals__['POLL_S'] = 0.1;"
            " sys.exit(module['main']())")  # fmt: skip
    waiting = subprocess.Popen(
        [sys.executable, "-c", wait, SCRIPT], env=env, stdout=subprocess.PIPE, text=True
    )
    assert waiting.stdout is not None
    assert waiting.stdout.readline().startswith("waiting for openai/gpt-oss-120b@main")
    assert waiting.poll() is None
    assert fetch(env) == 0
    assert waiting.wait(10) == 0
    waiting.stdout.close()


def test_another_revision_is_another_job() -> None:
    """A Job cannot be changed."""
    gpu = CHART / "profiles" / "gpu.yaml"
    first, second = (
        render(gpu, sets=(f'workers.weights.job.revision="{each}"',)).one("Job")["metadata"]["name"]
        for each in ("main", "b5c9")
    )
    assert first != second
    assert render(gpu, sets=("gateway.replicas=9",)).one("Job") == render(gpu).one("Job")
