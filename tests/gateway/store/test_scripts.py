"""The rules that every script keeps."""

from __future__ import annotations

import re
import shutil
import subprocess
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
