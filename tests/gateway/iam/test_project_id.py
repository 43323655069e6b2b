"""Which ids a project can have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.iam.project_id import ENTROPY_BYTES, is_project_id, mint_project_id


@given(st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES))
def test_a_minted_id_is_a_project_id(entropy: bytes) -> None:
    assert is_project_id(mint_project_id(entropy))
    assert len(mint_project_id(entropy)) == len("prj_") + 22


@pytest.mark.parametrize(
    "text", ["prj_anne", "6170692e-7363-616c-6577-61792e636f6d", "a" * 8, "Z" * 64]
)
def test_ids_of_ours_and_uuids_are_project_ids(text: str) -> None:
    assert is_project_id(text)


@pytest.mark.parametrize(
    "text", ["", "short", "a" * 65, "prj_an}ne", "prj_a:nne", "prj_anne\n", "prj_änne", "prj anne"]
)
def test_what_could_leave_its_hash_tag_is_no_project_id(text: str) -> None:
    assert not is_project_id(text)
