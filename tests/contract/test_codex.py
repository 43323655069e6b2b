"""Codex CLI at work in a directory, with the running gateway as its model.

The prompt makes the simulator call Codex's own shell tool; what comes next stands in
the files that the commands print, because the newest directive of a prompt counts.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.conftest import NODE_MODULES, client_environment, node
from tests.stack.demo import Tenant
from tests.stack.gateway import start_gateway
from tests.stack.process import free_port
from tests.stack.product import PEPPERS, Product

# The whole of docs/clients.md, but for the retries: Codex tries five times more.
CONFIG = """
model = "gpt-oss-120b"
model_provider = "gateway"
model_context_window = 131072
web_search = "disabled"
check_for_update_on_startup = false

[agents]
enabled = false

[analytics]
enabled = false

[model_providers.gateway]
name = "Gateway"
base_url = "{url}/v1"
env_key = "GATEWAY_API_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
HELLO = 'SIM: {"text": "Hello."}'


@dataclass(frozen=True)
class Codex:
    """`codex exec`, for one tenant, in a directory of its own."""

    product: Product
    tenant: Tenant
    home: Path
    work: Path

    def run(self, prompt: str, *options: str, key: str | None = None) -> list[dict[str, Any]]:
        """The events that it prints."""
        done = subprocess.run(
            [
                node(),
                str(NODE_MODULES / "@openai" / "codex" / "bin" / "codex.js"),
                "exec",
                "--json",
                "--skip-git-repo-check",
                # Its sandbox is the kernel's, and may be missing; our commands are harmless.
                *("--sandbox", "danger-full-access"),
                *options,
                prompt,
            ],
            env={
                **client_environment(self.home, self.product.url, key or self.tenant.key),
                "CODEX_HOME": str(self.home),
            },
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def codex(product: Product, tmp_path: Path) -> Codex:
    node()
    made = Codex(product, product.new_project(), tmp_path / "home", tmp_path / "work")
    made.home.mkdir()
    made.work.mkdir()
    (made.home / "config.toml").write_text(CONFIG.format(url=product.url))
    return made


def directive_to_run(command: str) -> str:
    """A line that has the simulator think, and then call Codex's shell tool."""
    raw = (
        "<|channel|>analysis<|message|>One step more.<|end|>"
        "<|start|>assistant<|channel|>commentary to=functions.exec_command <|constrain|>json"
        f"<|message|>{json.dumps({'cmd': command})}<|call|>"
    )
    return f"SIM: {json.dumps({'raw': raw})}\n"


def completed(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    return [item for item in items if item["type"] == kind]


def complaint(events: list[dict[str, Any]]) -> str:
    assert events[-1]["type"] == "turn.failed"
    message: str = events[-1]["error"]["message"]
    return message


def test_codex_runs_commands_one_after_the_other_until_the_model_is_done(
    product: Product, codex: Codex
) -> None:
    (codex.work / "two.txt").write_text(directive_to_run("echo made > made.txt; cat three.txt"))
    (codex.work / "three.txt").write_text('SIM: {"text": "All steps are done."}\n')

    events = codex.run(f"Do the steps.\n{directive_to_run('cat two.txt')}")

    commands = completed(events, "command_execution")
    assert [command["exit_code"] for command in commands] == [0, 0]
    assert (codex.work / "made.txt").read_text() == "made\n"
    assert [item["text"] for item in completed(events, "agent_message")] == ["All steps are done."]
    assert events[-1]["type"] == "turn.completed"
    bill = product.usage(codex.tenant.project_id)
    assert bill["requests"] == 3
    assert bill["input_tokens"] == events[-1]["usage"]["input_tokens"]
    assert bill["output_tokens"] == events[-1]["usage"]["output_tokens"]


def test_codex_goes_on_with_an_earlier_session(codex: Codex) -> None:
    first = codex.run(HELLO)
    second = codex.run('SIM: {"text": "Hello again."}', "resume", first[0]["thread_id"])

    assert second[0]["thread_id"] == first[0]["thread_id"]
    assert [item["text"] for item in completed(second, "agent_message")] == ["Hello again."]


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.replace('web_search = "disabled"', ""),
        lambda config: config.replace("enabled = false", "enabled = true", 1),
    ],
    ids=["web_search", "agents"],
)
def test_codex_is_told_which_of_its_tools_is_not_served(
    codex: Codex, change: Callable[[str], str]
) -> None:
    config = codex.home / "config.toml"
    config.write_text(change(config.read_text()))

    assert json.loads(complaint(codex.run(HELLO)))["error"]["code"] == "unsupported_tool"


def test_codex_works_with_its_own_settings_where_such_tools_are_dropped(
    product: Product, codex: Codex, tmp_path: Path
) -> None:
    port, ops_port = free_port(), free_port()
    with start_gateway(
        port,
        ops_port,
        tmp_path,
        redis_url=product.redis_url,
        workers=product.triton_address,
        peppers=PEPPERS,
        env={"GATEWAY_UNSUPPORTED_TOOLS": "drop"},
    ):
        config = CONFIG.format(url=f"http://127.0.0.1:{port}")
        config = config.replace('web_search = "disabled"', "")
        config = config.replace("enabled = false", "enabled = true", 1)
        (codex.home / "config.toml").write_text(config)
        (codex.work / "two.txt").write_text('SIM: {"text": "Done."}\n')

        events = codex.run(f"Do it.\n{directive_to_run('cat two.txt')}")

        assert [item["text"] for item in completed(events, "agent_message")] == ["Done."]
        metrics = httpx.get(f"http://127.0.0.1:{ops_port}/metrics").text
        assert 'gw_dropped_total{kind="tool"}' in metrics


def test_codex_says_what_went_wrong(codex: Codex) -> None:
    assert "401 Unauthorized: Incorrect API key" in complaint(codex.run(HELLO, key="gwk_wrong"))
    assert "The model failed" in complaint(codex.run('SIM: {"fail_after": 20}'))


def test_codex_gets_an_answer_that_follows_a_schema(codex: Codex) -> None:
    (codex.work / "schema.json").write_text(
        json.dumps(
            {
                "type": "object",
                "properties": {"name": {"type": "string"}},
                "required": ["name"],
                "additionalProperties": False,
            }
        )
    )
    events = codex.run("Name a city.", "--output-schema", "schema.json")
    [answer] = completed(events, "agent_message")
    assert list(json.loads(answer["text"])) == ["name"]
