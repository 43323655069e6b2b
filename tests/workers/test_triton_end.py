"""How a worker ends: on request, by force, and by dying."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

from tests.stack.process import Process, StartError, free_port, living_members
from tests.stack.triton import TritonPorts, start_triton
from tests.workers.prompts import user
from tests.workers.triton_client import TritonClient, greedy
from workers.engines.simulator.tokenizer import Tokenizer


def _start(directory: Path) -> tuple[Process, TritonPorts]:
    ports = TritonPorts(grpc=free_port(), http=free_port(), metrics=free_port())
    return start_triton(ports, directory, env={"WORKER_SIMULATOR_DIRECTIVES": "1"}), ports


def _processes(group: int) -> list[str]:
    """The names of a process group's living members."""
    return sorted(name for _, name in living_members(group))


def _until_ended(group: int) -> None:
    """Wait for what was killed: only its own parent is told when it has gone."""
    while _processes(group):
        time.sleep(0.01)


def _shared_memory(triton: Process) -> list[Path]:
    """The regions that the processes of this Triton have mapped."""
    maps = Path(f"/proc/{triton.pid}/maps").read_text()
    return [Path(each) for each in set(re.findall(r"/dev/shm/gw_\S+", maps))]


def test_stopping_leaves_nothing_behind(tmp_path: Path) -> None:
    triton, _ = _start(tmp_path)
    regions = _shared_memory(triton)
    assert _processes(triton.pid) == ["triton_python_b", "tritonserver"]
    assert any(region.exists() for region in regions)

    exit_code = triton.stop()

    assert exit_code == 0
    _until_ended(triton.pid)
    assert not any(region.exists() for region in regions)


def test_killing_leaves_nothing_behind(tmp_path: Path) -> None:
    triton, _ = _start(tmp_path)
    regions = _shared_memory(triton)

    triton.kill()

    _until_ended(triton.pid)
    assert not any(region.exists() for region in regions)


async def test_a_dead_model_leaves_its_streams_hanging(
    tmp_path: Path, tokenizer: Tokenizer, one_event_loop: None
) -> None:
    # What gateways need their watchdog for: Triton 2.51 says nothing.
    triton, ports = _start(tmp_path)
    with triton:
        async with TritonClient(ports, tokenizer) as client:
            prompt = user('SIM: {"die_after": 3, "tokens_per_second": 0}')
            async with client.stream(prompt, greedy()) as stream:
                received: list[int] = []
                while len(received) < 3:
                    chunk = await stream.receive()
                    assert chunk is not None
                    received += chunk[0].token_ids
                while _processes(triton.pid) != ["tritonserver"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(stream.receive(), 0.5)
        triton.kill()

    assert len(received) == 3
    _until_ended(triton.pid)


def test_an_environment_without_triton_is_named(tmp_path: Path) -> None:
    ports = TritonPorts(grpc=1, http=2, metrics=3)

    with pytest.raises(StartError, match="there is no .*nowhere"):
        start_triton(ports, tmp_path, worker_python=tmp_path / "nowhere" / "python")
