"""Reasoning that clients carry for us opens where it may, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.responses.sealing import NONCE_BYTES, CannotOpen, Seal

OLD, NEW = b"o" * 32, b"n" * 32
NONCE = bytes(NONCE_BYTES)
PLACE = {"project_id": "project-1", "model": "gpt-oss-120b"}


@given(st.text())
def test_what_was_sealed_opens_again(text: str) -> None:
    seal = Seal({1: OLD})
    assert seal.open(seal.seal(text, **PLACE, nonce=NONCE), **PLACE) == text


def test_it_opens_for_its_project_and_model_only() -> None:
    seal = Seal({1: OLD})
    blob = seal.seal("secret thoughts", **PLACE, nonce=NONCE)
    for place in (
        {**PLACE, "project_id": "project-2"},
        {**PLACE, "model": "other"},
        {"project_id": "project-1gpt", "model": "-oss-120b"},
    ):
        with pytest.raises(CannotOpen):
            seal.open(blob, **place)
    assert "secret" not in blob


def test_keys_can_be_rotated() -> None:
    blob = Seal({1: OLD}).seal("text", **PLACE, nonce=NONCE)
    rotated = Seal({1: OLD, 2: NEW})
    assert rotated.open(blob, **PLACE) == "text"
    assert rotated.seal("text", **PLACE, nonce=NONCE).startswith("v1.2.")
    with pytest.raises(CannotOpen):
        Seal({2: NEW}).open(blob, **PLACE)


@given(st.one_of(st.text(), st.from_regex(r"v1\.[0-9]+\.[A-Za-z0-9_=-]*", fullmatch=True)))
def test_nothing_else_opens(blob: str) -> None:
    with pytest.raises(CannotOpen):
        Seal({1: OLD}).open(blob, **PLACE)


@given(st.data())
def test_a_changed_blob_does_not_open(data: st.DataObject) -> None:
    seal = Seal({1: OLD})
    blob = seal.seal("text of some length", **PLACE, nonce=NONCE)
    at = data.draw(st.integers(5, len(blob) - 6))
    other = data.draw(st.sampled_from("AZaz09-_").filter(lambda char: char != blob[at]))
    with pytest.raises(CannotOpen):
        seal.open(blob[:at] + other + blob[at + 1 :], **PLACE)
