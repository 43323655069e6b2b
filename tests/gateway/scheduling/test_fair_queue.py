"""Who is next: the project that has been served least."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gateway.quota.service_tier import ServiceTier
from gateway.scheduling import fair_queue
from gateway.scheduling.fair_queue import FairQueue, Flow, Ticket


def flow(name: str, tier: ServiceTier = ServiceTier.DEFAULT) -> Flow:
    return Flow(name, tier)


def push(queue: FairQueue, name: str, *, cost: int = 100, count: int = 1) -> list[Ticket]:
    tickets = [Ticket(flow(name), cost) for _ in range(count)]
    for ticket in tickets:
        queue.push(ticket)
    return tickets


def order(queue: FairQueue, count: int) -> str:
    names = []
    for _ in range(count):
        ticket = queue.pop()
        assert ticket is not None
        names.append(ticket.flow.project_id)
    return "".join(names)


def test_within_a_project_who_came_first_is_first() -> None:
    queue = FairQueue()
    first, second = push(queue, "a", count=2)
    assert (queue.pop(), queue.pop(), queue.pop()) == (first, second, None)


def test_projects_take_turns_however_many_requests_one_has() -> None:
    queue = FairQueue()
    push(queue, "a", count=6)
    push(queue, "b", count=2)
    push(queue, "c", count=2)
    assert order(queue, 10) == "abcabcaaaa"


def test_turns_are_counted_in_work_and_not_in_requests() -> None:
    queue = FairQueue()
    push(queue, "a", cost=300, count=2)
    push(queue, "b", cost=100, count=6)
    assert order(queue, 8) == "abbbabbb"


def test_what_was_served_elsewhere_counts() -> None:
    queue = FairQueue()
    queue.learned(flow("a"), 1000)
    queue.learned(flow("b"), 800)
    push(queue, "a", count=2)
    push(queue, "b", count=4)
    assert order(queue, 6) == "bbabab"


def test_what_is_expected_becomes_what_was() -> None:
    queue = FairQueue()
    [long], [short] = push(queue, "a", cost=100), push(queue, "b", cost=100)
    assert order(queue, 2) == "ab"
    queue.end(long, 500)
    queue.end(short, 20)
    push(queue, "a", count=2)
    push(queue, "b", count=5)
    assert order(queue, 7) == "bbbbbaa"


def test_idleness_earns_no_credit() -> None:
    queue = FairQueue()
    queue.learned(flow("a"), 5000)
    assert queue.floor(flow("b")) == 0, "nobody has been served, nobody waits"

    push(queue, "a", count=2)
    assert queue.floor(flow("b")) == 5000
    assert queue.floor(flow("a")) == 0, "it waits already"

    queue.pop()
    queue.pop()
    assert queue.floor(flow("b")) == 5000, "nobody waits: level with who was served last"


def test_who_is_lifted_does_not_stay_behind_what_others_were_only_expected_to_take() -> None:
    queue = FairQueue()
    first, *_ = push(queue, "a", cost=10_000, count=2)
    queue.learned(flow("a"), 5000)
    queue.pop()
    queue.learned(flow("b"), queue.floor(flow("b")))
    push(queue, "b", cost=10_000)
    queue.end(first, 10)
    assert order(queue, 2) == "ba"


def test_the_longest_line_loses_its_last_for_a_newcomer_and_nobody_for_itself() -> None:
    queue = FairQueue()
    *_, last = push(queue, "crowd", count=5)
    push(queue, "b", count=2)
    assert queue.displaced_by(flow("new")) is last
    assert queue.displaced_by(flow("b")) is last
    assert queue.displaced_by(flow("crowd")) is None


def test_lines_are_as_long_as_their_tier_allows() -> None:
    queue = FairQueue()
    push(queue, "a", count=5)
    cheap = Ticket(flow("f", ServiceTier.FLEX), 1)
    for _ in range(2):
        cheap = Ticket(flow("f", ServiceTier.FLEX), 1)
        queue.push(cheap)
    assert queue.displaced_by(flow("a")) is cheap
    assert queue.waiting_by_tier() == {
        ServiceTier.PRIORITY: 0,
        ServiceTier.DEFAULT: 5,
        ServiceTier.FLEX: 2,
    }


def test_a_ticket_may_leave_or_be_served_out_of_turn() -> None:
    queue = FairQueue()
    first, second, third = push(queue, "a", count=3)
    queue.remove(second)
    queue.serve(third)
    assert len(queue) == queue.waiting(flow("a")) == 1
    assert queue.pop() is first
    assert len(queue) == queue.waiting(flow("a")) == 0


def test_idle_projects_are_forgotten_and_busy_ones_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fair_queue, "IDLE_FLOWS_KEPT", 3)
    queue = FairQueue()
    push(queue, "busy")
    for name in "abcdefgh":
        queue.learned(flow(name), 7)
    assert len(queue._flows) <= 4
    assert flow("busy") in queue._flows
    assert order(queue, 1) == "busy"


def test_over_time_each_gets_its_share_whatever_its_requests_look_like() -> None:
    """200 places' worth of work, four in service at once; costs are known only at the end."""
    draw = random.Random(4)
    sizes = {"short": 50, "long": 2000, "mixed": 500}
    queue, served = FairQueue(), Counter[str]()
    running: list[Ticket] = []
    for name in sizes:
        push(queue, name, cost=500, count=20)
    for _ in range(5000):
        while len(running) < 4:
            ticket = queue.pop()
            assert ticket is not None
            running.append(ticket)
            push(queue, ticket.flow.project_id, cost=500)
        ended = running.pop(draw.randrange(4))
        name = ended.flow.project_id
        cost = round(sizes[name] * draw.uniform(0.5, 1.5))
        queue.end(ended, cost)
        served[name] += cost
    assert min(served.values()) > 0.98 * max(served.values())
