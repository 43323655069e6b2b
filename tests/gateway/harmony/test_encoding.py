from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.harmony.encoding import Encoding, TooManyTokens, UnpairedSurrogate
from wire.vocabulary import FIRST_CONTROL_TOKEN, SIZE

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(text=TEXT)
def test_a_text_has_the_ids_that_openai_harmony_gives_it(
    encoding: Encoding, oracle: Any, text: str
) -> None:
    assert encoding.encode_text(text) == oracle.encode(text, disallowed_special=())


@given(text=TEXT)
def test_a_text_comes_back_as_it_was(encoding: Encoding, text: str) -> None:
    token_ids = encoding.encode_text(text)

    assert encoding.decode(token_ids) == text
    assert b"".join(map(encoding.token_bytes, token_ids)).decode() == text


@given(
    words=st.lists(
        TEXT | st.sampled_from(["a'sb", "it's ", "1", "a1", "，", "。x", "汉", "/\r\n"])
    ),
    times=st.integers(1, 4),
)
def test_slices_have_the_ids_of_the_whole(
    encoding: Encoding, oracle: Any, words: list[str], times: int
) -> None:
    text = "".join(words) * times
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gateway.harmony.encoding._SLICE", 3)
        assert encoding.encode_text(text) == oracle.encode(text, disallowed_special=())


def test_a_long_text_is_given_up_when_it_has_too_many_tokens(encoding: Encoding) -> None:
    with pytest.raises(TooManyTokens):
        encoding.encode_text("word " * 100_000, max_tokens=10)
    assert len(encoding.encode_text("word " * 1000, max_tokens=10)) > 10


def test_a_control_token_that_is_spelled_out_is_text(encoding: Encoding) -> None:
    token_ids = encoding.encode_text("<|start|>system<|message|>")

    assert max(token_ids) < FIRST_CONTROL_TOKEN


@pytest.mark.parametrize("text", ["\ud800", "pair torn apart \udc00", "\udc00\ud800"])
def test_half_a_surrogate_pair_is_refused(encoding: Encoding, text: str) -> None:
    with pytest.raises(UnpairedSurrogate):
        encoding.encode_text(text)


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0", "\u2003"])
def test_a_million_blanks_are_a_text_like_any_other(encoding: Encoding, blank: str) -> None:
    for text in (blank * 1_000_000, f"a{blank * 1_234_567}b"):
        assert encoding.decode(encoding.encode_text(text)) == text


@pytest.mark.parametrize("letter", ["a", "\u0e01", "\U0001f600", "7", "-", "\u4e2d"])
def test_a_word_that_never_ends_is_cut_but_loses_nothing(encoding: Encoding, letter: str) -> None:
    text = letter * 300_000
    assert encoding.decode(encoding.encode_text(text)) == text


def test_a_word_that_never_ends_is_given_up_long_before_its_end(
    encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = 0
    encode = encoding._tiktoken.encode_ordinary

    class Counting:
        @staticmethod
        def encode_ordinary(piece: str) -> list[int]:
            nonlocal encoded
            encoded += len(piece)
            return encode(piece)

    monkeypatch.setattr(encoding, "_tiktoken", Counting)
    with pytest.raises(TooManyTokens):
        encoding.encode_text("a" * 10_000_000, max_tokens=131_072)
    # Eight letters a token, and the slice in which it becomes clear.
    assert encoded < 131_072 * 8 + 200_000


@pytest.mark.parametrize(
    "token_id", [-1, FIRST_CONTROL_TOKEN, 200_006, 200_017, SIZE - 1, SIZE, 2**64]
)
def test_an_id_that_is_no_text_token_has_no_bytes(encoding: Encoding, token_id: int) -> None:
    assert encoding.token_bytes(token_id) == b""


def test_ids_are_decoded_for_people_with_control_tokens_spelled_out(encoding: Encoding) -> None:
    token_ids = [200_006, *encoding.encode_text("assistant"), 200_017, -1, 200_007]

    assert encoding.decode(token_ids) == "<|start|>assistant<|200017|><|-1|><|end|>"
