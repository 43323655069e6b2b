"""More to do than the worker can: who waits, who goes first, who is refused, and what they are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from threading import Thread
from typing import Any

import httpx
import pytest

from tests.stack.demo import Tenant
from tests.stack.product import FAST_SIMULATOR, Product, running_product
from tests.system.http import complete, create, simulate, streamed
from tests.system.waiting import wait_until

_PLACES = 2
_PER_PROJECT = 3
# Until it is left: nobody waits for its end.
_ENDLESS = {"reasoning": "", "repeat": 100_000, "tokens_per_second": 50}


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running_product(
        tmp_path_factory.mktemp("busy"),
        worker_env={**FAST_SIMULATOR, "WORKER_MAX_RUNNING": str(_PLACES)},
        gateway_env={
            "GATEWAY_QUEUE_PER_PROJECT": str(_PER_PROJECT),
            "GATEWAY_QUEUE_TIMEOUT_S": "9",
        },
    ) as product:
        yield product


@pytest.fixture
def product(busy: Product) -> Product:
    """With nothing to do, whatever the last test left."""
    wait_until(lambda: busy.metric("gw_slots_in_use") == 0, "all places were free")
    wait_until(lambda: _waiting(busy) == 0, "nobody waited")
    return busy


def _waiting(product: Product) -> int:
    return round(
        sum(
            product.metric("gw_queued_requests", tier=tier)
            for tier in ("priority", "default", "flex")
        )
    )


class Stream:
    """A response that takes one place until it is closed."""

    def __init__(self, product: Product, tenant: Tenant, **fields: Any) -> None:
        self._open = ExitStack()
        # Kept, or it would be closed when nobody refers to it any more.
        self._events = self._open.enter_context(
            streamed(product.url, tenant, input=simulate(**_ENDLESS), **fields)
        )
        for event in self._events:
            if event["type"] == "response.output_text.delta":
                break

    def close(self) -> None:
        self._open.close()


class Asking:
    """A request in a thread of its own, for it has to wait."""

    def __init__(self, product: Product, tenant: Tenant, **fields: Any) -> None:
        self.answer: httpx.Response | None = None
        waiting = _waiting(product)

        def ask() -> None:
            self.answer = create(
                product.url, tenant, input=simulate(reasoning="", text="Here I am."), **fields
            )

        self._thread = Thread(target=ask)
        self._thread.start()
        wait_until(lambda: _waiting(product) == waiting + 1, "it waited")

    def join(self) -> httpx.Response:
        self._thread.join()
        assert self.answer is not None
        return self.answer


@pytest.fixture
def crowd(product: Product) -> Iterator[Tenant]:
    """A project that has taken all places, until the test takes them away."""
    tenant = product.new_project()
    streams = [Stream(product, tenant) for _ in range(_PLACES)]
    yield tenant
    for each in streams:
        each.close()


def _lines(product: Product, tenant: Tenant, count: int = 1) -> list[dict[str, Any]]:
    """What the gateway's log has of the project's requests, once it has *count* of them.

    A line is written behind the answer: who has the answer may look too early.
    """

    def written() -> list[dict[str, Any]]:
        return [
            line
            for line in product.log_lines()
            if line["msg"] == "request" and line.get("project") == tenant.project_id
            if line["route"] in ("responses", "chat")
        ]

    wait_until(lambda: len(written()) >= count, f"{count} lines were written")
    return written()


def test_who_finds_no_place_waits_for_one_and_is_served_whole(product: Product) -> None:
    crowd, guest = product.new_project(), product.new_project()
    streams = [Stream(product, crowd) for _ in range(_PLACES)]
    asking = Asking(product, guest)
    assert product.metric("gw_slots_in_use") == product.metric("gw_slots") == _PLACES
    assert product.worker_metric("worker_queued_requests") == 0, "nobody waits at the worker"
    for each in streams:
        each.close()
    answer = asking.join()
    assert answer.status_code == 200, answer.text
    assert answer.json()["output_text"] == "Here I am."
    [line] = _lines(product, guest)
    assert line["queue_ms"] > 0
    assert line["tier"] == "default"


def test_the_crowd_of_one_project_is_passed_by_another_ones_request(product: Product) -> None:
    crowd, guest = product.new_project(), product.new_project()
    streams = [Stream(product, crowd) for _ in range(_PLACES)]
    waiting = [Asking(product, crowd) for _ in range(_PER_PROJECT)]
    asking = Asking(product, guest)
    streams[0].close()
    assert asking.join().status_code == 200
    streams[1].close()
    assert {each.join().status_code for each in waiting} == {200}
    [last] = _lines(product, guest)
    first = min(line["ts"] for line in _lines(product, crowd) if line["stream"] is False)
    assert last["ts"] < first, "it came last and was served first"


def test_a_full_line_is_told_when_to_come_back_and_costs_nothing(
    product: Product, crowd: Tenant
) -> None:
    waiting = [Asking(product, crowd) for _ in range(_PER_PROJECT)]
    before = product.metric("gw_queue_refusals_total", tier="default", reason="project_full")
    for answer in (create(product.url, crowd), complete(product.url, crowd)):
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "engine_overloaded"
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert 1 <= int(answer.headers["retry-after"]) <= 15
    after = product.metric("gw_queue_refusals_total", tier="default", reason="project_full")
    assert after == before + 2

    other = product.new_project()
    asking = Asking(product, other)  # whose line is not full
    refused = _lines(product, crowd)[-1]
    assert refused.get("input_tokens") is None, "refused before its prompt was rendered"
    for each in [*waiting, asking]:
        # Nobody gives up a place here: all of them are refused in the end.
        assert each.join().json()["error"]["code"] == "engine_overloaded"
    assert product.usage(other.project_id).get("input_tokens", 0) == 0


def test_priority_must_be_allowed_and_the_answer_says_as_what_it_was_served(
    product: Product,
) -> None:
    usual, urgent = product.new_project(), _with_tiers(product, "priority", "default")
    asked = {"input": simulate(text="Hi."), "service_tier": "priority"}
    assert create(product.url, usual, **asked).json()["service_tier"] == "default"
    assert create(product.url, urgent, **asked).json()["service_tier"] == "priority"
    flex = create(product.url, usual, input=simulate(text="Hi."), service_tier="flex")
    assert flex.json()["service_tier"] == "flex"
    forbidden = create(product.url, urgent, input=simulate(text="Hi."), service_tier="flex")
    assert (forbidden.status_code, forbidden.json()["error"]["code"]) == (403, "tier_forbidden")
    with streamed(product.url, urgent, **asked) as events:
        assert {event["response"]["service_tier"] for event in events if "response" in event} == {
            "priority"
        }
    chat = complete(product.url, usual, service_tier="flex")
    assert chat.json()["service_tier"] == "flex"


def test_a_client_that_leaves_the_queue_leaves_nothing_behind(
    product: Product, crowd: Tenant
) -> None:
    guest = product.new_project()
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{product.url}/v1/responses",
            headers={"authorization": f"Bearer {guest.key}"},
            json={"model": "gpt-oss-120b", "input": "Hello"},
            timeout=0.5,
        )
    wait_until(lambda: _waiting(product) == 0, "it had left")
    [line] = _lines(product, guest)
    assert (line["status"], line["outcome"]) == (499, "client_cancel")
    assert product.usage(guest.project_id).get("input_tokens", 0) == 0


def _with_tiers(product: Product, *tiers: str) -> Tenant:
    """A project with a key whose policy names these tiers."""
    project = product.new_project()
    application = product.admin("POST", "/admin/v1/applications", json={"name": "urgent"})["id"]
    rule = {
        "permission_sets": ["GenerativeApisModelAccess"],
        "project_ids": [project.project_id],
        "conditions": {"tiers": list(tiers)},
    }
    policy = {"name": "urgent", "principal_ids": [application], "rules": [rule]}
    product.admin("POST", "/admin/v1/policies", json=policy)
    path = f"/v1/organization/projects/{project.project_id}/api_keys"
    key = product.admin("POST", path, json={"name": "urgent", "principal_id": application})
    return Tenant(project.project_id, key["value"])
