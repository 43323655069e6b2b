"""The oracle: openai-harmony, which renders the prompts gpt-oss was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from wire.vocabulary import tiktoken_file


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """openai_harmony's HarmonyEncoding, with our vocabulary instead of a download."""
    directory = tmp_path_factory.mktemp("vocabulary")
    (directory / "o200k_base.tiktoken").write_bytes(tiktoken_file())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(directory))
        import openai_harmony

        yield openai_harmony.load_harmony_encoding("HarmonyGptOss")
