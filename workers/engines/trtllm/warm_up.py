"""What a new engine generates for nobody, so that the first tenant does not wait for it.

The first generation loads kernels; the first constrained one builds the executor's
vocabulary for grammars, the first that was resumed another one (2 s, in which no stream
moves): none of that may happen while there are streams. An engine that cannot generate
at all is not ready, and says so here.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from wire import vocabulary
from workers.engine import (
    GREEDY,
    Ending,
    EngineFailed,
    EngineRequest,
    InvalidRequest,
    OutputConstraint,
    Sink,
    TokenLogprob,
)

_log = logging.getLogger(__name__)

_FINAL = 17196  # the word's one token
_PLAIN = EngineRequest(
    request_id="warm-up",
    prompt=[vocabulary.START, vocabulary.ASSISTANT],
    max_tokens=8,
    sampling=GREEDY,
    # Whatever the model makes of such a prompt is fine.
    stop_token_ids=frozenset({vocabulary.RETURN, vocabulary.CALL, vocabulary.ENDOFTEXT}),
    cache_salt="warm-up",
)
_BEGUN = [vocabulary.CHANNEL, _FINAL, vocabulary.MESSAGE]
_CONSTRAINED = replace(
    _PLAIN,
    constraint=OutputConstraint(
        functions=(), call_required=False, final_schema_json='{"type": "boolean"}'
    ),
)
_RESUMED = replace(_CONSTRAINED, prompt=[*_PLAIN.prompt, *_BEGUN], generated_tokens=len(_BEGUN))


class _Generates(Protocol):
    async def generate(self, request: EngineRequest, sink: Sink) -> Ending: ...


class _Nobody:
    """A Sink."""

    def started(self, cached_tokens: int) -> None:
        pass

    def tokens(self, token_ids: Sequence[int], logprobs: Sequence[TokenLogprob] = ()) -> None:
        pass

    def silence(self) -> None:
        pass


async def warm_up(engine: _Generates) -> None:
    """Raises EngineFailed and InvalidRequest if the engine cannot generate."""
    await engine.generate(_PLAIN, _Nobody())
    await engine.generate(_CONSTRAINED, _Nobody())
    try:
        await engine.generate(_RESUMED, _Nobody())
    except (EngineFailed, InvalidRequest) as exc:
        # Others can still do that, and nearly all requests need it never.
        _log.error("constrained turns of other workers cannot be gone on with: %s", exc)
