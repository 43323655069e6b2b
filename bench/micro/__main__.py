"""CPU time of the stations that cost by the token: `make bench-micro`.

CPU time of this process, the best of several rounds: what the work costs when
nobody else takes the caches away. Wall clock says little on shared machines.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

from gateway.generation import FinishReason
from gateway.harmony.encoding import Encoding
from gateway.harmony.parser import HarmonyParser
from gateway.harmony.render import encode, render
from gateway.iam.address import read_address
from gateway.iam.api_key import ENTROPY_BYTES, mint, parse
from gateway.iam.conditions import RequestFacts, read_conditions
from gateway.iam.decision import Allowed, Grant, Target, decide
from gateway.iam.policy import Line, Projects
from gateway.iam.secret_hash import Peppers
from gateway.responses.dialect import Dialect
from gateway.responses.output_mapping import OutputMapping
from gateway.responses.prompt import to_conversation
from gateway.responses.request import CreateResponse
from gateway.responses.response import ResponseObject
from gateway.responses.sse import EventEncoder
from gateway.responses.stream import ResponseStream
from gateway.responses.validation import validated
from wire.vocabulary import CHANNEL, END, MESSAGE, RETURN, START, load_ranks

DECISIONS = 2000
TARGET_US = 20.0  # parser, events and SSE together, a token, one token a chunk
RESPONSE_ID = "0192f0c1-7d5e-7000-8000-000000000001"
SENTENCE = "The sky is blue because air scatters short waves more than long ones, naïvely put. "


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.micro", description=__doc__)
    arguments.add_argument("--rounds", type=int, default=9, help="the best of so many counts")
    rounds = arguments.parse_args().rounds

    encoding = Encoding(load_ranks())
    request = validated(CreateResponse, {"model": "gpt-oss-120b", "input": "hi"})
    turn = _turn(encoding, text_tokens=2050)

    print("parser + events + SSE, CPU a token")
    first_us = 0.0
    for chunk_tokens in (1, 4, 16):
        chunks = [turn[at : at + chunk_tokens] for at in range(0, len(turn), chunk_tokens)]
        us = _best(lambda: _stream(request, encoding, chunks), rounds) / len(turn)  # noqa: B023
        first_us = first_us or us
        print(
            f"  {chunk_tokens:>2} tokens a chunk   {us:6.2f} us a token  {us * chunk_tokens:6.2f} us a chunk"
        )
    parser_us = _best(lambda: _parse(encoding, turn), rounds) / len(turn)
    print(f"  the parser alone    {parser_us:6.2f} us a token")

    prompt = validated(
        CreateResponse, {"model": "gpt-oss-120b", "input": _text(encoding, tokens=2050)}
    )
    token_count = len(_render(prompt, encoding))
    us = _best(lambda: _render(prompt, encoding), rounds)
    print(f"render, a prompt of {token_count} tokens")
    print(f"  {us / 1000:.2f} ms, {us / token_count:.2f} us a token")

    print("authentication, CPU a request")
    for name, work in _authentications():
        print(f"  {name:<44} {_best(work, rounds) / DECISIONS:6.2f} us")

    verdict = "within" if first_us < TARGET_US else "OVER"
    print(f"{verdict} the target of {TARGET_US:.0f} us a token ({first_us:.2f})")
    return 0 if first_us < TARGET_US else 1


def _authentications() -> Sequence[tuple[str, Callable[[], object]]]:
    """What a request with a key costs once its record is known."""
    key = mint(bytes(range(ENTROPY_BYTES)))
    peppers = Peppers({1: bytes(32)})
    stored = peppers.hash(key.secret)
    facts = RequestFacts(
        at=1.8e9, address=read_address("10.1.2.3"), user_agent="ci/1", model="gpt-oss-120b"
    )
    scope = Projects(frozenset({"prj_mine"}))
    use = frozenset({"GenerativeApisModelAccess"})
    plain = Line("pol_a", 1, use, scope)
    simple, strict = (
        {"source_cidrs": ["10.0.0.0/8"], "models": ["gpt-oss-120b"]},
        {
            "expires_at": 1_900_000_000,
            "source_cidrs": [f"192.0.{n}.0/24" for n in range(9)] + ["10.0.0.0/8"],
            "models": ["gpt-oss-120b"],
            "user_agent_prefix": "ci/",
            "weekdays": ["mon", "tue", "wed", "thu", "fri"],
            "hours": "00:00-24:00",
            "tz": "Europe/Paris",
        },
    )
    others = [Line(f"pol_{n}", 1, frozenset({"UsageReadOnly"}), scope) for n in range(20)]
    grants = [
        ("decide: one rule", Grant("org_a", [plain])),
        ("decide: 20 rules of other things, and one", Grant("org_a", [*others, plain])),
        (
            "decide: an address and a model",
            Grant("org_a", [Line("pol_a", 1, use, scope, read_conditions(simple))]),
        ),
        (
            "decide: every condition, ten ranges",
            Grant("org_a", [Line("pol_a", 1, use, scope, read_conditions(strict))]),
        ),
    ]
    target = Target("org_a", "prj_mine")

    def deciding(grant: Grant) -> Callable[[], None]:
        assert isinstance(decide(grant, "model:use", target, facts), Allowed)

        def work() -> None:
            for _ in range(DECISIONS):
                decide(grant, "model:use", target, facts)

        return work

    def verifying() -> None:
        for _ in range(DECISIONS):
            parsed = parse(token)
            assert parsed is not None
            peppers.verify(parsed.secret, stored)

    def refusing() -> None:
        for _ in range(DECISIONS):
            parse(junk)

    token = key.token
    junk = token[:-1] + "x"
    return [
        ("a junk key", refusing),
        ("read a key and verify its secret", verifying),
        *((name, deciding(grant)) for name, grant in grants),
    ]


def _best(work: Callable[[], object], rounds: int) -> float:
    """CPU microseconds of the fastest of *rounds* runs of *work*."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times) * 1e6


def _text(encoding: Encoding, *, tokens: int) -> str:
    sentence = len(encoding.encode_text(SENTENCE))
    return SENTENCE * (tokens // sentence)


def _turn(encoding: Encoding, *, text_tokens: int) -> list[int]:
    """Reasoning and an answer, half the tokens each."""
    text = encoding.encode_text(_text(encoding, tokens=text_tokens // 2))
    header = encoding.encode_text
    return [
        *(CHANNEL, *header("analysis"), MESSAGE, *text, END),
        *(START, *header("assistant"), CHANNEL, *header("final"), MESSAGE, *text, RETURN),
    ]


def _stream(request: CreateResponse, encoding: Encoding, chunks: Sequence[Sequence[int]]) -> int:
    """Bytes sent for *chunks*."""
    stream = ResponseStream(
        ResponseObject(request, response_id=RESPONSE_ID, created_at=0, model=request.model),
        OutputMapping.of(request),
        HarmonyParser(encoding.token_bytes),
        input_tokens=100,
    )
    sse = EventEncoder(RESPONSE_ID, request.model, Dialect())
    size = sum(len(sse.encode(event)) for event in stream.start())
    for chunk in chunks:
        for event in stream.receive_tokens(chunk):
            size += len(sse.encode(event))
    for event in stream.finish(FinishReason.STOP, at=0):
        size += len(sse.encode(event))
    return size


def _parse(encoding: Encoding, token_ids: Sequence[int]) -> None:
    parser = HarmonyParser(encoding.token_bytes)
    for token_id in token_ids:
        parser.receive((token_id,))


def _render(request: CreateResponse, encoding: Encoding) -> Sequence[int]:
    return encode(render(to_conversation(request, "2026-11-22", str)), encoding.encode_text)


if __name__ == "__main__":
    raise SystemExit(main())
