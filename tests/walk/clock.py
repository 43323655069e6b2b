"""Scripts that ask two keys for the time instead of Redis."""

from __future__ import annotations

from gateway.store.connection import Store
from gateway.store.ledger import RedisLedger
from gateway.store.scripts import read_script


def with_settable_clock(name: str) -> str:
    """The source of a script; it reads `test:seconds` and `test:us`."""
    source = read_script(name)
    assert source.count("redis.call('TIME')") <= 1, f"{name}.lua asks for the time more than once"
    return source.replace("redis.call('TIME')", "redis.call('MGET', 'test:seconds', 'test:us')")


def ledger_with_settable_clock(store: Store, lease_ms: int) -> RedisLedger:
    ledger = RedisLedger(store, lease_ms=lease_ms)
    ledger._scripts = {
        name: store.register_script(with_settable_clock(name)) for name in ledger._scripts
    }
    return ledger
