"""Which schemas are refused before an engine sees them, and that none does harm."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from gateway.responses.constraint import SentSchema
from gateway.responses.errors import ApiError
from gateway.schema_compiler import MAX_WAITING_OF_A_PROJECT, SchemaCompiler

FINE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
# 4 KB that make llguidance 0.7.29 ask for gigabytes, and abort its process.
MEMORY_BOMB = {
    "type": "object",
    "properties": {
        "deep": {"allOf": [{"type": "string", "pattern": f"(.*a){{{n}}}"} for n in range(1, 60)]}
    },
}
# Half a second would do for half of them.
CPU_BOMB = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(15_000)}}


@pytest.fixture
async def compiler() -> AsyncIterator[SchemaCompiler]:
    async with SchemaCompiler() as compiler:
        yield compiler


def sent(schema: object, param: str = "text.format.schema") -> SentSchema:
    return SentSchema(param, json.dumps(schema))


async def refusal(
    compiler: SchemaCompiler, *schemas: SentSchema, project: str = "project1"
) -> ApiError:
    with pytest.raises(ApiError) as raised:
        await compiler.check(project, schemas)
    return raised.value


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "objekt"}, "Invalid type: objekt"),
        ({"not": {"type": "string"}}, 'Unimplemented keys: ["not"]'),
        ({"$ref": "#/$defs/nowhere"}, "Pointer '/$defs/nowhere' does not exist"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"type": "string", "pattern": "("}, "unclosed group"),
        ({"type": "integer", "multipleOf": 999_999_937}, "fuel exhausted"),
        (MEMORY_BOMB, "it takes too"),
    ],
    ids=["type", "keyword", "ref", "look-around", "regex", "fuel", "memory"],
)
async def test_a_schema_that_cannot_be_enforced_is_refused_with_the_reason(
    compiler: SchemaCompiler, schema: object, said: str
) -> None:
    refused = await refusal(compiler, sent(FINE, "tools[0].parameters"), sent(schema))

    assert (refused.status, refused.code) == (400, "invalid_json_schema")
    assert refused.param == "text.format.schema"
    assert said in refused.message
    assert "\n" not in refused.message
    await compiler.check("project1", [sent(FINE)])  # whatever became of the process


async def test_a_schema_that_takes_too_long_is_refused(compiler: SchemaCompiler) -> None:
    began = time.monotonic()
    refused = await refusal(compiler, sent(CPU_BOMB))
    assert "it takes too long to compile" in refused.message
    assert time.monotonic() - began < 10


async def test_what_is_known_is_not_compiled_again(
    compiler: SchemaCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    await compiler.check("project1", [sent(FINE)])
    await refusal(compiler, sent(MEMORY_BOMB))
    monkeypatch.setattr(sys, "executable", "/nowhere")
    compiler._idle.clear()

    await compiler.check("project1", [sent(FINE)])
    await refusal(compiler, sent(MEMORY_BOMB))
    with pytest.raises(FileNotFoundError):
        # Another project's knowledge is its own.
        await compiler.check("project2", [sent(FINE)])


async def test_the_bombs_of_one_project_do_not_hold_up_another(compiler: SchemaCompiler) -> None:
    await compiler.check("project2", [sent({})])
    ended: list[str] = []

    async def bomb(number: int) -> None:
        await refusal(compiler, sent({**MEMORY_BOMB, "title": str(number)}))
        ended.append("bomb")

    async with anyio.create_task_group() as tasks:
        for number in range(2):
            tasks.start_soon(bomb, number)
        await anyio.wait_all_tasks_blocked()
        await compiler.check("project2", [sent(FINE)])
        ended.append("fine")
    assert ended.index("fine") == 0


async def test_a_project_cannot_let_any_number_of_requests_wait(compiler: SchemaCompiler) -> None:
    statuses: list[int] = []

    async def bomb(number: int) -> None:
        statuses.append(
            (await refusal(compiler, sent({"type": "objekt", "title": str(number)}))).status
        )

    async with anyio.create_task_group() as tasks:
        for number in range(MAX_WAITING_OF_A_PROJECT + 5):
            tasks.start_soon(bomb, number)
    assert sorted(statuses) == [400] * MAX_WAITING_OF_A_PROJECT + [429] * 5


async def test_a_client_that_leaves_takes_its_process_along(compiler: SchemaCompiler) -> None:
    with anyio.move_on_after(0.05) as left:
        await compiler.check("project1", [sent(MEMORY_BOMB)])
    assert left.cancelled_caught

    await compiler.check("project1", [sent(FINE)])
    assert (await refusal(compiler, sent(MEMORY_BOMB))).status == 400


async def test_arguments_of_128_tools_are_compiled_at_once(compiler: SchemaCompiler) -> None:
    def tool(number: int) -> dict[str, Any]:
        return {**FINE, "title": str(number)}

    await compiler.check("p", [sent(tool(n), f"tools[{n}].parameters") for n in range(128)])
    bad = [sent(tool(n) | ({"type": "x"} if n == 99 else {}), f"tools[{n}]") for n in range(128)]
    assert (await refusal(compiler, *bad)).param == "tools[99]"


async def test_a_process_that_somebody_else_ended_is_replaced(compiler: SchemaCompiler) -> None:
    await compiler.check("project1", [sent(FINE)])
    (idle,) = compiler._idle
    idle._process.kill()
    await idle._process.wait()

    await compiler.check("project1", [sent({**FINE, "title": "another"})])


async def test_a_schema_is_not_blamed_for_good_for_the_time_that_others_took(
    compiler: SchemaCompiler,
) -> None:
    slow = sent(CPU_BOMB, "tools[1].parameters")
    assert (await refusal(compiler, sent(FINE), slow)).param == slow.param
    assert compiler._kept.popitem()[1] is None
    assert not compiler._kept


async def test_an_observer_is_told_of_checks_but_not_of_what_is_known() -> None:
    told: list[str] = []
    async with SchemaCompiler(observe=lambda result, seconds: told.append(result)) as compiler:
        await compiler.check("project1", [sent(FINE)])
        await compiler.check("project1", [sent(FINE)])
        await refusal(compiler, sent({"type": "objekt"}))
    assert told == ["accepted", "refused"]
