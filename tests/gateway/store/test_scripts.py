"""The rules that every script keeps."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from importlib.resources import files

import pytest

from gateway.store.scripts import read_script

NAMES = sorted(
    entry.name.removesuffix(".lua")
    for entry in files("gateway.store.scripts").iterdir()
    if entry.name.endswith(".lua")
)


@pytest.mark.parametrize("name", NAMES)
def test_the_header_documents_every_key_and_argument(name: str) -> None:
    header, code = read_script(name).split("]]", 1)
    for kind in ("KEYS", "ARGV"):
        used = set(re.findall(rf"{kind}\[(\d+)\]", code))
        documented = set(re.findall(rf"^  {kind}\[(\d+)\] ", header, re.MULTILINE))
        assert used == documented, kind


@pytest.mark.parametrize("name", NAMES)
def test_the_header_documents_every_word_it_returns(name: str) -> None:
    header, code = read_script(name).split("]]", 1)
    returns = header[header.index("Returns") :]
    documented = set(re.findall(r"\{'(\w+)'", returns))
    said = set(re.findall(r"(?:return \{ |answer\()'(\w+)'", code))
    said.update(*re.findall(r"local verdict = \w+ and '(\w+)' or '(\w+)'", code))
    assert said == documented


@pytest.mark.parametrize("name", NAMES)
def test_a_script_touches_declared_keys_only(name: str) -> None:
    _, code = read_script(name).split("]]", 1)
    for command, key in re.findall(r"redis\.call\('(\w+)'(?:,\s*([^,)]+))?", code):
        assert command == "TIME" or re.fullmatch(r"KEYS\[\d\]", key), f"{command} {key}"


def test_constants_and_functions_of_the_same_name_are_the_same_in_every_script() -> None:
    """A script cannot import another: what two of them share is written twice."""
    definitions = defaultdict[str, list[str]](list)
    for name in NAMES:
        _, code = read_script(name).split("]]", 1)
        for constant, value in re.findall(
            r"^local ([A-Z_]+) = (.+?)(?: --.*)?$", code, re.MULTILINE
        ):
            definitions[constant].append(value)
        for function, body in re.findall(
            r"^local function (\w+)(.+?^end$)", code, re.MULTILINE | re.DOTALL
        ):
            definitions[function].append(body)
    shared = {name: found for name, found in definitions.items() if len(found) > 1}
    assert set(shared) == {"MINUTE_US", "MAX_DEBT_US", "integer"}
    assert {name for name, found in shared.items() if len(set(found)) > 1} == set()


@pytest.mark.skipif(shutil.which("luacheck") is None, reason="luacheck is not installed")
def test_the_scripts_are_clean_for_luacheck() -> None:
    directory = files("gateway.store.scripts")
    checked = subprocess.run(
        ["luacheck", "--std", "lua51", "--read-globals", "redis", "KEYS", "ARGV"]
        + ["--max-line-length", "110", "--", *(str(directory / f"{name}.lua") for name in NAMES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
