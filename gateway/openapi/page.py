"""From the OpenAPI document to the page of it: one HTML file, whole in itself.

Rule: everything that stands on the page comes out of the document, and goes
through `_text` on its way. It loads nothing and works without its script, which
only adds buttons to copy with; so the strictest Content-Security-Policy will do.
"""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.resources
import json
import re
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    html: str
    content_security_policy: str


def build_page(document: dict[str, Any]) -> Page:
    files = importlib.resources.files("gateway.openapi")
    style = (files / "page.css").read_text()
    script = (files / "page.js").read_text()
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(_Renderer(document).page(style, script), policy)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class _Renderer:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._operations = [
            (method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            # The other form of each path is named beside it.
            if not path.startswith("/{project_id}/")
        ]

    def page(self, style: str, script: str) -> str:
        info = self._document["info"]
        title = _text(info["title"])
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark">'
            f"<title>{title}: API reference</title><style>{style}</style></head><body>"
            f"<nav><strong>{title}</strong>{self._links()}</nav>"
            f"<main><header><h1>API reference</h1>{_paragraphs(info['description'])}"
            f'<p class="quiet">Version {_text(info["version"])}.'
            ' The same as <a href="/openapi.json">OpenAPI 3.1</a>.</p></header>'
            f"{self._authentication()}{''.join(self._operation(*op) for op in self._operations)}"
            f"{self._header_table()}</main><script>{script}</script></body></html>"
        )

    def _links(self) -> str:
        links = ['<a href="#authentication">Authentication</a>']
        tag = None
        for _, _, operation in self._operations:
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                links.append(f"<span>{_text(tag)}</span>")
            links.append(f'<a href="#{operation["operationId"]}">{_text(operation["summary"])}</a>')
        return "".join([*links, "<span>All</span>", '<a href="#headers">Headers</a>'])

    def _authentication(self) -> str:
        schemes = self._document["components"]["securitySchemes"].values()
        sentences = "".join(_paragraphs(scheme["description"]) for scheme in schemes)
        return f'<section id="authentication"><h2>Authentication</h2>{sentences}</section>'

    def _operation(self, method: str, path: str, operation: dict[str, Any]) -> str:
        id_ = operation["operationId"]
        badge = f'<b class="{method}">{method.upper()}</b>'
        parts = [f'<section id="{id_}"><h2>{_text(operation["summary"])}</h2>']
        for full_path in (path, "/{project_id}" + path):
            parts.append(f'<p class="path">{badge}<code>{_path(full_path)}</code></p>')
        parts.append(_paragraphs(operation["description"]))
        if parameters := [self._followed(parameter) for parameter in operation["parameters"]]:
            fields = {p["name"]: _described(p) for p in parameters}
            required = [p["name"] for p in parameters if p.get("required")]
            schema = {"properties": fields, "required": required}
            parts.append(f"<h3>In the path and the headers</h3>{self._fields(schema)}")
        if "requestBody" in operation:
            parts.append(self._request(method, path, operation))
        answer = self._followed(operation["responses"]["200"])
        parts.append("<h3>Response</h3>")
        parts += [
            self._content(media_type, content, answer["description"])
            for media_type, content in answer["content"].items()
        ]
        parts += ["<h3>Errors</h3>", self._errors(operation), "</section>"]
        return "".join(parts)

    def _request(self, method: str, path: str, operation: dict[str, Any]) -> str:
        content = self._followed(operation["requestBody"])["content"]["application/json"]
        examples = "".join(
            _example(example["summary"], _curl(method, path, example["value"]), opened=index == 0)
            for index, example in enumerate(content["examples"].values())
        )
        schema = self._followed(content["schema"])
        return (
            f"<h3>Request</h3>{_paragraphs(schema['description'])}{self._fields(schema)}"
            f"<h4>Examples</h4>{examples}"
        )

    def _content(self, media_type: str, content: dict[str, Any], description: str) -> str:
        schema = self._followed(content["schema"])
        parts = [f'<h4>200 <code class="quiet">{_text(media_type)}</code></h4>']
        if "oneOf" in schema:
            parts.append(_paragraphs(description))
            parts += [self._event(self._followed(event)) for event in schema["oneOf"]]
        else:
            parts.append(self._fields(schema, answer=True))
        for example in content["examples"].values():
            value = example["value"]
            text = value if isinstance(value, str) else _json(value)
            parts.append(_example(f"Example: {example['summary'].lower()}", text, opened=False))
        return "".join(parts)

    def _event(self, schema: Schema) -> str:
        return (
            f"<details><summary><code>{_text(_name_of_event(schema))}</code> "
            f"{_text(schema['description'])}</summary>{self._fields(schema, answer=True)}</details>"
        )

    def _errors(self, operation: dict[str, Any]) -> str:
        rows = []
        for status, reference in operation["responses"].items():
            if status == "200":
                continue
            response = self._followed(reference)
            content = response["content"]["application/json"]
            narrowed = content["schema"]["allOf"][1]["properties"]["error"]["properties"]
            codes = " ".join(f"<code>{_text(code)}</code>" for code in narrowed["code"]["enum"])
            types = " ".join(f"<code>{_text(name)}</code>" for name in narrowed["type"]["enum"])
            examples = "".join(
                _example(example["summary"], _json(example["value"]), opened=False)
                for example in content["examples"].values()
            )
            rows.append(
                f"<details><summary><b>{status}</b> {_text(response['description'])}</summary>"
                f"<p>type {types}, code {codes}</p>{examples}</details>"
            )
        return "".join(rows)

    def _header_table(self) -> str:
        headers = self._document["components"]["headers"].items()
        schema = {"properties": {name: _described(header) for name, header in headers}}
        return f'<section id="headers"><h2>Headers of answers</h2>{self._fields(schema)}</section>'

    def _fields(self, schema: Schema, *, answer: bool = False) -> str:
        required = schema.get("required", ())
        rows = "".join(
            self._field(name, field, required=name in required, answer=answer)
            for name, field in schema.get("properties", {}).items()
        )
        return f'<div class="fields">{rows}</div>'

    def _field(self, name: str, field: Schema, *, required: bool, answer: bool) -> str:
        """Answers have all their keys, and null means something; in requests it is the reverse."""
        notes = [f"<i>{self._type(field, nulls=answer)}</i>"]
        if required and not answer:
            notes.append('<b class="required">required</b>')
        if not required and answer:
            notes.append("<span>not always there</span>")
        notes += [f"<span>{_text(note)}</span>" for note in _bounds(field)]
        if "default" in field and not answer:
            notes.append(f"<span>default <code>{_text(json.dumps(field['default']))}</code></span>")
        inner = "".join(
            self._nested(self._followed(part), answer=answer) for part in self._objects(field)
        )
        return (
            f'<div class="field"><div class="name"><code>{_text(name)}</code>{" ".join(notes)}</div>'
            f"{_paragraphs(self._description(field))}{inner}</div>"
        )

    def _nested(self, schema: Schema, *, answer: bool) -> str:
        about = _marked(schema.get("description", "Fields"))
        if type_ := _type_of_object(schema):
            about = f"<code>{_text(type_)}</code> {about}"
        return f"<details><summary>{about}</summary>{self._fields(schema, answer=answer)}</details>"

    def _objects(self, schema: Schema) -> list[Schema]:
        """The objects that a value of *schema* may be or hold."""
        found: list[Schema] = []
        for part in schema.get("anyOf", [schema]):
            followed = self._followed(part)
            if "properties" in followed:
                found.append(followed)
            elif "anyOf" in part:
                found += self._objects(part)
            elif "items" in followed:
                found += self._objects(followed["items"])
        return found

    def _type(self, schema: Schema, *, nulls: bool) -> str:
        """In words, as HTML."""
        if "$ref" in schema:
            return "object"
        if "anyOf" in schema:
            types = [self._type(part, nulls=nulls) for part in schema["anyOf"]]
            if not nulls and len(types) > 1:
                types = [type_ for type_ in types if type_ != "null"]
            return " or ".join(dict.fromkeys(types))
        if "const" in schema:
            return f"<code>{_text(json.dumps(schema['const']))}</code>"
        if "enum" in schema:
            values = (f"<code>{_text(json.dumps(value))}</code>" for value in schema["enum"])
            return " or ".join(values)
        types = schema.get("type", "any")
        names = [types] if isinstance(types, str) else types
        if not nulls and len(names) > 1:
            names = [name for name in names if name != "null"]
        if names == ["array"]:
            inner = self._type(schema.get("items", {}), nulls=nulls)
            return f"array of ({inner})" if " or " in inner else f"array of {inner}"
        return " or ".join(_text(name) for name in names)

    def _description(self, field: Schema) -> str:
        if "description" in field:
            return str(field["description"])
        return str(self._followed(field).get("description", ""))

    def _followed(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            _, kind, name = node["$ref"].removeprefix("#/").split("/")
            node = self._document["components"][kind][name]
        return node


def _type_of_object(schema: Schema) -> str:
    """What its field `type` must be, if that is one value."""
    field = schema["properties"].get("type", {})
    for part in [field, *field.get("anyOf", ())]:
        if "const" in part:
            return str(part["const"])
    return ""


def _name_of_event(schema: Schema) -> str:
    """The usual one, where a dialect has another. One without a type is what it holds."""
    properties = schema["properties"]
    type_ = properties.get("type") or properties.get("object")
    if type_ is None:
        return str(next(iter(properties)))
    return str(type_["const"] if "const" in type_ else type_["enum"][0])


def _bounds(schema: Schema) -> list[str]:
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "more than {}",
        "maximum": "at most {}",
        "minLength": "at least {} characters",
        "maxLength": "at most {:,} characters",
        "minItems": "at least {} element",
        "maxItems": "at most {} elements",
        "pattern": "matches {}",
    }
    return [
        text.format(part[key])
        for part in [schema, *schema.get("anyOf", ())]
        for key, text in words.items()
        # Not empty, and 64 bits, go without saying.
        if key in part and (key, part[key]) != ("minLength", 1) and not _is_huge(part[key])
    ]


def _described(node: dict[str, Any]) -> Schema:
    """A parameter or a header, as if it were a field."""
    return {**node["schema"], "description": node["description"]}


def _is_huge(bound: object) -> bool:
    return isinstance(bound, int) and abs(bound) >= 2**62


def _example(summary: str, text: str, *, opened: bool) -> str:
    return (
        f"<details{' open' if opened else ''}><summary>{_marked(summary)}</summary>"
        f'<div class="code"><pre tabindex="0"><code>{_text(text)}</code></pre></div></details>'
    )


def _curl(method: str, path: str, body: object) -> str:
    quoted = _json(body).replace("'", "'\\''")
    return (
        f"curl -N $GATEWAY_URL{path} \\\n"
        '  -H "Authorization: Bearer $GATEWAY_API_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d '{quoted}'"
    )


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _path(path: str) -> str:
    return re.sub(r"(\{\w+\})", r"<em>\1</em>", _text(path))


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_marked(part)}</p>" for part in text.split("\n\n") if part.strip())


def _marked(text: str) -> str:
    """Text with `code` in it."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(text))


def _text(text: str) -> str:
    return html.escape(text)
