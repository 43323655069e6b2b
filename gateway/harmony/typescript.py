"""Print a JSON schema as a TypeScript type, the way gpt-oss was trained to see it.

The layout is openai-harmony's, to the last blank: the tests compare. It prints
`any`, though, for much of what a schema can say; here is typed as well: `$ref`,
`anyOf`, `allOf`, enums of any type, `const`, null, schemas that leave out their
type, and what an array or object in a list like `["array", "null"]` consists of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gateway.harmony.json_schema import MAX_DEPTH, SchemaDocument, SchemaNode
from gateway.harmony.json_text import compact_json


def print_type(schema: Mapping[str, object], *, max_characters: int) -> str | None:
    """The type of a function's argument; None if there is nothing to pass.

    *schema* is any JSON object; nothing is raised. After *max_characters* the
    rest is `any`, or left out, because a few `$ref`s can multiply to more than
    a disk holds. The text is longer than that by a few texts of *schema* at most.
    """
    document = SchemaDocument(schema)
    root = document.root()
    if not (root.properties or root.variants):
        return None
    printer = _Printer(document, max_characters)
    printer.print(root, indent="")
    return printer.text()


class _Printer:
    def __init__(self, document: SchemaDocument, max_characters: int) -> None:
        self._document = document
        self._left = max_characters
        self._parts: list[str] = []

    def text(self) -> str:
        return "".join(self._parts)

    def print(self, node: SchemaNode, indent: str) -> None:
        if self._left <= 0 or node.depth > MAX_DEPTH:
            self._write("any")
        elif node.variants:
            for variant in self._children(node, node.variants):
                self._write(f"\n{indent} | ")
                self._print_variant(variant, indent, variant.description)
        elif node.literals:
            self._write(" | ".join(map(compact_json, node.literals)))
        else:
            self._print_types(node, node.type, indent)

    def _print_types(self, node: SchemaNode, type_: str | list[str] | None, indent: str) -> None:
        match type_:
            case "object":
                self._print_object(node, indent)
            case "array" if node.items is None:
                self._write("Array<any>")
            case "array":
                self.print(self._document.child(node, node.items), indent)
                self._write("[]")
            case "integer" | "number":
                self._write("number")
            case "string" | "boolean" | "null":
                self._write(type_)
            case [first, *more]:
                self._print_listed_type(node, first, indent)
                for name in more:
                    self._write(" | ")
                    self._print_listed_type(node, name, indent)
            case _:
                self._write("any")

    def _print_listed_type(self, node: SchemaNode, name: str, indent: str) -> None:
        bare = (name == "object" and not node.properties) or (name == "array" and not node.items)
        if bare:
            self._write(name)
        else:
            self._print_types(node, name, indent)

    def _print_object(self, node: SchemaNode, indent: str) -> None:
        if node.description is not None:
            self._write(f"{indent}// {node.description}\n")
        self._write("{\n")
        for name, schema in node.properties.items():
            if self._left <= 0:
                break
            optional = "" if self._document.requires(node, name) else "?"
            property_ = self._document.child(node, schema)
            self._print_property(property_, f"{indent}{name}{optional}", indent)
        self._write(f"{indent}}}")

    def _print_property(self, node: SchemaNode, label: str, indent: str) -> None:
        if node.title is not None:
            self._write(f"{indent}// {node.title}\n{indent}//\n")
        if node.variants:
            self._print_examples(node, indent)
            self._print_union_property(node, label, indent)
            return
        if node.description is not None:
            self._write(f"{indent}// {node.description}\n")
        self._print_examples(node, indent)
        self._write(f"{label}: ")
        self._print_nullable(node, indent + "    ")
        self._write(",")
        for default in _default(node):
            self._write(f" // {default}")
        self._write("\n")

    def _print_union_property(self, node: SchemaNode, label: str, indent: str) -> None:
        # A description is said once: above, or else with its variant.
        first = self._document.child(node, node.variants[0])
        above = node.description if node.description != first.description else None
        if above is not None:
            self._write(f"{indent}// {above}\n")
        for default in _default(node):
            self._write(f"{indent}// {default}\n")
        self._write(f"{label}:\n")
        for index, variant in enumerate(self._children(node, node.variants)):
            said = (index == 0 and above is not None) or variant.description == node.description
            self._write(f"{indent} | ")
            self._print_variant(variant, indent, None if said else variant.description)
            self._write("\n")
        self._write(f"{indent},\n")

    def _print_variant(self, variant: SchemaNode, indent: str, description: str | None) -> None:
        self._print_nullable(variant, indent + "   ")
        comments = [*([] if description is None else [description]), *_default(variant)]
        if comments:
            self._write(f" // {' '.join(comments)}")

    def _print_examples(self, node: SchemaNode, indent: str) -> None:
        if node.examples:
            self._write(f"{indent}// Examples:\n")
        for example in node.examples:
            self._write(f'{indent}// - "{example}"\n')

    def _print_nullable(self, node: SchemaNode, indent: str) -> None:
        start = len(self._parts)
        self.print(node, indent)
        if node.nullable and "null" not in "".join(self._parts[start:]):
            self._write(" | null")

    def _children(self, node: SchemaNode, schemas: Iterable[object]) -> Iterator[SchemaNode]:
        for schema in schemas:
            if self._left <= 0:
                break
            yield self._document.child(node, schema)

    def _write(self, text: str) -> None:
        self._parts.append(text)
        self._left -= len(text)


def _default(node: SchemaNode) -> Iterator[str]:
    """The comment on the value a property has when it is left out, if there is one."""
    if node.has("default"):
        default = node.get("default")
        bare = isinstance(default, str) and node.literals
        yield f"default: {default if bare else compact_json(default)}"
