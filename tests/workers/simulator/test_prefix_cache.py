"""Blocks of 32 tokens, chained and salted."""

from __future__ import annotations

from workers.engines.simulator.prefix_cache import PrefixCache

PROMPT = list(range(1000, 1100))  # 3 whole blocks and a bit


def test_only_what_was_seen_is_cached_in_whole_blocks() -> None:
    cache = PrefixCache(100)

    assert cache.reuse(PROMPT, "a") == 0
    assert cache.reuse(PROMPT, "a") == 96
    assert cache.reuse(PROMPT[:70] + [1] * 30, "a") == 64
    assert cache.reuse([1] + PROMPT[1:], "a") == 0
    assert cache.reuse(PROMPT[:31], "a") == 0


def test_salts_share_nothing() -> None:
    cache = PrefixCache(100)
    cache.reuse(PROMPT, "a")

    assert cache.reuse(PROMPT, "b") == 0


def test_the_last_token_is_never_cached() -> None:
    cache = PrefixCache(100)
    cache.reuse(PROMPT[:64], "a")

    assert cache.reuse(PROMPT[:64], "a") == 32


def test_the_least_recently_used_blocks_go_first_and_ends_before_beginnings() -> None:
    cache = PrefixCache(3)
    cache.reuse(PROMPT, "a")
    cache.reuse(PROMPT[:33], "b")

    assert cache.reuse(PROMPT, "a") == 64
