"""A file of ids that are refused."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from gateway.denylist import Denylist


async def test_it_is_read_again_when_it_changes_and_kept_when_it_is_gone(tmp_path: Path) -> None:
    path, read = tmp_path / "denylist", list[int]()
    path.write_text("# leaked on Monday\nkid1  # ci\n\n prj_a\n")
    denylist = Denylist(path, on_read=read.append)
    assert denylist.denies("kid1")
    assert denylist.denies("other", None, "prj_a")
    assert not denylist.denies("ci", None, "prj_b")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(denylist.run)
        # As Kubernetes does it: another file takes its place.
        fresh = tmp_path / "fresh"
        fresh.write_text("kid2\n")
        os.replace(fresh, path)
        while not denylist.denies("kid2"):  # noqa: ASYNC110
            await anyio.sleep(0.01)
        assert not denylist.denies("kid1")
        path.unlink()
        await anyio.sleep(1.2)  # it has looked meanwhile; that it has seen nothing shows nowhere
        assert denylist.denies("kid2")
        tasks.cancel_scope.cancel()
    assert read == [2, 1]


def test_none_denies_nobody() -> None:
    assert not Denylist(None).denies("kid1")


def test_a_file_that_is_not_there_is_told_at_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none"):
        Denylist(tmp_path / "none")
