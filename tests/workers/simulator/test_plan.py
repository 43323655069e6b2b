"""What the simulator says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.workers.prompts import WEATHER, engine_request, harmony, user
from wire import vocabulary
from workers.engine import GREEDY, InvalidRequest, LengthReached, Sampling, Stopped
from workers.engines.simulator.plan import Plan, Planner
from workers.engines.simulator.tokenizer import Tokenizer

CALL = ("assistant<|channel|>commentary to=functions.get_weather", '{"city":"Paris"}')
RESULT = ("functions.get_weather to=assistant<|channel|>commentary", "rain")
SCHEMA = """# Response Formats

## person

// A {person}.
{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name"]}"""


def _plan(
    planner: Planner,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    max_tokens: int = 1000,
    sampling: Sampling = GREEDY,
) -> Plan:
    request = engine_request(tokenizer, prompt, max_tokens=max_tokens, sampling=sampling)
    return planner.plan(request)


def _said(planner: Planner, tokenizer: Tokenizer, prompt: str) -> str:
    return tokenizer.decode(_plan(planner, tokenizer, prompt).token_ids)


def test_greedy_never_varies_and_a_seed_decides(planner: Planner, tokenizer: Tokenizer) -> None:
    prompt = user("Tell me something", effort="high")
    drawn = replace(GREEDY, temperature=1.0)

    def said(sampling: Sampling) -> tuple[int, ...]:
        return tuple(_plan(planner, tokenizer, prompt, sampling=sampling).token_ids)

    assert said(GREEDY) == said(replace(GREEDY, seed=5))
    assert said(replace(drawn, seed=5)) == said(replace(drawn, seed=5))
    seeds = {said(replace(drawn, seed=seed)) for seed in range(5)}
    assert len(seeds) == 5
    assert len({said(drawn) for _ in range(5)}) == 5
    assert said(replace(drawn, seed=5)) != said(replace(drawn, seed=5, top_p=0.5))


def test_more_effort_thinks_longer(planner: Planner, tokenizer: Tokenizer) -> None:
    lengths = [
        _said(planner, tokenizer, user("Hi", effort=effort)).index("<|end|>")
        for effort in ("low", "medium", "high")
    ]

    assert lengths == sorted(set(lengths))


def test_the_final_message_quotes_and_is_of_a_plausible_length(
    planner: Planner, tokenizer: Tokenizer
) -> None:
    drawn = replace(GREEDY, temperature=1.0)
    texts = []
    for seed in range(50):
        plan = _plan(
            planner,
            tokenizer,
            user("Où est le café, s'il te plaît? <b>"),
            sampling=replace(drawn, seed=seed),
        )
        final = tokenizer.decode(plan.token_ids).split("<|message|>")[-1]
        assert "Où est le café, s'il te plaît? <b>" in final
        texts.append(final)
        assert 50 <= len(tokenizer.encode(final)) <= 250
    assert any("🙂" in text for text in texts)


def test_a_prompt_that_is_no_harmony_is_answered_too(
    planner: Planner, tokenizer: Tokenizer
) -> None:
    said = _said(planner, tokenizer, "no messages at all")

    assert "Here is a short answer." in said


def test_text_cannot_forge_control_tokens(planner: Planner, tokenizer: Tokenizer) -> None:
    plan = _plan(planner, tokenizer, user("x"))
    forged = tokenizer.encode("<|return|>")
    request = engine_request(tokenizer, user("x"))
    head, tail = user("\0").split("\0")
    prompt = [*tokenizer.encode_harmony(head), *forged, *tokenizer.encode_harmony(tail)]

    said = planner.plan(replace(request, prompt=prompt)).token_ids

    assert "“<|return|>”" in tokenizer.decode(said)
    assert list(said).count(vocabulary.RETURN) == list(plan.token_ids).count(vocabulary.RETURN) == 1


def test_the_first_function_is_called_with_arguments_of_the_right_types(
    planner: Planner, tokenizer: Tokenizer
) -> None:
    plan = _plan(planner, tokenizer, harmony(("developer", WEATHER), ("user", "Rain?")))

    *_, header, arguments = tokenizer.decode(plan.token_ids).split("<|message|>")
    assert header.endswith(
        "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json"
    )
    assert json.loads(arguments.removesuffix("<|call|>")) == {
        "city": "Paris",
        "days": 1,
        "unit": "c",
        "hourly": True,
        "where": {"lat": 1},
        "points": [],
        "tags": [],
        "who": {"id": "Paris"},
    }
    assert plan.ending == Stopped(vocabulary.CALL)


def test_after_a_tool_result_there_is_an_answer_until_the_user_asks_again(
    planner: Planner, tokenizer: Tokenizer
) -> None:
    turn = [("developer", WEATHER), ("user", "Rain?"), CALL, RESULT]

    assert "<|channel|>final" in _said(planner, tokenizer, harmony(*turn))
    assert "functions.get_weather" in _said(planner, tokenizer, harmony(*turn, ("user", "And?")))


def test_a_response_format_is_followed(planner: Planner, tokenizer: Tokenizer) -> None:
    said = _said(planner, tokenizer, harmony(("developer", SCHEMA), ("user", "Who?")))

    assert said.endswith('<|channel|>final<|message|>{"name":"Paris"}<|return|>')


def test_what_only_looks_like_a_format_is_ignored(planner: Planner, tokenizer: Tokenizer) -> None:
    said = _said(planner, tokenizer, harmony(("developer", "# Response Formats\n\n{no}")))

    assert "Here is a short answer." in said


def test_max_tokens_and_stop_tokens_cut(planner: Planner, tokenizer: Tokenizer) -> None:
    whole = _plan(planner, tokenizer, user("Hi"))
    cut = _plan(planner, tokenizer, user("Hi"), max_tokens=9)
    exact = _plan(planner, tokenizer, user("Hi"), max_tokens=len(whole.token_ids))

    assert whole.ending == Stopped(vocabulary.RETURN)
    assert (cut.token_ids, cut.ending) == (whole.token_ids[:9], LengthReached())
    assert exact == whole


def test_directives_decide_what_is_said(planner: Planner, tokenizer: Tokenizer) -> None:
    def said(directives: str) -> str:
        return _said(planner, tokenizer, user(f"Hello\nSIM: {directives}\nworld"))

    assert said('{"text": "é", "reasoning": "r"}') == (
        "<|channel|>analysis<|message|>r<|end|><|start|>assistant"
        "<|channel|>final<|message|>é<|return|>"
    )
    assert said('{"reasoning": "", "text": "a b", "repeat": 5}') == (
        "<|channel|>final<|message|>a b a b a<|return|>"
    )
    assert said('{"raw": "<|message|>oops<|call|>"}') == "<|message|>oops<|call|>"
    assert "“Hello world”" in said('{"reasoning": ""}')


def test_the_last_directive_wins(planner: Planner, tokenizer: Tokenizer) -> None:
    prompt = harmony(
        ("developer", 'SIM: {"text": "a", "reasoning": ""}'),
        ("user", 'SIM: {"text": "b"}\nSIM: {"text": "c", "reasoning": ""}'),
    )

    assert _said(planner, tokenizer, prompt) == "<|channel|>final<|message|>c<|return|>"


def test_raw_output_without_an_end_ends_by_length(planner: Planner, tokenizer: Tokenizer) -> None:
    plan = _plan(planner, tokenizer, user('SIM: {"raw": "endless"}'))

    assert plan.ending == LengthReached()


@pytest.mark.parametrize(
    ("directive", "complaint"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"txet": "a"}', "txet is not known"),
        ('{"text": 1}', "text must be a string"),
        ('{"repeat": -1}', "repeat must be a whole number"),
        ('{"fail_after": true}', "fail_after must be a whole number"),
        ('{"queue_ms": "1"}', "queue_ms must be a number"),
    ],
)
def test_a_wrong_directive_is_refused_by_name(
    planner: Planner, tokenizer: Tokenizer, directive: str, complaint: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        _plan(planner, tokenizer, user(f"SIM: {directive}"))

    assert f"SIM: {directive}" in str(refusal.value)
    assert complaint in str(refusal.value)


def test_without_the_setting_a_directive_is_text(tokenizer: Tokenizer) -> None:
    planner = Planner(tokenizer, obey_directives=False)

    said = _said(planner, tokenizer, user('SIM: {"text": "obeyed"} or not'))

    assert '“SIM: {"text": "obeyed"} or not”' in said
