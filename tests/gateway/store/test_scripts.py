"""The rules that every script keeps."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

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
    said = set(re.findall(r"(?:return \{ |reply(?:, \w+)* = \{ |answer\(\{ )'(\w+)'", code))
    for words in re.findall(r"(?:word|verdict)(?:, \w+)* = (.+)", code):
        said.update(re.findall(r"'(\w+)'", words))
    assert said == documented


@pytest.mark.parametrize("name", NAMES)
def test_a_script_touches_declared_keys_only(name: str) -> None:
    _, code = read_script(name).split("]]", 1)
    for command, key in re.findall(r"redis\.call\('(\w+)'(?:,\s*([^,)]+))?", code):
        # renew.lua is told the position of a key in KEYS.
        declared = r"KEYS\[(\d|tonumber\(ARGV\[at \+ 1\])"
        assert command == "TIME" or re.match(declared, key), f"{command} {key}"


def test_an_include_stands_in_a_script_once_however_often_it_is_named() -> None:
    source = read_script("settle")
    assert "#include" not in source
    assert source.count("local function read_scope(") == 1


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_defined_twice_in_a_script(name: str) -> None:
    """What several scripts need is included; a copy beside it could come to differ."""
    _, code = read_script(name).split("]]", 1)
    defined = re.findall(r"^local (?:function )?([A-Za-z_]+)", code, re.MULTILINE)
    assert len(defined) == len(set(defined))


@pytest.mark.skipif(shutil.which("luacheck") is None, reason="luacheck is not installed")
def test_the_scripts_are_clean_for_luacheck(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / f"{name}.lua").write_text(read_script(name))
    checked = subprocess.run(
        ["luacheck", "--config", ".luacheckrc", "--no-color", "--", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
