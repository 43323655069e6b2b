"""What is added to the code is added to its document: configuration, errors, Redis keys."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.config import Settings
from gateway.iam.conditions import NAMES
from gateway.iam.permissions import PERMISSION_SETS
from gateway.responses.error_table import ERROR_TABLE
from gateway.usage_exporter.settings import ExporterSettings

DOCS = Path("docs")


def test_every_setting_of_gateway_and_exporter_is_documented_with_its_default() -> None:
    rows = dict(
        re.findall(
            r"^\| `([A-Z_]+)` \| ([^|]+?) \|", (DOCS / "configuration.md").read_text(), re.MULTILINE
        )
    )
    expected = {}
    fields = [
        (f"{prefix}_{name.upper()}", field)
        for prefix, settings in (("GATEWAY", Settings), ("USAGE_EXPORTER", ExporterSettings))
        for name, field in settings.model_fields.items()
    ]
    for name, field in fields:
        variable = str(field.validation_alias or name)
        default = field.default
        if field.is_required():
            text = "required"
        elif default is None:
            text = "not set"
        elif isinstance(default, tuple):
            text = f"`{','.join(default)}`"
        elif hasattr(default, "get_secret_value"):
            text = f"`{default.get_secret_value()}`"
        else:
            text = f"`{default}`"
        expected[variable] = text
    documented = {name: default for name, default in rows.items() if not name.startswith("WORKER_")}
    assert documented == expected


def test_every_error_code_is_in_the_table() -> None:
    """Of which docs/errors.md is made, as test_api_document.py sees to."""
    documented = {code for kind in ERROR_TABLE for code in kind.codes}
    packages = ("gateway/responses", "gateway/chat")
    paths = (path for package in packages for path in Path(package).glob("*.py"))
    source = "".join(path.read_text() for path in paths if path.name != "error_table.py")
    # The codes of errors.py stand alone on a line; elsewhere they are named.
    codes = set(re.findall(r'code="([a-z_]+)"', source))
    codes |= set(re.findall(r'^        "([a-z]+(?:_[a-z]+)+)",$', source, re.MULTILINE))
    codes |= set(re.findall(r'refused\(\s*"([a-z_]+)"', source))
    codes |= set(re.findall(r'return "([a-z]+(?:_[a-z]+)+)", ', source))
    codes -= {"invalid_request_error", "authentication_error", "permission_error"}
    codes -= {"rate_limit_error", "server_error"}
    codes = {code for code in codes if not code.startswith(("in_", "final_"))}
    assert codes - documented == set()


def test_every_permission_set_and_condition_is_in_the_document_of_iam() -> None:
    text = (DOCS / "iam.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (`[a-z]+:.*) \|$", text, re.MULTILINE))
    documented = {
        name: frozenset(re.findall(r"`([a-z:]+)`", gives)) for name, gives in rows.items()
    }
    assert documented == {name: each.gives for name, each in PERMISSION_SETS.items()}
    section = text.partition("## Conditions")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    assert {name for line in lines for name in re.findall(r"`(\w+)`", line)} == set(NAMES)


def test_links_between_documents_lead_somewhere() -> None:
    documents = [Path("README.md"), Path("CONTRIBUTING.md"), *DOCS.rglob("*.md")]
    broken = [
        f"{document}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
        if not (document.parent / target).exists()
    ]
    assert broken == []


def test_the_readme_names_only_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", Path("Makefile").read_text(), re.MULTILINE))
    for document in (Path("README.md"), *DOCS.rglob("*.md")):
        named = set(re.findall(r"`make ([a-z-]+)", document.read_text()))
        assert named <= targets, document
