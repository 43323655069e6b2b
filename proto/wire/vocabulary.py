"""o200k_harmony: the vocabulary that gives the token ids on the wire their meaning.

The ranks come from a file inside the `bpe-openai` wheel, so nothing is
downloaded at run time. They are verified before use: two ends that disagree
about one id would garble text without any error.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
from pathlib import Path

SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
SIZE = 201_088  # ids, control tokens and reserved ones included

STARTOFTEXT = 199998
ENDOFTEXT = 199999
RETURN = 200002
CONSTRAIN = 200003
CHANNEL = 200005
START = 200006
END = 200007
MESSAGE = 200008
CALL = 200012

CONTROL_TOKENS = {
    "<|startoftext|>": STARTOFTEXT,
    "<|endoftext|>": ENDOFTEXT,
    "<|return|>": RETURN,
    "<|constrain|>": CONSTRAIN,
    "<|channel|>": CHANNEL,
    "<|start|>": START,
    "<|end|>": END,
    "<|message|>": MESSAGE,
    "<|call|>": CALL,
}
# The roles' names are one token of text each.
USER = 1428
ASSISTANT = 173781

FIRST_CONTROL_TOKEN = STARTOFTEXT  # every id from here on is no text

# How text is cut into pieces before the ranks merge bytes.
_PIECES = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
)
PATTERN = "|".join(_PIECES)


class VocabularyError(Exception):
    """The vocabulary file is missing or is not the one we speak."""


def tiktoken_file() -> bytes:
    """The vocabulary in tiktoken's format: a line `base64(bytes) rank` a token.

    Raises:
        VocabularyError: the file is missing, or its hash is wrong.
    """
    # Found without importing the package: its compiled half holds 74 MB of
    # tokenizers that we do not use.
    spec = importlib.util.find_spec("bpe_openai")
    if spec is None or spec.origin is None:
        raise VocabularyError(
            "the package bpe-openai, which carries the vocabulary, is not installed"
        )
    path = Path(spec.origin).parent / "data" / "o200k_base.tiktoken.gz"
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as exc:
        raise VocabularyError(f"cannot read {path.name} of bpe-openai: {exc}") from exc
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise VocabularyError(f"{path.name} of bpe-openai has sha256 {found}, expected {SHA256}")
    return content


def load_ranks() -> dict[bytes, int]:
    """Bytes of each text token -> its id. Takes about 0.2 s. Raises VocabularyError."""
    return {
        base64.b64decode(token): int(rank)
        for token, _, rank in (line.partition(b" ") for line in tiktoken_file().splitlines())
    }
