"""Hypothesis strategies for JSON schemas."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PLAIN = st.text("abc äß漢-_", max_size=8)  # what JSON does not escape
NAMES = st.text("abcXYZ_01", min_size=1, max_size=6)

_COMMENTS: dict[str, st.SearchStrategy[Any]] = {
    "title": TEXT,
    "description": TEXT,
    "examples": st.lists(TEXT, min_size=1, max_size=3),
    "default": PLAIN | st.integers(-9, 9) | st.booleans() | st.none() | st.lists(st.integers(0, 9)),
    "nullable": st.booleans(),
}


def _commented(schemas: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    comments = st.fixed_dictionaries({}, optional=_COMMENTS)
    return st.builds(lambda comment, schema: {**comment, **schema}, comments, schemas)


_SCALARS = _commented(
    st.sampled_from(["string", "number", "integer", "boolean"]).map(lambda name: {"type": name})
    | st.sampled_from([["string", "null"], ["integer", "string"], ["boolean"]]).map(
        lambda names: {"type": names}
    )
)
_ENUMS = st.lists(PLAIN, min_size=1, max_size=3).map(lambda v: {"type": "string", "enum": v})


def _nested(children: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    arrays = st.fixed_dictionaries({"type": st.just("array")}, optional={"items": children})
    unions = st.lists(children, min_size=1, max_size=3).map(lambda v: {"oneOf": v})
    return _commented(arrays | _objects(children) | unions)


def _objects(children: st.SearchStrategy[Json], *, min_size: int = 0) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {
            "type": st.just("object"),
            "properties": st.dictionaries(NAMES, children, min_size=min_size, max_size=4),
        },
        optional={"required": st.lists(NAMES, max_size=3), "description": TEXT},
    )


_ANY_TYPED = st.recursive(_SCALARS | _ENUMS, _nested, max_leaves=12)

# Parameters that openai-harmony prints in full.
TYPED_PARAMETERS = _objects(_ANY_TYPED, min_size=1)

_KEYWORDS = st.sampled_from(
    ["type", "properties", "required", "items", "enum", "const", "$ref", "allOf", "anyOf"]
    + ["oneOf", "$defs", "description", "title", "default", "examples", "nullable", "a", "b"]
)
_WORDS = st.sampled_from(
    ["#", "#/$defs/a", "#/properties/b", "#/allOf/0", "#/%", "a", "object", "array", "null"]
)

# Any JSON, as far as it may be mistaken for a schema.
ANY_PARAMETERS = st.dictionaries(
    _KEYWORDS,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | _WORDS | TEXT,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYWORDS, inner, max_size=6),
        max_leaves=40,
    ),
)
