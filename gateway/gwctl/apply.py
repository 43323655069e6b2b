"""gwctl apply: make what there is what a file declares."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from gateway.gwctl.admin_client import AdminClient
from gateway.gwctl.complaint import Complaint
from gateway.gwctl.parsing import Subparsers, add_command
from gateway.gwctl.tables import Row

_TEACHING = """\
The file is YAML or JSON; docs/admin-api.md shows one whole:

  projects:
    - {id: prj_team_a, name: team-a, limits: {requests_per_minute: 600}}
  keys:
    - {name: ci-1, project_id: prj_team_a, token_file: /secrets/ci-1}

Tokens are never in it: `token_file` and `token_env` say where they are; `gwctl key mint` makes
them. Applying again changes nothing. What is declared cannot be edited otherwise; what no longer
is stays, unless you say --prune."""


def add(nouns: Subparsers) -> None:
    apply_parser = add_command(
        nouns,
        "apply",
        apply,
        "make projects, principals, policies and keys what a file declares",
        "apply tenants.yaml --dry-run",
        "apply tenants.yaml --prune",
        more=_TEACHING,
        needs_peppers=True,
    )
    apply_parser.add_argument("file", help="YAML or JSON; - is the standard input")
    apply_parser.add_argument("--dry-run", action="store_true", help="only tell what would change")
    apply_parser.add_argument(
        "--prune",
        action="store_true",
        help="revoke, delete and archive what was declared and no longer is",
    )


async def apply(arguments: argparse.Namespace, api: AdminClient) -> Sequence[Row]:
    document = read_document(arguments.file)
    told = await api.post(
        "/admin/v1/apply",
        {"document": document, "dry_run": arguments.dry_run, "prune": arguments.prune},
    )
    # Said on stderr, so that `gwctl ... -o json | jq` stays JSON.
    verb = "would be made" if arguments.dry_run else "made"
    print(f"{told['changes']} changes {verb}.", file=sys.stderr)
    return [
        {
            "action": step["action"],
            "kind": step["kind"],
            "id": step["id"],
            "changes": _changes(step),
        }
        for step in told["steps"]
    ]


def read_document(file: str) -> dict[str, object]:
    """The file, its tokens read. Raises Complaint."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        document = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise Complaint(f"{file} cannot be read: {' '.join(str(exc).split())}.") from exc
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise Complaint(f"{file} has to hold projects, applications, users, policies and keys.")
    keys = document.get("keys")
    if isinstance(keys, list):
        directory = Path.cwd() if file == "-" else Path(file).parent
        document["keys"] = [
            _with_token(each, f"keys[{number}]", directory) for number, each in enumerate(keys)
        ]
    try:
        # YAML knows dates, and numbers that JSON does not.
        json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as exc:
        raise Complaint(f"{file} holds what JSON cannot: {exc}.") from exc
    return document


def _with_token(key: object, place: str, directory: Path) -> object:
    if not isinstance(key, dict):
        return key  # the API says what is wrong with it
    if "token" in key:
        raise Complaint(f"{place}: a token must not be in the file; use token_file or token_env.")
    named = {name: key.pop(name) for name in ("token_file", "token_env") if name in key}
    if len(named) != 1:
        raise Complaint(f"{place} needs either a token_file or a token_env.")
    ((name, where),) = named.items()
    if name == "token_env":
        token = os.environ.get(str(where), "")
        if not token:
            raise Complaint(f"{place}: the environment has no {where}.")
    else:
        try:
            token = (directory / str(where)).read_text()
        except (OSError, UnicodeDecodeError) as exc:
            raise Complaint(f"{place}: {where} cannot be read.") from exc
    return {**key, "token": token.strip()}


def _changes(step: Mapping[str, Any]) -> str | None:
    """Of an update: name: before -> after."""
    before, after = step["before"] or {}, step["after"] or {}
    if step["action"] != "update":
        return None
    return "; ".join(
        f"{name}: {_told(old)} -> {_told(new)}"
        for name in after
        for old, new in (_differing(before.get(name), after[name]),)
        if old != new
    )


def _differing(before: object, after: object) -> tuple[object, object]:
    """Of limits only those that change."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = [name for name in after if before.get(name) != after[name]]
        return {name: before.get(name) for name in names}, {name: after[name] for name in names}
    return before, after


def _told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
