"""A token is accepted if and only if it was issued; an id never leaves its place in a Redis key.

`make test-tokens` tries a million of each.
"""

from __future__ import annotations

import os
import random
import re
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.iam import base62
from gateway.iam.api_key import ENTROPY_BYTES, ApiKey, KeyKind, mint, parse
from gateway.iam.ids import is_id
from gateway.iam.project_id import is_project_id
from gateway.iam.secret_hash import Peppers
from gateway.store import keys

TRIES = int(os.environ.get("MUTATED_TOKENS", "20000"))

PEPPERS = Peppers({1: b"o" * 32, 2: b"n" * 32})
DRAW = random.Random(5)
KINDS: tuple[KeyKind, ...] = ("tenant", "admin")
ISSUED = [mint(DRAW.randbytes(ENTROPY_BYTES), DRAW.choice(KINDS)) for _ in range(50)]
TOKENS = {key.token for key in ISSUED}
STORED = {key.kid: (key.kind, PEPPERS.hash(key.secret)) for key in ISSUED}


def accepts(token: str) -> bool:
    """What the directory does, without a store."""
    key = parse(token)
    if key is None or key.kid not in STORED:
        return False
    kind, stored = STORED[key.kid]
    return key.kind == kind and PEPPERS.verify(key.secret, stored)


def mutated(token: str) -> str:
    """Something near a token; now and then with a checksum that is right."""
    if DRAW.random() < 0.5:
        at = DRAW.randrange(len(token))
        character: str = DRAW.choice([*string.printable, "\0", "é", "\udcff", "𝟙", "_"])
        length = DRAW.choice([0, 1, 1, 1, 2])
        return token[:at] + character * DRAW.choice([0, 1, 1, 1, 2]) + token[at + length :]
    key = parse(token)
    assert key is not None
    other = DRAW.choice(ISSUED)
    secrets = [key.secret, other.secret, key.secret.swapcase(), key.secret[::-1]]
    at = DRAW.randrange(32)
    secrets.append(key.secret[:at] + DRAW.choice(base62.ALPHABET) + key.secret[at + 1 :])
    _, stored = STORED[key.kid]
    secrets.append(stored.digest.hex()[:32])
    kid = DRAW.choice([key.kid, other.kid, key.kid[::-1]])
    mutant = ApiKey(kid, DRAW.choice(secrets), DRAW.choice(KINDS))
    return mutant.token


def test_a_mutated_token_is_accepted_if_and_only_if_it_was_issued() -> None:
    tokens = sorted(TOKENS)
    accepted = 0
    for _ in range(TRIES):
        token = mutated(DRAW.choice(tokens))
        assert accepts(token) == (token in TOKENS), token
        accepted += token in TOKENS
    assert 0 < accepted < TRIES / 2


@given(st.sampled_from(sorted(TOKENS)), st.data())
@settings(max_examples=300)
def test_no_edit_of_a_token_is_accepted(token: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(begin, len(token)))
    edited = token[:begin] + data.draw(st.text(max_size=10)) + token[end:]
    assert accepts(edited) == (edited in TOKENS)


def test_an_id_that_becomes_part_of_a_redis_key_is_read_back_from_it() -> None:
    alphabet = base62.ALPHABET + "_-" + "{}:|, \n\0é*?[\\/."
    accepted = 0
    for _ in range(TRIES):
        # Mostly right, so that many get as far as a key.
        text = "".join(DRAW.choices(alphabet, [8] * 64 + [1] * 15, k=DRAW.randrange(6, 14)))
        if is_project_id(text):
            accepted += 1
            for name in (keys.config(text), keys.ended_lease(text, "x"), keys.usage(text, 1)):
                found = re.fullmatch(r"gw:\{([^{}]*)\}:[^{}]*", name)
                assert found is not None
                assert found[1] == text
        for kind, builder in (
            ("application", keys.policies_of_principal),
            ("user", keys.keys_of_principal),
            ("policy", keys.policy),
            ("organisation", keys.projects_of_organisation),
        ):
            wanted = {"application": "app_", "user": "usr_", "policy": "pol_"}.get(kind, "org_")
            if is_id(kind, wanted + text):  # type: ignore[arg-type]
                assert builder(wanted + text).split(":")[2] == wanted + text
    assert TRIES / 10 < accepted < TRIES
