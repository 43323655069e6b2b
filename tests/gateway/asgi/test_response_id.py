"""Ids of responses sort by time, and are UUIDs to whoever reads them."""

from __future__ import annotations

import time
import uuid

from gateway.asgi.response_id import new_response_id


def test_an_id_is_a_uuid_of_version_7_that_tells_when_it_was_made() -> None:
    before_ms = time.time_ns() // 1_000_000
    ids = [uuid.UUID(text := new_response_id()) for _ in range(1000)]
    after_ms = time.time_ns() // 1_000_000

    assert {each.version for each in ids} == {7}
    assert {each.variant for each in ids} == {uuid.RFC_4122}
    assert len(set(ids)) == 1000
    assert str(ids[-1]) == text
    assert all(before_ms <= each.int >> 80 <= after_ms for each in ids)
