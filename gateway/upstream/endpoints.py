"""Where the workers are: addresses that stay, and names whose addresses come and go.

A headless Service has one address a pod that is ready, and changes them whenever pods
do. gRPC's own resolver would hide which worker it has picked; choosing one is what we
are for, so names are resolved here, again and again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence

_log = logging.getLogger(__name__)

DNS_PREFIX = "dns:"
# A resolver that does not answer must not keep the known workers from being probed.
RESOLVE_TIMEOUT_S = 5.0

# host, port -> addresses, as `host:port`. Raises OSError.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve_with_system(host: str, port: int) -> Sequence[str]:
    """What the resolver of this machine says: /etc/hosts, and DNS over its search list."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # For IPv6 the first two of four.
    return [_joined(address[0], port) for *_, address in found]


class Endpoints:
    """The workers' addresses as they are now.

    Args:
        configured: `host:port`, or `dns:host:port` for all the addresses of a name.
        resolve: finds them.
    """

    def __init__(
        self, configured: Sequence[str], *, resolve: Resolve = resolve_with_system
    ) -> None:
        self._configured = configured
        self._resolve = resolve
        self._known: dict[str, Sequence[str]] = {}  # what each name last had
        self._lost: set[str] = set()  # names that could not be resolved: logged once

    async def addresses(self) -> list[str]:
        """Each once. A name that cannot be resolved keeps the addresses that it had.

        No answer is no reason to give up workers that answer.
        """
        found: dict[str, None] = {}
        for entry in self._configured:
            if entry.startswith(DNS_PREFIX):
                found.update(dict.fromkeys(await self._of_name(entry)))
            else:
                found[entry] = None
        return list(found)

    async def _of_name(self, entry: str) -> Sequence[str]:
        host, _, port = entry.removeprefix(DNS_PREFIX).rpartition(":")
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                addresses = await self._resolve(host, int(port))
        except (OSError, UnicodeError) as exc:  # TimeoutError is one
            if entry not in self._lost:
                self._lost.add(entry)
                _log.warning("%s cannot be resolved: %s", host, str(exc) or "no answer")
        else:
            self._lost.discard(entry)
            self._known[entry] = addresses
        return self._known.get(entry, ())


def _joined(host: str | int, port: int) -> str:
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
