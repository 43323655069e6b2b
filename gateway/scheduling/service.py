"""What a response costs the workers, in one number: its virtual time. Pure.

VTC (Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024): a scheduler that
serves whoever has been served least, in weighted tokens, is fair to within a batch. An input
token is a quarter of an output token's work, one that is found in a prefix cache a twentieth.

Whole numbers, so that Redis adds them exactly: 80 for an output token of a default request.
"""

from __future__ import annotations

from gateway.quota.service_tier import ServiceTier
from gateway.quota.usage import Usage

OUTPUT_TOKEN = 20
INPUT_TOKEN = 5
CACHED_TOKEN = 1
_LARGEST_SHARE = max(tier.share for tier in ServiceTier)


def virtual_time(tier: ServiceTier, usage: Usage) -> int:
    """By so much *usage* moves its project's clock of *tier* on."""
    work = (
        INPUT_TOKEN * (usage.input_tokens - usage.cached_tokens)
        + CACHED_TOKEN * usage.cached_tokens
        + OUTPUT_TOKEN * usage.output_tokens
    )
    return work * (_LARGEST_SHARE // tier.share)
