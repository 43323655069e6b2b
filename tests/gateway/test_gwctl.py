"""gwctl from the command line, on a real Redis."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import shlex
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

from gateway.gwctl.arguments import parser
from gateway.iam.api_key import parse
from tests.stack.gwctl_outcome import Gwctl, gwctl_in_process
from tests.stack.process import free_port

# All but the response's id: kid, model, status, verdict; request, tokens; day, admitted at.
LEDGER_ENTRY = "kid1,gpt-oss-120b,completed,settled,1,100,64,40,30,20779,1795348800123"


@pytest.fixture
def gwctl(
    redis_port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Gwctl:
    with Redis(host="127.0.0.1", port=redis_port) as client:
        client.flushall()
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{redis_port}/0")
    monkeypatch.setenv("GATEWAY_KEY_PEPPERS", f"1:{'ab' * 32}")

    return gwctl_in_process(capsys)


def test_a_tenant_is_set_up_and_shut_out(gwctl: Gwctl) -> None:
    project = gwctl(
        *("project", "create", "search", "--requests-per-minute", "600"),
        *("--tokens-per-minute", "500000", "--concurrent-requests", "20", "-o", "json"),
    ).json
    assert project["id"].startswith("prj_")
    assert gwctl("project", "list", "-o", "json").json == [project]

    created = gwctl("key", "create", "--project", project["id"], "--name", "ci", "-o", "json")
    token = created.json["token"]
    key = parse(token)
    assert key is not None
    assert key.kid == created.json["kid"]
    assert "shown this once" in created.stderr

    listed = gwctl("key", "list", "--project", project["id"], "-o", "json")
    assert [(row["kid"], row["state"]) for row in listed.json] == [(key.kid, "active")]
    assert key.secret not in listed.stdout

    assert gwctl("key", "revoke", key.kid, "-o", "json").json["state"] == "revoked"
    assert [row["state"] for row in gwctl("key", "list", "-o", "json").json] == ["revoked"]


def test_tables_are_made_to_be_read(gwctl: Gwctl) -> None:
    assert gwctl("project", "list").stdout == "(none)\n"
    gwctl("project", "create", "search", "--id", "prj_search", "--tokens-per-minute", "500000")
    header, row = gwctl("project", "list").stdout.splitlines()
    assert header.split() == ["ID", "NAME", "STATE", "TOKENS_PER_MINUTE", "CREATED"]
    assert row.split()[:-1] == ["prj_search", "search", "active", "500000"]
    gwctl("project", "create", "chat", "--id", "prj_zchat", "--daily-tokens", "9000000")
    gwctl("project", "set", "prj_zchat", "--daily-mode", "soft")
    header, *rows = gwctl("project", "list").stdout.splitlines()
    columns = ["TOKENS_PER_MINUTE", "DAILY_TOKENS", "DAILY_MODE"]
    assert header.split() == ["ID", "NAME", "STATE", *columns, "CREATED"]
    assert [row.split()[3:-1] for row in rows] == [
        ["500000", "-", "hard"],
        ["-", "9000000", "soft"],
    ]
    created = gwctl("key", "create", "--project", "prj_search", "--name", "ci").stdout
    assert dict(line.split(maxsplit=1) for line in created.splitlines())["project"] == "prj_search"


def test_only_the_limits_that_are_named_are_set(gwctl: Gwctl) -> None:
    limits = ("--requests-per-minute", "600", "--tokens-per-minute", "500000")
    created = gwctl("project", "create", "search", "--id", "prj_search", *limits, "-o", "json")
    changed = gwctl(
        *("project", "set", "prj_search", "--requests-per-minute", "none"),
        *("--concurrent-requests", "20", "-o", "json"),
    )
    assert changed.json == {
        **created.json,
        "requests_per_minute": None,
        "concurrent_requests": 20,
    }
    assert gwctl("project", "list", "-o", "json").json == [changed.json]


def test_a_project_is_archived_and_restored(gwctl: Gwctl) -> None:
    gwctl("project", "create", "search", "--id", "prj_search")
    assert gwctl("project", "archive", "prj_search", "-o", "json").json["state"] == "archived"
    assert gwctl("project", "list", "-o", "json").json[0]["state"] == "archived"
    assert gwctl("project", "restore", "prj_search", "-o", "json").json["state"] == "active"


def test_the_ledger_tells_what_was_charged_last_or_after_an_entry(
    gwctl: Gwctl, redis_port: int
) -> None:
    gwctl("project", "create", "search", "--id", "prj_search")
    ledger = ("ledger", "--project", "prj_search")
    assert gwctl(*ledger).stdout == "(none)\n"
    with Redis(host="127.0.0.1", port=redis_port) as client:
        for n in range(1, 4):
            client.xadd("gw:{prj_search}:lg", {"e": f"response{n},{LEDGER_ENTRY}"}, id=f"{n}-0")

    def told(*options: str) -> list[str]:
        return [row["response"] for row in gwctl(*ledger, *options, "-o", "json").json]

    assert gwctl(*ledger, "--limit", "1", "-o", "json").json == [
        {
            "entry": "3-0",
            "admitted": "2026-11-22T12:00:00Z",
            "response": "response3",
            "model": "gpt-oss-120b",
            "kid": "kid1",
            "status": "completed",
            "verdict": "settled",
            "requests": 1,
            "input_tokens": 100,
            "cached_tokens": 64,
            "output_tokens": 40,
            "reasoning_tokens": 30,
        }
    ]
    assert told() == ["response1", "response2", "response3"]
    assert told("--limit", "2") == ["response2", "response3"]
    assert told("--limit", "2", "--after", "0-0") == ["response1", "response2"]
    assert told("--after", "2-0") == ["response3"]
    assert len(gwctl(*ledger, "-n", "2").stdout.splitlines()) == 3


def test_a_key_can_be_made_to_expire(gwctl: Gwctl) -> None:
    gwctl("project", "create", "search", "--id", "prj_search")
    created = gwctl("key", "create", "--project", "prj_search", "--expires", "30d", "-o", "json")
    expires = datetime.fromisoformat(created.json["expires"])
    assert abs(expires - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)


def test_an_audit_tells_what_differs_and_fails(gwctl: Gwctl, redis_port: int) -> None:
    gwctl("project", "create", "search", "--id", "prj_search")
    clean = gwctl("audit", "-o", "json")
    assert (clean.code, clean.json) == (0, [])
    assert "1 projects, 0 entries of their ledgers, 0 open leases: 0 differences." in clean.stderr
    with Redis(host="127.0.0.1", port=redis_port) as client:
        client.xadd("gw:{prj_search}:lg", {"e": f"response1,{LEDGER_ENTRY}"})
    found = gwctl("audit", "--project", "prj_search", "-o", "json")
    assert found.code == 1
    assert json.loads(found.stdout)[0] == {
        "project": "prj_search",
        "what": "requests of day 20779, gpt-oss-120b, kid1",
        "ledger": 1,
        "counted": 0,
    }


def test_usage_is_told_by_day_model_and_key(gwctl: Gwctl, redis_port: int) -> None:
    gwctl("project", "create", "search", "--id", "prj_search")
    with Redis(host="127.0.0.1", port=redis_port) as client:
        for day in (20_778, 20_779):  # 2026-11-21, -22
            client.hset(
                f"gw:{{prj_search}}:u:{day}",
                "gpt-oss-120b|kid1",
                struct.pack(">5d", 2, 100, 64, 40, 30),
            )
    told = gwctl(
        *("usage", "--project", "prj_search", "--since", "2026-11-22", "--until", "2026-11-30"),
        *("-o", "json"),
    )
    assert told.json == [
        {
            "day": "2026-11-22",
            "model": "gpt-oss-120b",
            "kid": "kid1",
            "requests": 2,
            "input_tokens": 100,
            "cached_tokens": 64,
            "output_tokens": 40,
            "reasoning_tokens": 30,
        }
    ]
    assert gwctl("usage", "--project", "prj_search", "--until", "2020-01-01").stdout == "(none)\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("project set prj_nobody --tokens-per-minute 1", "There is no project prj_nobody; "),
        ("project set prj_search", "Nothing is to be set; "),
        ("project archive prj_nobody", "There is no project prj_nobody; "),
        ("project restore prj_nobody", "There is no project prj_nobody; "),
        ("ledger --project prj_nobody", "There is no project prj_nobody; "),
        ("key create --project prj_nobody", "There is no project prj_nobody; "),
        ("key list --project prj_nobody", "There is no project prj_nobody; "),
        ("key revoke nobody", "There is no key nobody; "),
        ("usage --project prj_nobody", "There is no project prj_nobody; "),
        ("project create again --id prj_search", "There is a project prj_search already; "),
        ("usage --project prj_search --since 2020-01-01", "That is too long a time: "),
        (
            "usage --project prj_search --since 2026-11-02 --until 2026-11-01",
            "--since 2026-11-02 is after --until 2026-11-01.",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    gwctl: Gwctl, arguments: str, complaint: str
) -> None:
    gwctl("project", "create", "search", "--id", "prj_search")
    outcome = gwctl(*arguments.split())
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith(f"gwctl: {complaint}")
    assert len(outcome.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("", "required"),
        ("project create x --requests-per-minute 0", "not a whole number of at least 1"),
        ("project set x --tokens-per-minute some", "not a whole number of at least 1"),
        ("ledger --project prj_search --after yesterday", "not an entry like "),
        ("ledger --project prj_search --after 0-18446744073709551616", "not an entry like "),
        ("project create x --id a}b", "not 8 to 64 letters"),
        ("key create --project prj_search --expires soon", "not like 12h, 30d or 8w"),
        ("usage --project prj_search --since yesterday", "not a day like 2026-11-30"),
        ("usage --project prj_search --until 0001-01-05", "is before 1970-01-01"),
        (
            f"project create x --tokens-per-minute {2**53}",
            "too large; the most is 9007199254740991",
        ),
        (f"project create x --tokens-per-minute {'9' * 5000}", "'... is too large"),
        ("project create caf\udce9", "a name has to be UTF-8"),
        ("project create two\x1blines", "a name has to be UTF-8"),
        ("key create --project prj_search --name \u2060", "a name has to be UTF-8"),
    ],
)
def test_wrong_usage_is_explained(gwctl: Gwctl, arguments: str, complaint: str) -> None:
    outcome = gwctl(*arguments.split())
    assert outcome.code == 2
    assert complaint in outcome.stderr
    assert len(outcome.stderr) < 1000


@pytest.mark.parametrize("name", ["", " ", "two\nlines", "two\u2028lines"])
def test_a_name_can_be_seen_on_one_line(gwctl: Gwctl, name: str) -> None:
    assert gwctl("project", "create", name).code == 2
    assert gwctl("project", "list").stdout == "(none)\n"


def test_a_whole_token_is_revoked_by_its_kid_and_never_repeated(gwctl: Gwctl) -> None:
    gwctl("project", "create", "search", "--id", "prj_search")
    created = gwctl("key", "create", "--project", "prj_search", "-o", "json").json
    damaged = gwctl("key", "revoke", created["token"][:-1])
    assert damaged.code == 2
    revoked = gwctl("key", "revoke", created["token"])
    assert revoked.code == 0
    assert "revoked" in revoked.stdout
    secret = created["token"].split("_")[2]
    for outcome in (damaged, revoked):
        assert secret[:8] not in outcome.stdout + outcome.stderr


def test_the_form_of_the_answer_may_be_said_first(gwctl: Gwctl) -> None:
    gwctl("project", "create", "search", "--id", "prj_search")
    listed = gwctl("project", "list", "-o", "json").json
    assert gwctl("-o", "json", "project", "list").json == listed
    assert gwctl("project", "-o", "json", "list").json == listed
    assert gwctl("-o", "json", "project", "list", "-o", "table").stdout.startswith("ID ")


def test_it_tells_its_version(gwctl: Gwctl) -> None:
    told = gwctl("--version")
    assert (told.code, told.stdout) == (0, f"gwctl {importlib.metadata.version('llm-gateway')}\n")


def test_limits_are_a_column_of_numbers_also_where_there_is_none(gwctl: Gwctl) -> None:
    gwctl("project", "create", "a", "--id", "prj_search_a")
    gwctl("project", "create", "b", "--id", "prj_search_b", "--tokens-per-minute", "5")
    header, first, second = gwctl("project", "list").stdout.splitlines()
    end = header.index("TOKENS_PER_MINUTE") + len("TOKENS_PER_MINUTE")
    assert (first[end - 2 : end], second[end - 2 : end]) == (" -", " 5")


def test_a_pepper_that_is_not_the_one_of_the_keys_makes_no_key(
    gwctl: Gwctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    gwctl("project", "create", "search", "--id", "prj_search")
    create = ("key", "create", "--project", "prj_search")
    assert gwctl(*create).code == 0
    monkeypatch.setenv("GATEWAY_KEY_PEPPERS", f"1:{'cd' * 32}")
    refused = gwctl(*create)
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("gwctl: GATEWAY_KEY_PEPPERS has another pepper 1 than ")
    # Rotated: a new version has a pepper of its own.
    monkeypatch.setenv("GATEWAY_KEY_PEPPERS", f"1:{'ab' * 32},2:{'cd' * 32}")
    assert gwctl(*create).code == 0
    assert len(gwctl("key", "list", "-o", "json").json) == 2


@pytest.mark.parametrize(
    ("peppers", "complaint"),
    [("", "GATEWAY_KEY_PEPPERS is not set"), ("1:00", "GATEWAY_KEY_PEPPERS is wrong: pepper 1")],
)
def test_keys_are_not_created_without_a_good_pepper(
    gwctl: Gwctl, monkeypatch: pytest.MonkeyPatch, peppers: str, complaint: str
) -> None:
    gwctl("project", "create", "search", "--id", "prj_search")
    monkeypatch.setenv("GATEWAY_KEY_PEPPERS", peppers)
    outcome = gwctl("key", "create", "--project", "prj_search")
    assert outcome.code == 1
    assert complaint in outcome.stderr
    assert gwctl("key", "list").code == 0


def test_a_redis_that_is_away_is_said_to_be_away(
    gwctl: Gwctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://:hunter2@127.0.0.1:{free_port()}/0")
    outcome = gwctl("project", "list")
    assert outcome.code == 1
    assert outcome.stderr.startswith("gwctl: Redis is not available (ConnectionError: ")
    assert outcome.stderr.endswith(
        "). REDIS_URL says where it is, or GATEWAY_ADMIN_URL where a gateway is;"
        " for those of `make run`: . .run/env\n"
    )
    assert ".)" not in outcome.stderr
    assert "hunter2" not in outcome.stderr


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1",
        "redis://:12/hunter2@127.0.0.1:6379/0",
        "redis://:12#hunter2@127.0.0.1:6379/0",
        "redis://:hunter2/12@127.0.0.1:6379/0",
        "redis://:hunter2?12@127.0.0.1:6379/0",
        "redis://:hunter2@127.0.0.1:port/0",
        "redis://:hunter2@127.0.0.1:6379/0?hunter2=1",
        "redis://:hunter2@127.0.0.1:6379/0?db=hunter2",
        f"redis://:hunter2@{'h' * 64}/0",
    ],
)
def test_a_wrong_redis_url_is_explained_and_not_quoted(
    gwctl: Gwctl, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    outcome = gwctl("project", "list")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith("gwctl: REDIS_URL is wrong: it should look like redis://")
    assert len(outcome.stderr.splitlines()) == 1
    assert "hunter2" not in outcome.stderr


def _leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    among = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not among:
        yield parser
    for each in among:
        for child in each.choices.values():
            yield from _leaves(child)


def test_the_help_of_every_command_teaches_with_examples_that_can_be_said() -> None:
    leaves = list(_leaves(parser()))
    assert len(leaves) > 40
    for leaf in leaves:
        examples = re.findall(r"^  (gwctl .*)$", leaf.format_help(), re.MULTILINE)
        assert examples, leaf.prog
        for example in examples:
            assert example.startswith(leaf.prog), example
            words = shlex.split(re.split(r" [|>] ", example)[0])[1:]
            assert parser().parse_args(words).command is not None
    examples = re.findall(r"^  (gwctl .*)$", parser().format_help(), re.MULTILINE)
    for example in examples:
        parser().parse_args(shlex.split(example)[1:])


def test_the_help_is_shown() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "gateway.gwctl", "--help"],
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "GATEWAY_ADMIN_URL" in shown.stdout
