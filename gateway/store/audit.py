"""The audit log: who changed what. Each entry carries the hash of the one before it.

Whoever can write Redis can still rewrite the log from some entry on; but nobody can
change or remove one without changing the hash of all that follow, and each hash is
also in the log that the gateways print.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.errors import StoreUnavailable, store_errors
from gateway.store.replies import fields, text
from gateway.store.scripts import read_script

# Others write at the same time; this many times in a row they do not.
ATTEMPTS = 20
PAGE = 500
FIRST_HASH = "0" * 64


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, and from where."""

    kid: str  # of the admin key; or what stands for one: `Administrator.kid`
    principal_id: str
    ip: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """What was done, in words of OpenAI's audit log where it has them: `api_key.created`."""

    type: str
    target: str  # an id
    organisation_id: str
    project_id: str | None = None
    before: Mapping[str, object] | None = None  # never a secret
    after: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    entry_id: str
    effective_at: int  # Unix time, s, by Redis's clock
    actor: Actor
    change: Change
    hash: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What walking the whole chain has found."""

    entries: int
    last_hash: str
    broken_at: str | None  # id of the first entry that does not follow from the one before


class AuditLog:
    """Every method raises StoreUnavailable."""

    def __init__(
        self, redis: Redis, *, on_appended: Callable[[AuditEntry], None] = lambda entry: None
    ) -> None:
        """*on_appended* is told of each entry once it is written, for another log."""
        self._redis = redis
        self._on_appended = on_appended
        self._append = redis.register_script(read_script("append_audit"))

    async def append(self, actor: Actor, change: Change) -> AuditEntry:
        """Write down a change that is about to be made; without this it must not be."""
        for _ in range(ATTEMPTS):
            last_id, last_hash = await self._last()
            with store_errors():
                seconds, _ = await self._redis.time()
            body = _canonical(int(seconds), actor, change)
            digest = _chained(last_hash, body)
            with store_errors():
                reply = await self._append(keys=[keys.AUDIT], args=[last_id, body, digest])
            if text(reply[0]) == "appended":
                entry = AuditEntry(text(reply[1]), int(seconds), actor, change, digest)
                self._on_appended(entry)
                return entry
        raise StoreUnavailable("the audit log is written by too many at once")

    async def page(
        self, wanted: Callable[[AuditEntry], bool], *, before: str | None = None, count: int = 20
    ) -> list[AuditEntry]:
        """The newest entries that are *wanted*, or those older than entry *before*."""
        found: list[AuditEntry] = []
        end = "+" if before is None else f"({before}"
        while len(found) < count:
            with store_errors():
                reply: Any = await self._redis.xrevrange(keys.AUDIT, max=end, count=PAGE)
            entries = [_entry(text(entry_id), fields(entry)) for entry_id, entry in reply]
            found += filter(wanted, entries)
            if len(entries) < PAGE:
                break
            end = f"({entries[-1].entry_id}"
        return found[:count]

    async def verify(self) -> Verification:
        """Walk the chain from its beginning."""
        after, last_hash, count = "-", FIRST_HASH, 0
        while True:
            with store_errors():
                reply: Any = await self._redis.xrange(keys.AUDIT, min=after, count=PAGE)
            for entry_id, stored in reply:
                entry = fields(stored)
                if _chained(last_hash, entry["e"]) != entry["h"]:
                    return Verification(count, last_hash, text(entry_id))
                last_hash, count = entry["h"], count + 1
            if len(reply) < PAGE:
                return Verification(count, last_hash, None)
            after = f"({text(reply[-1][0])}"

    async def _last(self) -> tuple[str, str]:
        with store_errors():
            reply: Any = await self._redis.xrevrange(keys.AUDIT, count=1)
        if not reply:
            return "", FIRST_HASH
        entry_id, entry = reply[0]
        return text(entry_id), fields(entry)["h"]


def _canonical(effective_at: int, actor: Actor, change: Change) -> str:
    entry = {"at": effective_at, "actor": asdict(actor), "change": asdict(change)}
    return json.dumps(entry, sort_keys=True, separators=(",", ":"))


def _chained(last_hash: str, body: str) -> str:
    return hashlib.sha256(f"{last_hash}\n{body}".encode()).hexdigest()


def _entry(entry_id: str, stored: Mapping[str, str]) -> AuditEntry:
    body = json.loads(stored["e"])
    return AuditEntry(
        entry_id, body["at"], Actor(**body["actor"]), Change(**body["change"]), stored["h"]
    )
