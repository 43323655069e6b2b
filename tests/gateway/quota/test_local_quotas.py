"""What one gateway admits while Redis is away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.quota.limits import NO_LIMITS, Limits
from gateway.quota.local_quotas import Admitted, LocalQuotas, Remaining
from gateway.quota.reservation import Refused

NOTHING_KNOWN = Remaining()


class Project:
    """One that asks for requests of 100 and 50 tokens, at a time of its own."""

    def __init__(
        self,
        limits: Limits,
        *,
        key: Limits = NO_LIMITS,
        remaining: Remaining = NOTHING_KNOWN,
        gateways: int = 1,
        share: float = 1.0,
        hard_budgets_allowed: bool = True,
    ) -> None:
        self.quotas = LocalQuotas(share=share, hard_budgets_allowed=hard_budgets_allowed)
        self.limits, self.key, self.remaining, self.gateways = limits, key, remaining, gateways
        self.now = 1000.0
        self.number = 0

    def ask(
        self, *, max_output_tokens: int = 1000, clampable: bool = False
    ) -> Admitted | Refused | None:
        self.number += 1
        return self.quotas.admit(
            str(self.number),
            (
                ("project", "p", self.limits, self.remaining),
                ("key", "p k", self.key, NOTHING_KNOWN),
            ),
            input_tokens=100,
            output_tokens=50,
            max_output_tokens=max_output_tokens,
            clampable=clampable,
            now=self.now,
            gateways=self.gateways,
        )

    def end(self, number: int, used_tokens: int) -> None:
        self.quotas.ended(str(number), used_tokens)

    def admitted(self) -> int:
        """How many are, at once."""
        count = 0
        while isinstance(self.ask(), Admitted):
            count += 1
            assert count < 10_000
        return count


def test_without_limits_everything_is_admitted() -> None:
    assert Project(NO_LIMITS).ask() == Admitted(1000, cut_by_budget=False)


def test_rates_are_held_to_this_gateways_part() -> None:
    assert Project(Limits(requests_per_minute=240)).admitted() == 60  # a quarter of a minute's
    assert Project(Limits(requests_per_minute=240), gateways=3).admitted() == 20
    assert Project(Limits(requests_per_minute=240), gateways=3, share=0.5).admitted() == 10
    assert Project(NO_LIMITS, key=Limits(requests_per_minute=240), gateways=3).admitted() == 20


def test_what_is_refused_passes_when_it_was_told_to_come_back() -> None:
    project = Project(Limits(tokens_per_minute=6000), gateways=2)
    while not isinstance(refused := project.ask(), Refused):
        pass
    assert refused.quota == "tokens_per_minute"
    project.now += refused.retry_after_ms / 1000 + 0.001
    assert isinstance(project.ask(), Admitted)


def test_a_request_larger_than_a_minutes_limit_never_passes() -> None:
    refused = Project(Limits(input_tokens_per_minute=99)).ask()
    assert isinstance(refused, Refused)
    assert refused.too_large


def test_concurrent_requests_are_shared_and_one_is_always_admitted() -> None:
    project = Project(Limits(concurrent_requests=6), gateways=3)
    assert project.admitted() == 2
    project.end(1, 150)
    assert project.admitted() == 1
    assert Project(Limits(concurrent_requests=2), gateways=5).admitted() == 1


def test_shadow_limits_refuse_nothing() -> None:
    assert isinstance(Project(Limits(requests_per_minute=1, rate_mode="shadow")).ask(), Admitted)


def test_soft_budgets_are_open() -> None:
    limits = Limits(daily_tokens=1, daily_mode="soft", monthly_tokens=1, monthly_mode="shadow")
    assert isinstance(Project(limits).ask(), Admitted)


def test_of_a_hard_budget_an_allowance_is_given() -> None:
    limits = Limits(monthly_tokens=1_000_000)
    # 5 % of it are 50,000 tokens, in requests of 1,100 at worst.
    assert Project(limits, remaining=Remaining(None, 1_000_000)).admitted() == 45
    # Of what was left, with its peers a quarter: 100,000 / 3 / 4.
    assert Project(limits, remaining=Remaining(None, 100_000), gateways=3).admitted() == 7
    assert Project(limits, remaining=Remaining(None, 0)).ask() is None
    assert Project(limits, remaining=NOTHING_KNOWN).ask() is None
    closed = Project(limits, remaining=Remaining(None, 1_000_000), hard_budgets_allowed=False)
    assert closed.ask() is None


def test_what_an_answer_has_not_used_is_given_again() -> None:
    project = Project(Limits(daily_tokens=100_000), remaining=Remaining(100_000, None))
    assert project.admitted() == 4  # 5,000 tokens
    project.end(1, 150)
    assert project.admitted() == 1
    project.end(1, 150)  # again: nothing is given twice
    assert project.admitted() == 0


def test_what_redis_has_counted_is_not_held_against_the_allowance_again() -> None:
    project = Project(Limits(daily_tokens=100_000), remaining=Remaining(100_000, None))
    assert project.admitted() == 4
    project.end(1, 1100)
    project.end(2, 1100)
    assert project.admitted() == 0
    project.quotas.counted("p")  # the two that have ended are in what is left now
    assert project.admitted() == 2


def test_an_answer_is_cut_to_the_allowance_if_nobody_said_how_long_it_may_be() -> None:
    project = Project(Limits(daily_tokens=10_000), remaining=Remaining(10_000, None))
    assert project.ask(clampable=True) == Admitted(400, cut_by_budget=True)
    assert project.ask(clampable=True) is None


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(1, 2000), st.booleans()), max_size=60),
    budget=st.integers(1, 200_000),
    left=st.integers(0, 200_000),
    gateways=st.integers(1, 5),
)
def test_the_allowance_is_never_exceeded(
    steps: list[tuple[bool, int, bool]], budget: int, left: int, gateways: int
) -> None:
    project = Project(
        Limits(daily_tokens=budget), remaining=Remaining(left, None), gateways=gateways
    )
    granted: dict[int, int] = {}
    used = 0
    for ends, output, clampable in steps:
        if ends and granted:
            number, most = granted.popitem()
            tokens = 100 + min(most, output)
            used += tokens
            project.end(number, tokens)
            continue
        answer = project.ask(max_output_tokens=output, clampable=clampable)
        if isinstance(answer, Admitted):
            granted[project.number] = answer.max_output_tokens
        worst = used + sum(100 + most for most in granted.values())
        assert worst <= min(budget * 0.05, left / gateways / 4)


def test_when_redis_is_back_it_begins_anew() -> None:
    project = Project(Limits(requests_per_minute=240))
    project.admitted()
    project.quotas.reset()
    assert project.admitted() == 60
    project.end(1, 150)  # of before: forgotten
