"""The grammar of a turn, as text: what is in it, and what can never get into it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.schemas import REFUSED, constrained
from workers.engine import Function, InvalidRequest, OutputConstraint
from workers.grammar import turn_grammar

_OBJECT = '{"type": "object"}'
_COMPACT = '%json {"type": "object", "x-guidance": {"whitespace_flexible": false}}'
_JSON_MARK = '(" "? <|constrain|> "json" | " json")?'
_BODY = "<|message|> arguments0 <|call|>"

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def test_a_turn_thinks_first_then_calls_or_answers() -> None:
    grammar = turn_grammar(constrained(_OBJECT, now=""))

    assert grammar.splitlines() == [
        "%llguidance {}",
        "start: ( ( analysis | preamble ) again ){0,8} ( call0 | final )",
        'analysis: <|channel|> "analysis" <|message|> TEXT <|end|>',
        'again: <|start|> "assistant"',
        "TEXT: /(.|\\n)*/",
        'preamble: <|channel|> "commentary" <|message|> TEXT <|end|>',
        f"arguments0: {_COMPACT}",
        f'call0: <|channel|> "commentary to=functions.now" (" "? <|constrain|> "json")? {_BODY}',
        f' | " to=functions.now" <|channel|> "commentary" {_JSON_MARK} {_BODY}',
        f"final_body: {_COMPACT}",
        'final: <|channel|> "final" <|message|> final_body',
    ]


def test_a_required_call_leaves_no_final_message() -> None:
    grammar = turn_grammar(constrained(_OBJECT, call_required=True, now=""))

    assert "final" not in grammar


def test_without_a_final_schema_the_answer_is_free_text() -> None:
    assert "final_body: TEXT" in turn_grammar(constrained())


def test_a_tenant_cannot_set_options_of_the_compiler() -> None:
    grammar = turn_grammar(constrained({"x-guidance": {"lenient": True}}))

    assert "lenient" not in grammar


@given(name=st.text(), arguments=st.dictionaries(st.text(), _JSON), final=_JSON)
def test_names_and_schemas_add_no_rule(name: str, arguments: object, final: object) -> None:
    def beginnings(grammar: str) -> list[str]:
        assert grammar.isascii()
        return [line.split(":", 1)[0][:20] for line in grammar.splitlines()]

    plain = constrained(_OBJECT, f=_OBJECT)
    hostile = OutputConstraint(
        functions=(Function(name, json.dumps(arguments)),),
        call_required=False,
        final_schema_json=json.dumps({"const": final}),
    )
    # The last 20 characters that a rule's beginning is told by hold no name.
    rules = [each for each in beginnings(turn_grammar(hostile)) if not each.startswith(" |")]

    assert rules == [each for each in beginnings(turn_grammar(plain)) if not each.startswith(" |")]


@pytest.mark.parametrize("name", ["no JSON", "no number", "no object", "deep text"])
def test_what_is_no_json_object_is_refused_by_its_field(name: str) -> None:
    schema, why = REFUSED[name]
    for constraint, field in (
        (constrained(schema), "constraint.final_schema_json: "),
        (constrained(f="", g=schema), "constraint.functions[1].parameters_json (g): "),
    ):
        with pytest.raises(InvalidRequest) as refusal:
            turn_grammar(constraint)

        assert str(refusal.value).startswith(field)
        assert why in str(refusal.value)
