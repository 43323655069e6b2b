"""The process in which tenants' JSON schemas are compiled: `SchemaCompiler` starts it.

It is a process because a schema can end it: 4 KB of `allOf` over patterns make
llguidance 0.7.29 ask for gigabytes and abort, which no `except` sees. So it has
little memory, each job has little CPU time, and the kernel ends it if a job
takes more. It is run as a file, with nothing of the gateway's imported: it
starts in 0.1 s and knows no secrets.

    in     a line for each job: a JSON array of schemas, each as a string
    out    a line for each schema: what the compiler has against it, null or a sentence

What is compiled is what a worker compiles, but for two things: each schema
stands alone, and the vocabulary is the 256 bytes. The lexer, whose states are
what explodes, is the same for any vocabulary; the real one takes 1.3 s to load.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

MEMORY_LIMIT_BYTES = 256 << 20
# An engine compiles again, between two tokens of everybody's.
SCHEMA_CPU_LIMIT_S = 0.5
# All schemas of one request; 128 small tools take 0.2 s.
JOB_CPU_LIMIT_S = 2.0

_MAX_COMPLAINT_CHARS = 300


class _Bytes:
    """A vocabulary of single bytes, in the form that llguidance reads."""

    tokens = [bytes([byte]) for byte in range(256)] + [b"\xff<|return|>"]
    special_token_ids = [256]
    eos_token_id = 256
    bos_token_id = None
    unk_token_id = None

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A terminal's Ctrl-C is for the gateway, which ends us when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    vocabulary = LLTokenizer(TokenizerWrapper(_Bytes()))
    for job in sys.stdin.buffer:
        job_ends_at = time.process_time() + JOB_CPU_LIMIT_S
        for schema in json.loads(job):
            # CPU time, not time: a busy machine makes no schema invalid. SIGPROF kills.
            left_s = max(job_ends_at - time.process_time(), 0.001)
            signal.setitimer(signal.ITIMER_PROF, min(left_s, SCHEMA_CPU_LIMIT_S))
            print(json.dumps(complaint(schema, vocabulary)), flush=True)
        signal.setitimer(signal.ITIMER_PROF, 0)


def complaint(schema: str, vocabulary: LLTokenizer) -> str | None:
    """What the compiler has against *schema*; None if it can be enforced."""
    try:
        # As the worker has it: a model that may indent can do so for ever.
        compact = {**json.loads(schema), "x-guidance": {"whitespace_flexible": False}}
        grammar = LLMatcher.grammar_from_json_schema(json.dumps(compact))
        matcher = LLMatcher(vocabulary, grammar, log_level=0)
        if not matcher.is_error():
            matcher.compute_bitmask()
    except (ValueError, RecursionError) as exc:
        return _shortened(str(exc))
    return _shortened(matcher.get_error()) if matcher.is_error() else None


def _shortened(text: str) -> str:
    # After the sentence come the compiler's own statistics.
    words = " ".join(text.split("\n<state>")[0].split())
    return words[:_MAX_COMPLAINT_CHARS] or "it cannot be compiled"


if __name__ == "__main__":
    main()
