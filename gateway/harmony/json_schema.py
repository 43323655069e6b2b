"""Look at a JSON schema, one node at a time.

A tenant's schema is any JSON at all: keywords of the wrong type count as
absent, and nothing here raises. A node is read together with what `$ref` and
`allOf` add to it, which is decided when the node is reached, so a schema that
refers to itself is no special case; nobody ever holds it expanded.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote

# Below this, everything is `any`: a bound for the stack, and for the indentation.
MAX_DEPTH = 16
# How many schemas `$ref` and `allOf` may put together into one node.
MAX_LAYERS = 16
# So many of a list's entries are looked at where not each of them is printed.
_MAX_LISTED = 100

_SAYS_A_TYPE = ("type", "properties", "items", "enum", "const", "$ref", "allOf", "anyOf", "oneOf")
_NOTHING: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class SchemaNode:
    """One schema. Its layers are itself, then what it refers to; the first to say something wins."""

    layers: Sequence[Mapping[str, object]]
    refs: frozenset[str]  # that led here: none is followed twice
    depth: int  # 0 = the whole schema

    @property
    def variants(self) -> Sequence[object]:
        """Of `oneOf` or `anyOf`; empty where they only say what goes together.

        `anyOf: [{"required": ["a"]}, {"required": ["b"]}]` is a condition, and
        printing it as a union would hide the properties beside it.
        """
        variants = self._list("oneOf") or self._list("anyOf")
        return variants if any(map(_says_a_type, islice(variants, _MAX_LISTED))) else ()

    @property
    def literals(self) -> Sequence[object]:
        """The only values allowed, of `enum` or `const`; empty if there are others."""
        if literals := self._list("enum"):
            return literals
        return [layer["const"] for layer in self.layers if "const" in layer][:1]

    @property
    def type(self) -> str | list[str] | None:
        """As written, or guessed from what a value consists of."""
        match self.get("type"):
            case str(name):
                return name
            case list(names):
                return [name for name in names[:_MAX_LISTED] if isinstance(name, str)]
        if self.properties:
            return "object"
        return None if self.items is None else "array"

    @property
    def properties(self) -> Mapping[str, object]:
        said = [p for layer in self.layers if isinstance(p := layer.get("properties"), dict)]
        if len(said) <= 1:
            return said[0] if said else _NOTHING
        merged = dict(said[0])
        for properties in said[1:]:
            for name, schema in properties.items():
                merged.setdefault(name, schema)
        return merged

    @property
    def items(self) -> object | None:
        """The schema of an array's items, if it says one."""
        return self.get("items")

    @property
    def title(self) -> str | None:
        return self._text("title")

    @property
    def description(self) -> str | None:
        return self._text("description")

    @property
    def examples(self) -> Sequence[str]:
        """Those that are strings."""
        return [e for e in self._list("examples")[:_MAX_LISTED] if isinstance(e, str)]

    @property
    def nullable(self) -> bool:
        """OpenAPI's way to allow null."""
        return self.get("nullable") is True

    def get(self, keyword: str) -> object | None:
        for layer in self.layers:
            if keyword in layer:
                return layer[keyword]
        return None

    def has(self, keyword: str) -> bool:
        return any(keyword in layer for layer in self.layers)

    def _text(self, keyword: str) -> str | None:
        value = self.get(keyword)
        return value if isinstance(value, str) else None

    def _list(self, keyword: str) -> Sequence[object]:
        value = self.get(keyword)
        return value if isinstance(value, list) else ()


class SchemaDocument:
    """A schema and the definitions in it."""

    def __init__(self, root: Mapping[str, object]) -> None:
        self._root = dict(root)
        # Remembered, as a `$ref` may stand in a thousand places: what long refs
        # and long lists mean is found out once. Schemas are known by identity.
        self._targets: dict[str, object] = {}
        self._required: dict[int, frozenset[str]] = {}

    def root(self) -> SchemaNode:
        return self._node(self._root, frozenset(), depth=0)

    def child(self, parent: SchemaNode, schema: object) -> SchemaNode:
        """The node of *schema*, which stands somewhere in *parent*."""
        return self._node(schema, parent.refs, depth=parent.depth + 1)

    def requires(self, node: SchemaNode, name: str) -> bool:
        """Whether the property *name* must be there."""
        return any(name in self._required_by(layer) for layer in node.layers)

    def _required_by(self, layer: Mapping[str, object]) -> frozenset[str]:
        if id(layer) not in self._required:
            listed = layer.get("required")
            names = listed if isinstance(listed, list) else []
            self._required[id(layer)] = frozenset(n for n in names if isinstance(n, str))
        return self._required[id(layer)]

    def _node(self, schema: object, refs: frozenset[str], *, depth: int) -> SchemaNode:
        layers: list[Mapping[str, object]] = []
        waiting = deque([schema])
        while waiting and len(layers) < MAX_LAYERS:
            layer = waiting.popleft()
            if not isinstance(layer, dict):
                continue
            layers.append(layer)
            ref, all_of = layer.get("$ref"), layer.get("allOf")
            if isinstance(ref, str) and ref not in refs:
                refs |= {ref}
                waiting.append(self._target(ref))
            if isinstance(all_of, list):
                waiting.extend(all_of[:MAX_LAYERS])
        return SchemaNode(layers, refs, depth)

    def _target(self, ref: str) -> object:
        if ref not in self._targets:
            self._targets[ref] = _resolve(self._root, ref)
        return self._targets[ref]


def _resolve(root: object, ref: str) -> object:
    """What the JSON pointer *ref* points to; None if that is nothing of ours."""
    document, *path = unquote(ref).split("/")
    if document != "#":
        return None
    found = root
    for part in path:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and re.fullmatch(r"\d{1,6}", key, re.ASCII):
            found = found[int(key)] if int(key) < len(found) else None
        else:
            return None
    return found


def _says_a_type(schema: object) -> bool:
    return isinstance(schema, dict) and any(keyword in schema for keyword in _SAYS_A_TYPE)
