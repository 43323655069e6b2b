"""What must not bring the engine down, and what must."""

from __future__ import annotations

import asyncio
import time

from workers.engines.trtllm.checks.bench import Bench, Check, Failed, Outcome, Passed
from workers.engines.trtllm.llm_api import executor_is_dead

_PATIENCE_S = 30.0


async def _abort(bench: Bench) -> Outcome:
    room = bench.configuration.context_tokens - len(bench.prompt()) - 1
    output = bench.submit(bench.request(max_tokens=min(2000, room)), ignore_eos=True)
    aborted_at = None
    async for report in output:
        if aborted_at is None and len(report.outputs[0].token_ids) >= 3:
            report.abort()
            aborted_at = time.monotonic()
    if aborted_at is None:
        return Failed("it ended before it could be aborted")
    took_ms = (time.monotonic() - aborted_at) * 1000
    found = f"{output.outputs[0].finish_reason} after {took_ms:.0f} ms"
    fast = took_ms <= bench.abort_s * 1000
    return (
        Passed(found) if fast and output.outputs[0].finish_reason == "cancelled" else Failed(found)
    )


async def _too_long(bench: Bench) -> Outcome:
    prompt = [1] * (bench.configuration.context_tokens + 10)
    return await _harmless(bench, lambda: bench.run(bench.request(prompt)))


async def _bad_grammar(bench: Bench) -> Outcome:
    assert bench.library is not None
    guide = bench.library.GuidedDecodingParams(grammar="%llguidance {}\nstart: (\n")
    return await _harmless(bench, lambda: bench.run(bench.request(), guided_decoding=guide))


async def _harmless(bench: Bench, attempt: object) -> Outcome:
    """Whether *attempt* is refused, and the next generation is not."""
    assert bench.library is not None
    assert callable(attempt)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await attempt()
    except (ValueError, bench.library.RequestError) as exc:
        found = f"refused: {type(exc).__name__}"
    except TimeoutError:
        found = f"no answer in {_PATIENCE_S:.0f} s"
    else:
        return Failed("it was not refused")
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await bench.run(bench.request(max_tokens=4))
    except (RuntimeError, TimeoutError) as exc:
        return Failed(f"{found}; then the engine was dead: {type(exc).__name__} {exc}")
    return Passed(found) if found.startswith("refused") else Failed(found)


async def _shutdown(bench: Bench) -> Outcome:
    await asyncio.to_thread(bench.llm.shutdown)
    if not executor_is_dead(bench.llm):
        return Failed("the executor says that it lives")
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await bench.run(bench.request(max_tokens=4))
    except RuntimeError as exc:
        return Passed(f"RuntimeError: {exc}")
    except TimeoutError:
        return Failed("a generation waits forever")
    return Failed("it still generates")


CHECKS = (
    Check(
        "abort",
        "abort() ends a generation as `cancelled` within 250 ms.",
        "Those who left cost GPU time a little longer; if it is never `cancelled`, do not serve.",
        _abort,
    ),
    Check(
        "too-long-prompt",
        "A prompt beyond max_seq_len is refused, and harms no other generation.",
        "The worker refuses those itself; whatever else gets through would end the engine.",
        _too_long,
    ),
    Check(
        "bad-grammar",
        "A grammar that does not compile fails its own generation alone.",
        "The worker compiles every grammar first, with the same llguidance: keep the versions the "
        "same.",
        _bad_grammar,
    ),
    Check(
        "shutdown",
        "After shutdown() the executor says that it is dead, and generate_async raises "
        "RuntimeError.",
        "A dead engine is only noticed when it hangs: set WORKER_TRTLLM_HANG_S low.",
        _shutdown,
    ),
)
