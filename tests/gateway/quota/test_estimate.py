"""How much of the output is reserved of the rates."""

from __future__ import annotations

from gateway.quota import estimate
from gateway.quota.estimate import UsualOutput


def test_of_a_project_that_nobody_knows_a_usual_answer_is_reserved() -> None:
    usual = UsualOutput()
    assert usual.estimate("prj_a", 8192) == 1024
    assert usual.estimate("prj_a", 500) == 500


def test_nearly_all_answers_of_a_project_fit_what_is_reserved_for_the_next() -> None:
    usual = UsualOutput()
    for output_tokens in range(1000, 0, -1):
        usual.learn("prj_a", output_tokens * 100)
    # Of its last 64 answers, 100 to 6,400 tokens long.
    assert usual.estimate("prj_a", 100_000) == 6100
    assert usual.estimate("prj_a", 2000) == 2000
    assert usual.estimate("prj_b", 100_000) == 1024


def test_short_answers_reserve_little_but_not_nothing() -> None:
    usual = UsualOutput()
    usual.learn("prj_a", 3)
    assert usual.estimate("prj_a", 100_000) == 256


def test_projects_that_have_been_quiet_for_longest_are_forgotten() -> None:
    usual = UsualOutput()
    for n in range(estimate.REMEMBERED_PROJECTS + 10):
        usual.learn(f"prj_{n}", 5000)
    assert usual.estimate("prj_0", 100_000) == 1024
    assert usual.estimate("prj_10", 100_000) == 5000
