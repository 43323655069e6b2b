"""How much of their history do the turns of conversations find in a worker's cache?

The gateway's own choice of workers and the simulator's prefix cache, in virtual time:
conversations of a few projects, which begin with a system prompt of their project and
grow by what was said. Beside it one worker that sees everything (as much as there is to
find), round robin, and the least loaded worker, which know nothing of conversations.

Ends with exit code 1 if less than 90 % of what one worker finds is found over all.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.command import at_least_one, run_command
from gateway.generation import Generation, Sampling
from gateway.upstream.affinity import affinity, worker_hash
from gateway.upstream.choice import choose
from wire.vocabulary import ASSISTANT, END, START, USER
from workers.engines.simulator.prefix_cache import PrefixCache

TARGET = 0.9
TOKENS_PER_SECOND = 50
THINKING_S = 20.0
_SYSTEM_TOKENS = 1_500
_QUESTION_TOKENS = (20, 400)
_ANSWER_TOKENS = (50, 800)


@dataclass(eq=False)
class Worker:
    hash: int
    cache: PrefixCache
    outstanding_tokens: int = 0


@dataclass(eq=False)
class Conversation:
    project: str
    history: list[int]
    turns_left: int
    outstanding: tuple[Worker, int] | None = field(default=None)


Choose = Callable[[Sequence[Worker], int], Worker]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.affinity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workers", type=at_least_one, default=4)
    parser.add_argument("--conversations", type=at_least_one, default=400, help="at the same time")
    parser.add_argument("--turns", type=at_least_one, default=6, help="of each")
    parser.add_argument("--projects", type=at_least_one, default=8)
    parser.add_argument(
        "--kv-blocks", type=at_least_one, default=60_000, help="of each worker, 32 tokens"
    )
    arguments = parser.parse_args()

    turn = itertools.count()
    choices: dict[str, tuple[int, Choose]] = {
        "one worker": (1, lambda workers, key: workers[0]),
        "the gateway's choice": (arguments.workers, lambda workers, key: choose(workers, key)),
        "least outstanding tokens": (
            arguments.workers,
            lambda workers, key: min(workers, key=lambda each: each.outstanding_tokens),
        ),
        "round robin": (
            arguments.workers,
            lambda workers, key: workers[next(turn) % len(workers)],
        ),
    }
    found = {}
    print(f"{'':26}{'cached':>9}{'of one':>9}{'busiest / mean':>17}")
    for name, (count, chooser) in choices.items():
        # One that sees everything holds as much as all of them.
        blocks = arguments.kv_blocks * (arguments.workers if count == 1 else 1)
        found[name], balance = play(arguments, count, blocks, chooser)
        share = found[name] / found["one worker"]
        print(f"{name:26}{found[name]:>9.1%}{share:>9.1%}{balance:>17.2f}")
    reached = found["the gateway's choice"] / found["one worker"]
    print(f"target: at least {TARGET:.0%} of what one worker finds")
    return 0 if reached >= TARGET else 1


def play(
    arguments: argparse.Namespace, count: int, blocks: int, chooser: Choose
) -> tuple[float, float]:
    """The share of prompt tokens that were cached; prompt tokens of the busiest worker to the mean."""
    rng = random.Random(1)
    workers = [
        Worker(worker_hash(f"10.0.0.{number}:8001"), PrefixCache(blocks)) for number in range(count)
    ]
    systems = {
        f"project-{number}": _tokens(rng, _SYSTEM_TOKENS) for number in range(arguments.projects)
    }
    order = itertools.count()
    events: list[tuple[float, int, Conversation]] = []
    for _ in range(arguments.conversations):
        project = rng.choice(list(systems))
        # <|start|>, a role, <|message|> and so on are a few tokens among thousands.
        history = [START, *systems[project], END]
        conversation = Conversation(project, history, arguments.turns)
        heapq.heappush(events, (rng.uniform(0, THINKING_S), next(order), conversation))
    read = dict.fromkeys(workers, 0)
    cached = 0
    while events:
        now, _, conversation = heapq.heappop(events)
        if conversation.outstanding is not None:  # the answer has ended; a user reads it
            worker, tokens = conversation.outstanding
            worker.outstanding_tokens -= tokens
            conversation.outstanding = None
            if conversation.turns_left:
                pause_s = rng.expovariate(1 / THINKING_S)
                heapq.heappush(events, (now + pause_s, next(order), conversation))
            continue
        conversation.turns_left -= 1
        question = _tokens(rng, rng.randint(*_QUESTION_TOKENS))
        conversation.history += [START, USER, *question, END, START, ASSISTANT]
        prompt = conversation.history
        worker = chooser(workers, affinity(_generation(prompt, conversation.project)))
        cached += worker.cache.reuse(prompt, conversation.project)
        read[worker] += len(prompt)
        answer = _tokens(rng, rng.randint(*_ANSWER_TOKENS))
        conversation.outstanding = worker, len(prompt) + len(answer)
        worker.outstanding_tokens += len(prompt) + len(answer)
        conversation.history += [*answer, END]
        ends_at = now + len(answer) / TOKENS_PER_SECOND
        heapq.heappush(events, (ends_at, next(order), conversation))
    total = sum(read.values())
    return cached / total, max(read.values()) * count / total


def _generation(prompt: Sequence[int], project: str) -> Generation:
    return Generation(
        request_id="",
        prompt=prompt,
        max_output_tokens=1,
        sampling=Sampling(),
        stop_token_ids=(),
        cache_salt=project,
        deadline_unix_ms=0,
    )


def _tokens(rng: random.Random, count: int) -> list[int]:
    return [rng.randrange(100_000) for _ in range(count)]


if __name__ == "__main__":
    run_command(main)
