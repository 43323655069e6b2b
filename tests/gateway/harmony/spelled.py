"""Harmony as people write it down, `<|start|>assistant...`, to token ids."""

from __future__ import annotations

import re

from gateway.harmony.encoding import Encoding
from gateway.harmony.render import Piece, encode
from wire.vocabulary import CONTROL_TOKENS

_TOKEN = re.compile(r"(<\|(?:[a-z]+|reserved_[0-9]+)\|>)")


def read_spelled(spelled: str, encoding: Encoding) -> list[int]:
    return list(encode(map(_piece, _TOKEN.split(spelled)), encoding.encode_text))


def _piece(part: str) -> Piece:
    if reserved := re.fullmatch(r"<\|reserved_([0-9]+)\|>", part):
        return int(reserved[1])
    return CONTROL_TOKENS.get(part, part)
