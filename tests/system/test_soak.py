"""A short soak through the product, and what a long one would notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.soak.__main__ import soak
from tests.soak.verdict import Bill, Quiet, Usage, leaks
from tests.stack.product import Product

BILL = Bill({"output_tokens": 5}, {"output_tokens": 5})
QUIET = Quiet(
    at_s=100,
    processes={"gateway": Usage(150, 12, 40)},
    tasks=25,
    streams=0,
    leases=0,
    shm_regions=3,
)


@pytest.mark.timeout(180)  # most of a minute of load
def test_nothing_is_left_of_a_minute_of_mixed_load(product: Product) -> None:
    found = soak(product, seconds=45, clients=12)
    # Caches still fill in the first minute: memory is for `make soak`.
    assert [each for each in found if "memory" not in each] == []


@pytest.mark.parametrize(
    ("grown", "said"),
    [
        (lambda q: replace(q, processes={"gateway": Usage(170, 12, 40)}), "memory grew from 150"),
        (lambda q: replace(q, processes={"gateway": Usage(150, 15, 40)}), "threads grew from 12"),
        (lambda q: replace(q, processes={"gateway": Usage(150, 12, 57)}), "open files grew"),
        (lambda q: replace(q, tasks=28), "tasks grew from 25 to 28"),
        (lambda q: replace(q, streams=1), "1 streams were left"),
        (lambda q: replace(q, leases=2), "2 leases were left"),
        (lambda q: replace(q, shm_regions=4), "regions in /dev/shm grew from 3 to 4"),
    ],
)
def test_whatever_grows_or_is_left_is_told(grown: Callable[[Quiet], Quiet], said: str) -> None:
    [sentence] = leaks([QUIET, grown(QUIET)], BILL)
    assert said in sentence


def test_a_little_more_memory_and_a_few_connections_are_no_leak() -> None:
    more = replace(QUIET, processes={"gateway": Usage(160, 13, 50)}, tasks=26)
    assert leaks([QUIET, more], BILL) == []


def test_a_token_that_is_not_charged_is_told() -> None:
    [sentence] = leaks([QUIET, QUIET], Bill({"output_tokens": 5}, {"output_tokens": 4}))
    assert sentence.startswith("clients heard of")
