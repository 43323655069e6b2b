"""Whatever happens to a worker, no client notices: real Tritons, killed, frozen and drained."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Semaphore
from typing import Any

import jsonschema
import pytest

from gateway.upstream.failures import Reason
from gateway.upstream.sharing import SHARE_FROM
from tests.stack.demo import Tenant
from tests.stack.fleet import FleetWorker
from tests.stack.product import FAST_SIMULATOR, Product, running_product
from tests.system.http import Event, create, simulate, streamed
from tests.system.waiting import wait_until

_PACE = {"tokens_per_second": 60}
# At so many tokens a second, a few seconds of text.
_TOKENS = 240


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running_product(
        tmp_path_factory.mktemp("fleet"),
        workers=3,
        worker_env={**FAST_SIMULATOR, "WORKER_DRAIN_MS": "500"},
        # A stub that is killed is known by its silence.
        gateway_env={"GATEWAY_IDLE_TIMEOUT_S": "2"},
    ) as product:
        yield product


@pytest.fixture
def whole_fleet(fleet: Product) -> Product:
    """All workers up, whatever the last test did to them."""
    for worker in fleet.workers:
        wait_until(
            partial(_is_up, fleet, worker),
            f"{worker.address} was up",
        )
    return fleet


def _is_up(product: Product, worker: FleetWorker) -> bool:
    return product.metric("gw_worker_up", worker=worker.address) == 1


def _serving(product: Product, prompt_events: Iterator[Event]) -> FleetWorker:
    """The worker that generates the only stream there is."""
    for event in prompt_events:
        if event["type"] == "response.output_text.delta":
            break
    busy = [
        worker
        for worker in product.workers
        if product.metric("gw_worker_inflight", worker=worker.address) == 1
    ]
    (worker,) = busy
    return worker


def _check(product: Product, tenant: Tenant, events: list[Event], text: str) -> None:
    """One whole response: every event in its place, every token billed once."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.completed", events[-1]
    response = events[-1]["response"]
    assert {event["response"]["id"] for event in events if "response" in event} == {response["id"]}
    said = "".join(
        event["delta"] for event in events if event["type"] == "response.output_text.delta"
    )
    assert said == response["output"][-1]["content"][0]["text"] == text
    billed = response["usage"]
    wait_until(
        lambda: (
            product.usage(tenant.project_id).get("output_tokens") == billed["output_tokens"]
            and product.usage(tenant.project_id).get("input_tokens") == billed["input_tokens"]
        ),
        "exactly that was charged",
    )


@pytest.fixture(scope="module")
def long_text(fleet: Product) -> tuple[dict[str, Any], str, dict[str, int]]:
    """A request, and what is answered when nothing happens: text and usage."""
    request = {"input": simulate(repeat=_TOKENS, **_PACE), "temperature": 0}
    answer = create(fleet.url, fleet.new_project(), **request).json()
    return request, answer["output"][-1]["content"][0]["text"], answer["usage"]


def _strike(worker: FleetWorker, fate: str) -> None:
    match fate:
        case "killed":
            worker.kill()
        case "stub killed":
            worker.kill_stub()
        case "frozen":
            worker.freeze()
        case "drained":
            worker.drain()


@pytest.mark.parametrize("fate", ["killed", "stub killed", "frozen", "drained"])
def test_a_stream_goes_on_whatever_happens_to_its_worker(
    whole_fleet: Product, long_text: tuple[dict[str, Any], str, dict[str, int]], fate: str
) -> None:
    request, text, usage = long_text
    tenant = whole_fleet.new_project()
    taken_over = whole_fleet.metric("gw_worker_takeovers_total", when="mid_stream")

    with streamed(whole_fleet.url, tenant, **request) as stream:
        events = []

        def noted() -> Iterator[Event]:
            for event in stream:
                events.append(event)
                yield event

        worker = _serving(whole_fleet, noted())
        try:
            _strike(worker, fate)
            events += stream
        finally:
            if fate == "frozen":
                worker.thaw()
            else:
                worker.stop()
                worker.start()

    _check(whole_fleet, tenant, events, text)
    # As if nothing had happened, to the token.
    assert events[-1]["response"]["usage"]["output_tokens"] == usage["output_tokens"]
    assert events[-1]["response"]["usage"]["input_tokens"] == usage["input_tokens"]
    assert whole_fleet.metric("gw_worker_takeovers_total", when="mid_stream") == taken_over + 1


@pytest.mark.parametrize("fate", ["killed", "stub killed", "drained"])
def test_so_do_many_that_share_a_stream(
    whole_fleet: Product, long_text: tuple[dict[str, Any], str, dict[str, int]], fate: str
) -> None:
    request, text, usage = long_text
    tenant = whole_fleet.new_project()
    count = 16 * len(whole_fleet.workers)
    begun = Semaphore(0)

    def ask(number: int) -> list[Event]:
        events = []
        # Each has another home.
        with streamed(whole_fleet.url, tenant, **request, prompt_cache_key=str(number)) as stream:
            for event in stream:
                events.append(event)
                if event["type"] == "response.content_part.added":
                    begun.release()
        return events

    worker = whole_fleet.workers[0]
    with ThreadPoolExecutor(count) as clients:
        answers = [clients.submit(ask, number) for number in range(count)]
        for _ in range(count):
            assert begun.acquire(timeout=20)
        assert whole_fleet.metric("gw_worker_inflight", worker=worker.address) >= SHARE_FROM
        try:
            _strike(worker, fate)
            told = [answer.result() for answer in answers]
        finally:
            worker.stop()
            worker.start()

    for events in told:
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["type"] == "response.completed", events[-1]
        assert events[-1]["response"]["output"][-1]["content"][0]["text"] == text
    wait_until(
        lambda: (
            whole_fleet.usage(tenant.project_id).get("output_tokens")
            == count * usage["output_tokens"]
        ),
        "exactly that was charged",
    )


def test_structured_output_holds_over_the_death_of_a_worker(whole_fleet: Product) -> None:
    schema = {
        "type": "object",
        "properties": {
            "names": {
                "type": "array",
                "items": {"type": "string", "minLength": 3, "maxLength": 12},
                "minItems": 25,
                "maxItems": 25,
            },
            "total": {"type": "integer", "minimum": 40, "maximum": 60},
        },
        "required": ["names", "total"],
        "additionalProperties": False,
    }
    tenant = whole_fleet.new_project()
    # Drawn without a seed: the next worker would have written something else.
    raw = '<|channel|>final<|message|>{"names":["'
    with streamed(
        whole_fleet.url,
        tenant,
        input=simulate(raw=raw, die_after=40, tokens_per_second=60),
        temperature=1,
        text={"format": {"type": "json_schema", "name": "list", "schema": schema, "strict": True}},
    ) as stream:
        events = list(stream)

    assert events[-1]["type"] == "response.completed", events[-1]
    text = events[-1]["response"]["output"][-1]["content"][0]["text"]
    jsonschema.validate(json.loads(text), schema)
    _check(whole_fleet, tenant, events, text)
    dead = [worker for worker in whole_fleet.workers if not _has_stub(worker)]
    assert len(dead) == 1
    for worker in dead:
        worker.stop()
        worker.start()


def _has_stub(worker: FleetWorker) -> bool:
    try:
        worker.stub_pid()
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    "raw",
    [
        "<|channel|>final<|message|>Fine.<|channel|>oops<|message|>and more",
        "<|message|>no channel at all",
        "<|channel|>commentary to=functions.unknown<|message|>{<|call|>",
        "<|start|><|start|><|channel|><|message|>",
    ],
)
def test_malformed_output_ends_well_and_is_billed_as_what_it_was(
    whole_fleet: Product, raw: str
) -> None:
    tenant = whole_fleet.new_project()
    failures = sum(
        whole_fleet.metric("gw_worker_takeovers_total", when=when)
        for when in ("mid_stream", "before_first_token")
    )
    with streamed(whole_fleet.url, tenant, input=simulate(raw=raw)) as stream:
        events = list(stream)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    # What ends without a stop token has, for all we know, run out of tokens.
    assert events[-1]["type"] in ("response.completed", "response.incomplete"), events[-1]
    billed = events[-1]["response"]["usage"]["output_tokens"]
    assert billed > 0
    wait_until(
        lambda: whole_fleet.usage(tenant.project_id).get("output_tokens") == billed,
        "exactly that was charged",
    )
    assert failures == sum(
        whole_fleet.metric("gw_worker_takeovers_total", when=when)
        for when in ("mid_stream", "before_first_token")
    ), "no worker is to blame for what the model writes"


def test_a_slow_worker_is_left_to_what_it_can_do_and_cuts_nobody_off(whole_fleet: Product) -> None:
    slow = whole_fleet.workers[0]
    slow.stop()
    slow.start(WORKER_SIMULATOR_FIRST_TOKEN_MS="500", WORKER_SIMULATOR_TOKENS_PER_SECOND="10")
    wait_until(partial(_is_up, whole_fleet, slow), f"{slow.address} was up")
    tenant = whole_fleet.new_project()
    failures = partial(_failures, whole_fleet, slow)
    failed_before = failures()

    def ask(number: int) -> tuple[str, str]:
        # Each has another home, and asks for as much as fills a batch with a few.
        text = f"Answer {number}, of twenty words or so: " + "word " * 15
        asked = simulate(reasoning="", text=text)
        answer = create(whole_fleet.url, tenant, input=asked, max_output_tokens=20_000)
        assert answer.status_code == 200, answer.text
        return text, answer.json()["output_text"]

    try:
        with ThreadPoolExecutor(16) as clients:
            answers = list(clients.map(ask, range(160)))
    finally:
        slow.stop()
        slow.start()

    assert [said for _, said in answers] == [text for text, _ in answers]

    def served_by() -> Counter[str]:
        return Counter(
            line["worker"]
            for line in whole_fleet.log_lines()
            if line["msg"] == "request" and line.get("project") == tenant.project_id
            if line["route"] == "responses"
        )

    # A line is written behind its answer.
    wait_until(lambda: sum(served_by().values()) == 160, "each had its line in the log")
    served = served_by()
    assert 0 < served[slow.address] < 160 / 4, served
    assert failures() == failed_before, "slow is not dead"


def _failures(product: Product, worker: FleetWorker) -> dict[str, float]:
    """By reason, since the gateway began."""
    name, address = "gw_worker_failures_total", worker.address
    return {
        reason.value: product.metric(name, worker=address, reason=reason.value) for reason in Reason
    }
