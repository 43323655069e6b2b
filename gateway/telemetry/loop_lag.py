"""How late the event loop is: whatever holds it up holds up every stream there is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Never

import anyio

INTERVAL_S = 0.1


async def measure_loop_lag(observe: Callable[[float], object]) -> Never:
    """Tell *observe*, ten times a second, by how many seconds it was too late. Ends by cancellation."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL_S
        await anyio.sleep(INTERVAL_S)
        observe(max(0.0, loop.time() - due))
