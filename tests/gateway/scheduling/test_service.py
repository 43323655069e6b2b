"""What a response costs the workers."""

from __future__ import annotations

import pytest

from gateway.quota.service_tier import ServiceTier, acceptable_tiers
from gateway.quota.usage import Usage
from gateway.scheduling.service import virtual_time


@pytest.mark.parametrize(
    ("usage", "output_tokens"),
    [
        (Usage(0, 0, 100, 90), 100),
        (Usage(400, 0, 0, 0), 100),
        (Usage(2000, 2000, 0, 0), 100),
        (Usage(1000, 200, 40, 0), 250),
    ],
)
def test_input_is_a_quarter_of_output_and_what_is_cached_a_twentieth(
    usage: Usage, output_tokens: int
) -> None:
    assert virtual_time(ServiceTier.DEFAULT, usage) == virtual_time(
        ServiceTier.DEFAULT, Usage(0, 0, output_tokens, 0)
    )


def test_a_tier_gets_four_times_what_the_next_one_does() -> None:
    priority, default, flex = (virtual_time(tier, Usage(8, 4, 7, 0)) for tier in ServiceTier)
    assert (default, flex) == (4 * priority, 16 * priority)


def test_who_may_not_have_priority_is_served_as_usual_and_auto_takes_what_there_is() -> None:
    assert acceptable_tiers("priority") == (ServiceTier.PRIORITY, ServiceTier.DEFAULT)
    assert acceptable_tiers("flex") == (ServiceTier.FLEX,)
    assert acceptable_tiers("auto") == acceptable_tiers(None) == acceptable_tiers("scale")
    assert acceptable_tiers(None)[0] is ServiceTier.DEFAULT
