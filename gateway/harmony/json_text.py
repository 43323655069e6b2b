"""JSON values as the text a model reads: compact, and in the letters they were written in."""

from __future__ import annotations

import json


def compact_json(value: object) -> str:
    """*value*, any JSON value, without blanks. Nested too deep to be printed, it is `{}`."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    except RecursionError:
        # About a thousand levels, which nobody means: no model can follow, and
        # no grammar compiler takes it.
        return "{}"
