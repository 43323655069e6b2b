"""What a turn may hold -> one Lark grammar over all of it. Pure.

The grammar begins after `<|start|>assistant`, where prompts end. It is written for
llguidance, whose dialect names control tokens (`<|end|>`) and takes JSON schemas
(`%json {...}`). Text never holds a control token.

- `<|return|>` is not in the grammar: llguidance adds the end of sequence itself, and
  one that is named can never be consumed. `<|call|>` is, for it is none.
- The final channel takes no `<|constrain|>json`: openai-harmony 0.0.8 reads that as a
  recipient. Calls take every spelling that it reads as a call.
- JSON is compact, and messages before the last are counted: a model that is not
  allowed what it wants would otherwise write blanks, or thoughts, until its tokens
  are used up.

Names and schemas come from tenants. Both are written as JSON on one line, in ASCII,
which ends where it ends: whatever is in them, they add no rule.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from workers.engine import InvalidRequest, OutputConstraint

_MESSAGES_BEFORE_THE_LAST = 8
_COMPACT = {"whitespace_flexible": False}
_HEAD = "%llguidance {}"


@dataclass(frozen=True, slots=True)
class Schema:
    """One schema of a constraint."""

    field: str  # where it is from, for whoever has to mend it
    header: str  # what the model writes before it, control tokens spelled
    source: str  # of the grammar that it becomes


def read_schemas(constraint: OutputConstraint) -> list[Schema]:
    """The schemas of *constraint*, in the order of the functions; the final one last.

    Raises:
        InvalidRequest: one of them is not a JSON object.
    """
    schemas = []
    for index, function in enumerate(constraint.functions):
        field = f"constraint.functions[{index}].parameters_json ({function.name})"
        header = f"<|channel|>commentary to=functions.{function.name}<|message|>"
        text = function.parameters_json or '{"type": "object"}'
        schemas.append(Schema(field, header, _json_rule(text, field)))
    if constraint.final_schema_json and not constraint.call_required:
        field, header = "constraint.final_schema_json", "<|channel|>final<|message|>"
        schemas.append(Schema(field, header, _json_rule(constraint.final_schema_json, field)))
    return schemas


def turn_grammar(constraint: OutputConstraint) -> str:
    """The grammar of the whole turn. Raises InvalidRequest: a schema is not a JSON object."""
    schemas = read_schemas(constraint)
    calls = schemas[: len(constraint.functions)]
    rules = []
    last = []
    for index, (function, schema) in enumerate(zip(constraint.functions, calls, strict=True)):
        rules += _call(index, function.name, schema.source)
        last.append(f"call{index}")
    if not constraint.call_required:
        free = len(schemas) == len(calls)
        rules.append(f"final_body: {'TEXT' if free else schemas[-1].source}")
        rules.append('final: <|channel|> "final" <|message|> final_body')
        last.append("final")
    return "\n".join([_HEAD, *_turn(last, preambles=bool(calls)), *rules, ""])


def schema_grammar(schema: Schema) -> str:
    """The grammar of one schema alone."""
    return f"{_HEAD}\nstart: {schema.source}\n"


def _turn(last: Sequence[str], *, preambles: bool) -> list[str]:
    before = ["analysis", "preamble"] if preambles else ["analysis"]
    start = f"( ( {' | '.join(before)} ) again ){{0,{_MESSAGES_BEFORE_THE_LAST}}}"
    rules = [
        f"start: {start} ( {' | '.join(last)} )",
        'analysis: <|channel|> "analysis" <|message|> TEXT <|end|>',
        'again: <|start|> "assistant"',
        "TEXT: /(.|\\n)*/",
    ]
    if preambles:
        rules.append('preamble: <|channel|> "commentary" <|message|> TEXT <|end|>')
    return rules


def _call(index: int, name: str, arguments: str) -> list[str]:
    """One function: its recipient after the channel, as the model card has it, or before."""
    before, after = (
        json.dumps(f" to=functions.{name}"),
        json.dumps(f"commentary to=functions.{name}"),
    )
    body = f"<|message|> arguments{index} <|call|>"
    return [
        f"arguments{index}: {arguments}",
        f'call{index}: <|channel|> {after} (" "? <|constrain|> "json")? {body}',
        f' | {before} <|channel|> "commentary" (" "? <|constrain|> "json" | " json")? {body}',
    ]


def _json_rule(text: str, field: str) -> str:
    try:
        schema = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"{field}: not JSON: {exc}") from exc
    if not isinstance(schema, dict):
        raise InvalidRequest(f"{field}: must be a JSON object")
    # Also in place of options that a tenant wrote there.
    return "%json " + json.dumps({**schema, "x-guidance": _COMPACT})


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
