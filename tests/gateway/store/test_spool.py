"""Settlements on disk: whole, or not at all, and never those of somebody who lives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.quota.reservation import RateLimitState, Reservation
from gateway.quota.usage import Usage
from gateway.store.settlement import Settlement
from gateway.store.spool import Spool, SpoolFull


def settlement(response_id: str) -> Settlement:
    return Settlement(
        Reservation(
            response_id, "prj_a", "kid", "m", 1, 2, 3, 4, 5, 197001, RateLimitState(None, None)
        ),
        Usage(1, 2, 3, 4),
        "completed",
        1_795_000_000.5,
    )


def spool(directory: Path) -> Spool:
    return Spool(directory, max_bytes=10**6)


def file_of(directory: Path) -> Path:
    (path,) = directory.glob("*.spool")
    return path


def left_behind(directory: Path, *ids: str) -> Path:
    """The file of a process that is gone."""
    mine = spool(directory)
    mine.append([settlement(each) for each in ids])
    mine.close()
    return file_of(directory)


def test_what_was_left_is_taken_over_as_it_was(tmp_path: Path) -> None:
    left_behind(tmp_path, "a", "b")
    assert spool(tmp_path).adopt() == [settlement("a"), settlement("b")]


def test_it_is_taken_over_once_and_is_then_the_new_process_own(tmp_path: Path) -> None:
    left = left_behind(tmp_path, "a")
    second = spool(tmp_path)
    assert len(second.adopt()) == 1
    assert not left.exists()
    second.close()
    assert spool(tmp_path).adopt() == [settlement("a")]


def test_the_file_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    living = spool(tmp_path)
    living.append([settlement("a")])
    assert spool(tmp_path).adopt() == []


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_a_line_that_was_being_written_is_left_out(tmp_path: Path, cut: int) -> None:
    left = left_behind(tmp_path, "a", "b")
    os.truncate(left, left.stat().st_size - cut)
    assert spool(tmp_path).adopt() == [settlement("a")]


def test_a_damaged_line_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = left_behind(tmp_path, "a", "b")
    data = bytearray(left.read_bytes())
    data[30] ^= 1
    left.write_bytes(data)
    assert spool(tmp_path).adopt() == [settlement("b")]
    assert "line 1 is damaged" in caplog.text


def test_a_full_file_takes_nothing_more(tmp_path: Path) -> None:
    small = Spool(tmp_path, max_bytes=400)
    small.append([settlement("a")])
    with pytest.raises(SpoolFull):
        small.append([settlement("b")])
    small.close()
    assert spool(tmp_path).adopt() == [settlement("a")]


def test_an_empty_file_is_removed(tmp_path: Path) -> None:
    mine = spool(tmp_path)
    mine.append([settlement("a")])
    mine.clear()
    mine.close()
    assert list(tmp_path.iterdir()) == []


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    assert left_behind(tmp_path, "a").stat().st_mode & 0o077 == 0
