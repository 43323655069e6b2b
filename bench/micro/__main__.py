"""CPU time of the stations that cost by the token: `make bench-micro`.

CPU time of this process, the best of several rounds: what the work costs when nobody else
takes the caches away; and how many turns of a loop of ordinary Python that is, which must
stay within a budget (budgets.py). CI fails otherwise.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import orjson
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from tritonclient.grpc.service_pb2 import ModelStreamInferResponse

from bench.command import at_least_one, run_command
from bench.micro.budgets import BUDGETS, baseline, over_budget
from gateway.generation import FinishReason, Generation, Sampling
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
from gateway.responses.json_body import parse_json_object
from gateway.responses.output_mapping import OutputMapping
from gateway.responses.prompt import to_conversation
from gateway.responses.request import CreateResponse
from gateway.responses.response import ResponseObject
from gateway.responses.sse import EventEncoder
from gateway.responses.stream import ResponseStream
from gateway.responses.validation import validated
from gateway.telemetry.metrics import Metrics
from gateway.upstream.codec import ChunkReader
from tests.observability.crowd import full_registry, one_request
from wire.v1 import generation_pb2 as wire
from wire.vocabulary import CHANNEL, END, MESSAGE, RETURN, START, load_ranks

DECISIONS = 2000
REPEATS = 200
BASELINE_TURNS = 3000
RESPONSE_ID = "0192f0c1-7d5e-7000-8000-000000000001"
SENTENCE = "The sky is blue because air scatters short waves more than long ones, naïvely put. "


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m bench.micro", description=__doc__)
    arguments.add_argument(
        "--rounds", type=at_least_one, default=15, help="the best of so many counts"
    )
    rounds = arguments.parse_args().rounds

    encoding = Encoding(load_ranks())
    turns: dict[str, float] = {}
    print(f"{'CPU, the best of ' + str(rounds) + ' rounds':<46}{'us':>9}{'turns':>9}{'budget':>9}")
    for station in _stations(encoding):
        us, turn_us = _best(station, rounds)
        turns[station.name] = us / turn_us
        budget = BUDGETS.get(station.name, float("nan"))
        print(f"{station.name:<46}{us:>9.2f}{us / turn_us:>9.3g}{budget:>9.3g}")
    found = over_budget(turns)
    for sentence in found:
        print(f"OVER {sentence}")
    if not found:
        print("within the budgets")
    return 1 if found else 0


@dataclass(frozen=True, slots=True)
class Station:
    """Something to measure."""

    name: str
    work: Callable[[], object]
    times: int  # that *work* does it


def _stations(encoding: Encoding) -> Iterator[Station]:
    request = validated(CreateResponse, {"model": "gpt-oss-120b", "input": "hi"})
    turn = _turn(encoding, text_tokens=2050)
    for tokens in (1, 4, 16):
        chunks = [turn[at : at + tokens] for at in range(0, len(turn), tokens)]
        yield Station(
            f"parser, events, SSE: a chunk of {tokens}",
            partial(_stream, request, encoding, chunks),
            len(chunks),
        )
    yield Station("the parser alone: a token", partial(_parse, encoding, turn), len(turn))
    messages = [turn[at : at + 4] for at in range(0, len(turn), 4)]
    responses = _responses(messages)
    yield Station("a worker's message of 4 tokens, read", partial(_read, responses), len(responses))
    body = orjson.dumps(
        {
            "model": "gpt-oss-120b",
            "input": [{"role": "user", "content": _text(encoding, tokens=200)}],
            "stream": True,
            "metadata": {"a": "b"},
        }
    )
    yield Station("a request of 200 tokens, validated", partial(_validate, body), REPEATS)
    prompt = validated(
        CreateResponse, {"model": "gpt-oss-120b", "input": _text(encoding, tokens=2050)}
    )
    token_count = len(_render(prompt, encoding))
    yield Station("a prompt's token, rendered", partial(_render, prompt, encoding), token_count)
    for name, work in _authentications():
        yield Station(name, work, DECISIONS)
    yield Station("a request, watched", _watched(), REPEATS)
    # In one piece, on the event loop: at most 40 ms. Of each of its series:
    registry = full_registry(projects=200)
    series = sum(len(list(family.samples)) for family in registry.collect())
    yield Station("a series of a scrape", partial(generate_latest, registry), series)


def _watched() -> Callable[[], object]:
    """All that metrics and the log's fields of a request cost; it is not traced."""
    metrics = Metrics(CollectorRegistry(), model="gpt-oss-120b")
    draw = random.Random(7)

    def watch() -> None:
        for _ in range(REPEATS):
            one_request(metrics, "prj_a", draw, None)

    return watch


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


def _best(station: Station, rounds: int) -> tuple[float, float]:
    """CPU microseconds of the station and of a turn of the loop: of each the fastest of *rounds*
    runs, in turns, so that what slows the machine down slows both."""
    station_s, loop_s = [], []
    for _ in range(rounds):
        began = time.process_time()
        baseline(BASELINE_TURNS)
        between = time.process_time()
        station.work()
        station_s.append(time.process_time() - between)
        loop_s.append(between - began)
    return min(station_s) / station.times * 1e6, min(loop_s) / BASELINE_TURNS * 1e6


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


def _responses(chunks: Sequence[Sequence[int]]) -> Sequence[ModelStreamInferResponse]:
    """As Triton would send them."""
    responses = []
    for seq, token_ids in enumerate(chunks):
        chunk = wire.GenerateChunk(seq=seq, token_ids=token_ids)
        if seq == 0:
            chunk.started.SetInParent()
        message = chunk.SerializeToString()
        response = ModelStreamInferResponse()
        response.infer_response.raw_output_contents.append(
            len(message).to_bytes(4, "little") + message
        )
        responses.append(response)
    return responses


def _read(responses: Sequence[ModelStreamInferResponse]) -> None:
    reader = ChunkReader(
        "worker", Generation(RESPONSE_ID, [1], 100_000, Sampling(), (), "", deadline_unix_ms=0)
    )
    for response in responses:
        reader.receive(response)


def _validate(body: bytes) -> None:
    for _ in range(REPEATS):
        validated(CreateResponse, parse_json_object(body))


def _render(request: CreateResponse, encoding: Encoding) -> Sequence[int]:
    return encode(render(to_conversation(request, "2026-11-22", str)), encoding.encode_text)


if __name__ == "__main__":
    run_command(main)
