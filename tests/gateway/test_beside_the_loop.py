"""Long work beside the loop: whose turn it is, and what a failure leaves behind."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import anyio
import pytest
from starlette.types import Message

from gateway.asgi.disconnect import while_connected
from gateway.beside_the_loop import BesideTheLoop


class Text:
    """Megabytes that a request is about."""


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_what_it_returns_or_raises_reaches_who_asked() -> None:
    beside = BesideTheLoop()
    assert await beside.run("prj_a", lambda: 1 + 1) == 2
    with pytest.raises(ZeroDivisionError):
        await beside.run("prj_a", lambda: 1 // 0)


async def test_a_failure_leaves_nothing_for_the_garbage_collector(no_collection: None) -> None:
    """A cycle with the text of a request in it would stay for as long as nobody collects."""
    beside = BesideTheLoop()
    gone: list[weakref.ref[Text]] = []

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def request() -> None:
        text = Text()
        gone.append(weakref.ref(text))

        def refuse(text: Text = text) -> None:
            raise ValueError("too long")

        async def work() -> None:
            await beside.run("prj_a", refuse)

        with pytest.raises(ValueError, match="too long"):
            await while_connected(receive, work)

    for _ in range(3):
        await request()
    await anyio.wait_all_tasks_blocked()
    assert [each() for each in gone] == [None, None, None]
