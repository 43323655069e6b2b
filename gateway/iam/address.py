"""Where requests come from: addresses, ranges, and whom to believe about them. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# Longer than any address with a zone; so that nobody makes us parse a header of 64 kB.
_MAX_LENGTH = 64
MAX_RANGES = 100


def read_address(text: str) -> Address | None:
    """An address as HTTP servers and proxies write it, or None. IPv4 in IPv6 is IPv4."""
    text = text.strip()
    if not text or len(text) > _MAX_LENGTH:
        return None
    if text[0] == "[":  # [2001:db8::1]:443
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:443
        text = text.partition(":")[0]
    return _parsed(text)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Address | None:
    """Who asks, asks again."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def client_address(
    peer: str | None, forwarded_for: Sequence[str], *, trusted_hops: int
) -> Address | None:
    """Who asks: the peer, or whom the proxies in front of us have seen.

    *forwarded_for*: the values of X-Forwarded-For, in order. *trusted_hops*: how many of
    our own proxies a request passes. Each appends whom it has seen, so the one that counts
    stands so far from the right; what is left of it, the client may have written itself.
    None if there is no address to believe.
    """
    if trusted_hops == 0:
        return None if peer is None else read_address(peer)
    seen = [each for value in forwarded_for for each in value.split(",")]
    return None if len(seen) < trusted_hops else read_address(seen[-trusted_hops])


def source_of(address: Address | None) -> str:
    """Whom to count together: an IPv4 address, or a /64, which is what one IPv6 client has."""
    if address is None:
        return ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return f"{int(address) >> 64:x}::/64"


@dataclass(frozen=True, slots=True)
class Ranges:
    """CIDRs, made to be compared: 0.3 us each."""

    texts: tuple[str, ...]
    _networks: tuple[tuple[int, int, int], ...]  # version, network, shift

    @classmethod
    def read(cls, texts: Sequence[str]) -> Ranges:
        """Raises ValueError for what is no range: host bits must be 0, as in 10.0.0.0/8."""
        if len(texts) > MAX_RANGES:
            raise ValueError(f"there are {len(texts)} address ranges; at most {MAX_RANGES} may be")
        networks = []
        for text in texts:
            try:
                network = ipaddress.ip_network(text)
            except ValueError as exc:
                raise ValueError(f"{text!r} is no address range such as 10.0.0.0/8") from exc
            shift = network.max_prefixlen - network.prefixlen
            networks.append((network.version, int(network.network_address) >> shift, shift))
        return cls(tuple(texts), tuple(networks))

    def __contains__(self, address: Address) -> bool:
        version, number = address.version, int(address)
        return any(
            version == each and number >> shift == network
            for each, network, shift in self._networks
        )
