"""Which project a request is for, and which ids a project can have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.iam.policy import Forbidden, Principal, choose_project
from gateway.iam.project_id import ENTROPY_BYTES, is_project_id, mint_project_id

ANNE = Principal("kid", "prj_anne", frozenset({"prj_anne", "prj_shared"}))


def test_a_request_is_for_the_project_in_its_path_or_the_keys_own() -> None:
    assert choose_project(ANNE, None) == "prj_anne"
    assert choose_project(ANNE, "prj_shared") == "prj_shared"


def test_no_such_project_and_not_yours_are_the_same_answer() -> None:
    somebody_elses, nobodys = "prj_bert", "prj_none"
    assert choose_project(ANNE, somebody_elses) == choose_project(ANNE, nobodys) == Forbidden()
    assert choose_project(ANNE, "") == Forbidden()


def test_a_key_whose_own_project_is_gone_may_use_nothing() -> None:
    orphan = Principal("kid", "prj_gone", frozenset())
    assert choose_project(orphan, None) == Forbidden()


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
