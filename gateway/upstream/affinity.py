"""Which generations belong to one worker, because it holds their KV blocks. Pure.

The turns of a conversation begin alike. What they have in common from the first one
on is everything up to the first message of the user; so that, with the salt that
separates projects, names the conversation, on every gateway and without any state.
Clients that know better say so with `prompt_cache_key`.

A worker is chosen by rendezvous hashing: each key ranks the workers in an order of
its own, and when one goes only its keys move.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

from gateway.generation import Generation
from wire.vocabulary import END, START, USER

_MASK = (1 << 64) - 1


def affinity(generation: Generation) -> int:
    """64 bits that generations with a prefix in common share."""
    if generation.cache_key:
        return _hash(generation.cache_salt, generation.cache_key.encode())
    # A prompt that was generated on by another worker still begins as it did.
    return _hash(generation.cache_salt, array("i", _beginning(generation.prompt)).tobytes())


def worker_hash(address: str) -> int:
    """What is `rank`ed with affinities; computed once a worker."""
    return _hash("", address.encode())


def rank(affinity: int, worker: int) -> int:
    """How well they go together: the worker with the highest rank is a key's home."""
    # The finalizer of SplitMix64: 0.4 us, where a hash function takes 1 to 2.
    mixed = (affinity ^ worker) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


def _beginning(prompt: Sequence[int]) -> Sequence[int]:
    """Up to the end of the first message of the user; all of a prompt that has none."""
    at = 0
    try:
        while True:
            at = prompt.index(START, at) + 1  # in C, however long the prompt is
            if at < len(prompt) and prompt[at] == USER:
                return prompt[: prompt.index(END, at) + 1]
    except ValueError:
        return prompt


def _hash(salt: str, content: bytes) -> int:
    digest = hashlib.blake2b(content, digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest, "big")
