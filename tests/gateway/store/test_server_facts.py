"""What Redis says of itself."""

from __future__ import annotations

from redis.asyncio import Redis

from gateway.store.server_facts import ServerFacts, read_facts, server_facts


async def test_a_real_server_tells_its_memory(redis: Redis) -> None:
    facts = await server_facts(redis)
    assert facts.used_memory_bytes > 100_000
    assert (facts.evicted_keys, facts.connected_replicas) == (0, 0)


def test_a_cluster_is_the_sum_of_its_primaries() -> None:
    one = {"used_memory": 10, "maxmemory": 100, "evicted_keys": 1, "connected_slaves": 2}
    other = {"used_memory": 20, "maxmemory": 100, "evicted_keys": 0, "connected_slaves": 1}
    assert read_facts([one, other]) == ServerFacts(30, 200, 1, 1)
    # One without a limit: the whole has none.
    assert read_facts([one, {**other, "maxmemory": 0}]).max_memory_bytes == 0
    assert read_facts([{}]) == ServerFacts()
