"""The truth of the clients, held against the books: who was charged what, and should have been."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import anyio
from redis.asyncio import Redis

from gateway.store import keys
from gateway.store.books import Books
from gateway.store.usage import LedgerEntry, UsageReader
from tests.chaos.clients import TOKENS_PER_SECOND, Asked
from tests.chaos.gateways import RENEW_S
from tests.stack.demo import Tenant

# Of an answer there is more than its text: the header of its message, and the stop token.
FRAME_TOKENS = 8
# Between two renewals, with the 0.5 s that one may take; and a chunk that was on its way.
ORPHAN_TOKENS = round(TOKENS_PER_SECOND * (RENEW_S + 0.5)) + 16
# A gateway that is killed so soon after an answer may not have settled it yet.
SETTLING_S = 3.0


@dataclass
class Verdict:
    """What a run has shown. Everything in `violations` breaks a promise of docs/billing.md."""

    requests: int = 0
    refused: int = 0
    exact: int = 0  # came to their end on a gateway that lives, and are charged so
    left: int = 0
    orphans: int = 0  # of gateways that were killed
    orphans_free: int = 0
    orphan_tokens_missing: list[int] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        told = asdict(self)
        missing = sorted(told.pop("orphan_tokens_missing"))
        told["orphan_tokens_missing_p50"] = missing[len(missing) // 2] if missing else 0
        told["orphan_tokens_missing_max"] = max(missing, default=0)
        return {**told, "verdicts": dict(self.verdicts), "violations": self.violations[:20]}


def judge(port: int, tenants: Sequence[Tenant], asked: Sequence[Asked]) -> Verdict:
    """Read the books on the Redis at *port*, at a quiet moment."""
    return anyio.run(_judge, port, tenants, asked)


async def _judge(port: int, tenants: Sequence[Tenant], asked: Sequence[Asked]) -> Verdict:
    verdict = Verdict()
    charged: dict[str, list[LedgerEntry]] = defaultdict(list)
    async with Redis(port=port) as redis:
        for tenant in tenants:
            await _check_books(redis, tenant.project_id, verdict)
            reader, after = UsageReader(redis), "0-0"
            while page := await reader.ledger_page(tenant.project_id, after=after, count=1000):
                for entry in page:
                    charged[entry.response_id].append(entry)
                    verdict.verdicts[entry.verdict] += 1
                after = page[-1].entry_id
    for each in asked:
        verdict.requests += 1
        if each.refused:
            verdict.refused += 1
        elif each.response_id is not None:
            _check(each, charged.pop(each.response_id, []), verdict)
    # Admitted, but the answer broke before it could tell its id.
    nameless = sum(each.response_id is None and not each.refused for each in asked)
    if len(charged) > nameless:
        verdict.violations.append(f"{len(charged)} charges, but {nameless} requests without an id")
    return verdict


async def _check_books(redis: Redis, project_id: str, verdict: Verdict) -> None:
    books = await Books(redis).audit(project_id)
    for difference in books.differences:
        verdict.violations.append(f"the books differ: {difference}")
    if books.open_leases or books.reserved_tokens:
        verdict.violations.append(
            f"{project_id} holds {books.open_leases} leases, {books.reserved_tokens} reserved tokens"
        )
    if await redis.zcard(keys.lease_ends(project_id)):
        verdict.violations.append(f"{project_id} has ends of leases that are gone")


def _check(asked: Asked, entries: Sequence[LedgerEntry], verdict: Verdict) -> None:
    requests = sum(entry.requests for entry in entries)
    input_ = sum(entry.usage.input_tokens for entry in entries)
    output = sum(entry.usage.output_tokens for entry in entries)
    told = f"{asked.response_id}: {[(entry.verdict, entry.usage) for entry in entries]}"
    if requests > 1:
        verdict.violations.append(f"charged {requests} times: {told}")
    most = asked.usage["output"] if asked.usage else asked.repeat + FRAME_TOKENS
    if output > most:
        verdict.violations.append(f"overcharged, {output} for {most} tokens: {told}")
    killed_at = asked.gateway.killed_at
    # What was settled before the kill was settled for good, as far as the process goes.
    if killed_at is not None and killed_at < asked.ended_at + SETTLING_S:
        verdict.orphans += 1
        verdict.orphans_free += requests == 0
        missing = max(asked.text_tokens - output, 0)
        verdict.orphan_tokens_missing.append(missing)
        if missing > ORPHAN_TOKENS:
            verdict.violations.append(f"an orphan lacks {missing} tokens: {told}")
    elif asked.usage is not None:
        if (requests, input_, output) == (1, asked.usage["input"], asked.usage["output"]):
            verdict.exact += 1
        else:
            verdict.violations.append(f"should be {asked.usage}: {told}")
    else:
        verdict.left += 1
        if output < asked.text_tokens:
            verdict.violations.append(f"{asked.text_tokens} tokens came, {output} charged: {told}")
