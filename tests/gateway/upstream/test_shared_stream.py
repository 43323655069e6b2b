"""Chunks of many generations on one stream. What holds on either is tested in the other files."""

from __future__ import annotations

import asyncio
import tracemalloc
from dataclasses import replace
from functools import partial

import anyio
import grpc
import pytest

from gateway.upstream.codec import ChunkReader, Delivered
from gateway.upstream.failures import AttemptFailed, ContractViolation, Reason
from gateway.upstream.shared_stream import Seat, SharedStream
from gateway.upstream.sharing import SHARE_FROM
from tests.gateway.upstream.conftest import GENERATION, Sharing, StartUpstream, Upstream, until
from tests.gateway.upstream.fake_triton import FakeTriton, Stream, count_to, count_to_three
from wire.v1 import generation_pb2 as wire


@pytest.fixture
def sharing() -> Sharing:
    """Here the workers know of shared streams, and the gateway shares as it does by itself."""
    return Sharing.CHUNKS


async def _together(upstream: Upstream, count: int) -> list[list[int]]:
    """The tokens of so many generations at once."""
    return list(await asyncio.gather(*(upstream.token_ids() for _ in range(count))))


async def _count_when(go: asyncio.Event, stream: Stream) -> None:
    await stream.send()
    await go.wait()
    await count_to(stream, 3)


async def test_few_generations_have_streams_of_their_own(start_upstream: StartUpstream) -> None:
    upstream = await start_upstream(count_to_three)
    assert await _together(upstream, SHARE_FROM - 1) == [[1, 2, 3]] * 3
    assert upstream.workers[0].shared_asked_for == 0


async def test_many_share_one(start_upstream: StartUpstream) -> None:
    go = asyncio.Event()
    upstream = await start_upstream(partial(_count_when, go))
    answers = asyncio.gather(*(upstream.token_ids() for _ in range(40)))
    await until(lambda: len(upstream.workers[0].asked) == 40)
    go.set()

    assert await answers == [[1, 2, 3]] * 40
    assert upstream.workers[0].shared_asked_for == 1


async def test_a_worker_that_knows_of_none_is_not_asked_again_and_again(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(count_to_three)
    (worker,) = upstream.workers
    worker.shares = False

    for _ in range(3):
        assert await _together(upstream, 20) == [[1, 2, 3]] * 20
    assert worker.shared_asked_for == 1


async def test_log_probabilities_come_on_a_stream_of_their_own(
    start_upstream: StartUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.sharing.SHARE_FROM", 1)

    async def script(stream: Stream) -> None:
        assert stream.shared is None
        await stream.send_chunk(
            wire.GenerateChunk(
                token_ids=[1],
                logprobs=[wire.TokenLogprob(logprob=-1)],
                started=wire.Started(engine="fake"),
            )
        )
        stream.tokens = 1
        await stream.finish()

    upstream = await start_upstream(script)
    assert await upstream.token_ids(replace(GENERATION, top_logprobs=0)) == [1]


@pytest.fixture
def sharing_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.sharing.SHARE_FROM", 1)


async def _break(worker: FakeTriton, message: bytes) -> None:
    """Have it say nonsense on its shared stream."""
    (shared,) = worker.shared.values()
    await shared.send_output(message)


@pytest.mark.usefixtures("sharing_from_one")
async def test_a_shared_stream_that_breaks_is_taken_over_from_by_all(
    start_upstream: StartUpstream,
) -> None:
    async def stop(stream: Stream) -> None:
        await stream.send([1])
        await stream.hang()

    upstream = await start_upstream(stop, count_to_three)
    (breaks, other) = upstream.workers
    answers = asyncio.gather(*(upstream.token_ids() for _ in range(5)))
    await until(lambda: len(breaks.asked) + len(other.asked) == 5)
    on_it = len(breaks.asked)
    await until(lambda: bool(breaks.shared))
    await anyio.sleep(0.1)
    await _break(breaks, b"nonsense")

    assert await answers == [[1, 2, 3]] * 5
    assert upstream.incidents.happened.count("failed contract_violation") == on_it
    await until(lambda: breaks.cancelled == on_it and not breaks.shared)


@pytest.mark.parametrize("sharing", [Sharing.CHUNKS, Sharing.REQUESTS])
@pytest.mark.usefixtures("sharing_from_one")
async def test_who_leaves_is_alone_in_leaving(start_upstream: StartUpstream) -> None:
    go = asyncio.Event()
    upstream = await start_upstream(partial(_count_when, go))
    (worker,) = upstream.workers
    async with upstream.engine.generate(GENERATION) as leaves:
        await anext(leaves)
        stays = asyncio.gather(upstream.token_ids())
        await until(lambda: len(worker.asked) == 2)
    await until(lambda: worker.cancelled == 1)
    go.set()

    assert (await stays)[0] == [1, 2, 3]
    assert worker.cancelled == len(worker.shared) == 1


@pytest.mark.usefixtures("sharing_from_one")
async def test_a_stream_that_nobody_uses_is_left(start_upstream: StartUpstream) -> None:
    upstream = await start_upstream(count_to_three, probe_interval_s=0.05)
    (worker,) = upstream.workers
    assert await upstream.token_ids() == [1, 2, 3]

    await until(lambda: worker.shared_asked_for == 1 and not worker.shared)
    assert await upstream.token_ids() == [1, 2, 3]
    assert worker.shared_asked_for == 2


@pytest.mark.usefixtures("sharing_from_one")
async def test_a_worker_that_is_silent_there_gets_another_chance_on_a_new_one(
    start_upstream: StartUpstream,
) -> None:
    upstream = await start_upstream(Stream.hang, count_to_three)
    (silent, other) = upstream.workers

    assert await upstream.token_ids() == [1, 2, 3]

    assert upstream.incidents.happened[0] == "failed silent"
    await until(lambda: not silent.shared)
    assert len(other.shared) == 1


@pytest.mark.usefixtures("sharing_from_one")
async def test_the_last_chunks_may_come_after_the_end_of_the_own_stream(
    start_upstream: StartUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.shared_stream.LAST_CHUNKS_S", 5)
    late: list[Stream] = []

    async def script(stream: Stream) -> None:
        await stream.send([1])
        late.append(stream)

    upstream = await start_upstream(script)
    answer = asyncio.gather(upstream.token_ids())
    await until(lambda: bool(late))
    await anyio.sleep(0.1)
    await late[0].send([2])
    await late[0].finish()

    assert (await answer)[0] == [1, 2]


@pytest.mark.usefixtures("sharing_from_one")
async def test_what_triton_says_instead_of_the_model_is_heard(
    start_upstream: StartUpstream,
) -> None:
    async def script(stream: Stream) -> None:
        await stream.send([1])
        await stream.triton_error("Stub process is not healthy")
        await stream.hang()

    upstream = await start_upstream(script, count_to_three)
    assert await upstream.token_ids() == [1, 2, 3]
    assert upstream.incidents.happened == ["failed triton_error", "taken over behind 1"]


# --- one seat --------------------------------------------------------------------


class _Call:
    def cancel(self) -> None:
        pass


def _chunk(seq: int, **fields: object) -> bytes:
    started = wire.Started(engine="fake") if seq == 0 else None
    return wire.GenerateChunk(seq=seq, started=started, **fields).SerializeToString()  # type: ignore[arg-type]


@pytest.fixture
async def seat() -> Seat:
    return SharedStream("s-1", _Call(), model_name="m").seat()


async def test_what_nobody_reads_is_kept_as_little_more_than_its_tokens(seat: Seat) -> None:
    tokens = 100_000
    tracemalloc.start()
    for seq in range(tokens):
        seat.put(_chunk(seq, token_ids=[seq]))
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept_bytes < 14 * tokens

    reader = ChunkReader("w", replace(GENERATION, max_output_tokens=tokens))
    read: list[int] = []
    while len(read) < tokens:
        piece = reader.receive(await seat.read(said_all=False)).token_ids
        assert len(piece) <= 64, "more would stop everybody else for a while"
        read += piece
    assert read == list(range(tokens))
    seat.put(
        _chunk(tokens, finished=wire.Finished(reason=wire.Finished.STOP, completion_tokens=tokens))
    )
    assert reader.receive(await seat.read(said_all=False)).finish_reason is not None


async def test_chunks_come_before_the_failure_that_came_after_them(seat: Seat) -> None:
    seat.put(_chunk(0, token_ids=[1]))
    seat.fail(AttemptFailed(Reason.UNREACHABLE, "gone"))
    seat.fail(AttemptFailed(Reason.SILENT, "the first failure is the one that counts"))
    seat.cut_off(AttemptFailed(Reason.SILENT, "and so it is"))

    assert await seat.read(said_all=False) == Delivered(_chunk(0, token_ids=[1]), 1)
    with pytest.raises(AttemptFailed, match="gone"):
        await seat.read(said_all=False)


async def test_a_shared_stream_that_ends_is_no_matter_to_who_has_heard_all(seat: Seat) -> None:
    seat.own_ended()
    seat.cut_off(AttemptFailed(Reason.DRAINING, "about to stop"))
    assert await seat.read(said_all=True) is grpc.aio.EOF


async def test_last_chunks_are_waited_for_while_there_is_much_to_read(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.shared_stream.LAST_CHUNKS_S", 0.1)
    stream = seat._stream
    seat.own_ended()

    async def others_are_told() -> None:
        for _ in range(30):
            stream.heard_at = asyncio.get_running_loop().time()
            await anyio.sleep(0.01)
        seat.put(_chunk(0, token_ids=[1]))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others_are_told)
        assert await seat.read(said_all=False) == Delivered(_chunk(0, token_ids=[1]), 1)
        assert await seat.read(said_all=False) is grpc.aio.EOF


async def test_what_comes_on_the_own_stream_is_not_read_ahead(seat: Seat) -> None:
    put: list[int] = []

    async def own_stream() -> None:
        for number in range(3):
            put.append(number)
            await seat.put_own(None)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(own_stream)
        await anyio.sleep(0.05)
        assert put == [0]
        assert await seat.read(said_all=False) is None
        await anyio.sleep(0.05)
        assert put == [0, 1]
        seat.leave(said_all=False)  # nobody is kept waiting by who has gone
    assert put == [0, 1, 2]


@pytest.mark.parametrize(
    "seqs", [[1], [0, 2], [0, 1, 1], [0, 0]], ids=lambda seqs: "-".join(map(str, seqs))
)
async def test_chunks_that_are_missing_or_repeated_are_noticed(seat: Seat, seqs: list[int]) -> None:
    for seq in seqs:
        seat.put(_chunk(seq))
    with pytest.raises(ContractViolation):
        ChunkReader("w", GENERATION).receive(await seat.read(said_all=False))
