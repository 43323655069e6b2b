"""TensorRT-LLM 1.2.1's LLM API without a GPU: same names, checks, states and exceptions.

The model says a script; sampling, masks, stop ids and log probabilities are applied to
it as the real sampler does. `Defects` makes it behave as a release might that we did
not expect: each of the GPU checks must see the one that it is for.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import pickle
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
from llguidance import LLMatcher

from tests.workers.trtllm.fake_output import FakeLogprob, RequestError, RequestOutput, Response
from tests.workers.trtllm.fake_params import GuidedDecodingParams, SamplingParams
from wire import vocabulary
from workers.compiled_grammars import grammar_tokenizer
from workers.engines.simulator.prefix_cache import PrefixCache
from workers.engines.simulator.tokenizer import Tokenizer
from workers.engines.trtllm.llm_api import Library

_PADDED = 201_216  # of a vocabulary of 201,088
_ASSISTANT = 173_781
_ITERATION = timedelta(milliseconds=10)
_CONFIG = {
    "kv_cache_config": {
        "enable_block_reuse",
        "enable_partial_reuse",
        "copy_on_partial_reuse",
        "free_gpu_memory_fraction",
        "tokens_per_block",
        "dtype",
        "max_attention_window",
        "host_cache_size",
        "event_buffer_max_size",
    },
    "moe_config": {"backend"},
    "cuda_graph_config": {"enable_padding", "max_batch_size", "batch_sizes"},
    "scheduler_config": {"capacity_scheduler_policy", "context_chunking_policy"},
    "attention_dp_config": {"enable_balance", "batching_wait_iters", "timeout_iters"},
}
_SCALARS = {
    "model": str,
    "trust_remote_code": bool,
    "tensor_parallel_size": int,
    "pipeline_parallel_size": int,
    "moe_expert_parallel_size": int,
    "moe_tensor_parallel_size": int,
    "enable_attention_dp": bool,
    "max_batch_size": int,
    "max_num_tokens": int,
    "max_seq_len": int,
    "enable_chunked_prefill": bool,
    "guided_decoding_backend": str,
    "sampler_type": str,
    "stream_interval": int,
    "num_postprocess_workers": int,
    "return_perf_metrics": bool,
    "enable_iter_perf_stats": bool,
    "disable_overlap_scheduler": bool,
}


@dataclass(kw_only=True)
class Defects:
    """How this release differs from what we believe."""

    version: str = "1.2.1"
    unknown_argument: str = ""  # of LLM(...)
    missing_parameter: str = ""  # of SamplingParams(...)
    no_cache_salt: bool = False
    no_is_shutdown: bool = False
    other_vocabulary: bool = False
    end_id_hidden: bool = False
    end_id_means_nothing: bool = False
    stop_id_always_cut: bool = False
    stop_reason_hidden: bool = False
    one_token_more: bool = False
    not_cumulative: bool = False
    moody: bool = False  # greedy, and another answer each time
    logprobs_missing: bool = False
    logprobs_without_the_token: bool = False
    grammar_ignored: bool = False
    processor_ignored: bool = False
    late_ids: bool = False  # a processor is told all ids but the last
    pickling_fails: bool = False
    no_reuse: bool = False
    salt_ignored: bool = False
    abort_ignored: bool = False
    no_perf_metrics: bool = False
    other_statistics: bool = False
    long_prompt_refused: bool = False
    too_long_kills: bool = False
    bad_grammar_kills: bool = False
    refuses_penalties: bool = False
    streams_mixed_up: bool = False
    shutdown_leaves_it_running: bool = False


class Logits:
    """As much of a torch.Tensor as a logits processor uses."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values = values

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)

    def new_tensor(self, data: np.ndarray[Any, Any]) -> Logits:
        return Logits(data.astype(self.values.dtype))

    def add_(self, other: Logits) -> Logits:
        self.values += other.values
        return self


Model = Callable[[Sequence[int]], Sequence[int]]  # all ids so far -> likeliest first


def script(
    tokenizer: Tokenizer,
    *turns: str,
    otherwise: Sequence[str] = ("true", "{", '"', "}", "1", "a"),
) -> Model:
    """A model that says the first of *turns*, and its second choice is the next one's.

    It finds its place by what is behind the prompt's end, so it goes on with a half turn.
    """
    written = [tokenizer.encode_harmony(turn) for turn in turns]
    last = [each for text in otherwise for each in tokenizer.encode(text)]

    def candidates(ids: Sequence[int]) -> list[int]:
        begin = next(
            (
                at + 2
                for at, pair in enumerate(itertools.pairwise(ids))
                if pair == (vocabulary.START, _ASSISTANT)
            ),
            len(ids),
        )
        at = len(ids) - begin
        said = [turn[at] if at < len(turn) else vocabulary.RETURN for turn in written]
        return list(dict.fromkeys([*said, vocabulary.RETURN, *last]))

    return candidates


@dataclass(eq=False)
class _Active:
    output: RequestOutput
    ids: list[int]
    matcher: LLMatcher | None
    processor: Any
    chunks: int  # steps until the prompt is read
    generated: int = 0
    unreported: Response = field(default_factory=Response)
    aborted: bool = False


class FakeLlm:
    """tensorrt_llm.LLM. Steps on the event loop, while there is anything to do."""

    def __init__(
        self, model: Model, tokenizer: Tokenizer, defects: Defects, arguments: dict[str, Any]
    ) -> None:
        _check_arguments(arguments, defects)
        self.arguments = arguments
        self.defects = defects
        self.model = model
        self.hanging = False
        self.dead = False
        self.step_s = 0.0
        self.tokenizer = _HfTokenizer(tokenizer, broken=defects.other_vocabulary)
        self.salts: list[str | None] = []
        self.params: list[SamplingParams] = []
        self._queue: deque[_Active] = deque()
        self._batch: list[_Active] = []
        self._cache = PrefixCache(10_000)
        self._iterations: deque[dict[str, Any]] = deque(maxlen=100)
        self._ids = itertools.count(1)
        self._timer: asyncio.Handle | None = None
        self._executor: Any = SimpleNamespace(is_shutdown=lambda: self.dead)
        if defects.no_is_shutdown:
            self._executor = SimpleNamespace()
        if defects.no_cache_salt:
            self.generate_async = self._generate_without_salt  # type: ignore[method-assign,assignment]

    # --- the public API --------------------------------------------------------

    def generate_async(
        self,
        inputs: Any,
        sampling_params: SamplingParams | None = None,
        lora_request: Any = None,
        prompt_adapter_request: Any = None,
        streaming: bool = False,
        kv_cache_retention_config: Any = None,
        disaggregated_params: Any = None,
        scheduling_params: Any = None,
        cache_salt: str | None = None,
    ) -> RequestOutput:
        if self.dead:
            raise RuntimeError("LLM is shutting down")
        params = sampling_params or SamplingParams()
        ids = list(inputs["prompt_token_ids"] if isinstance(inputs, dict) else inputs)
        if not ids or not all(isinstance(each, int) for each in ids):
            raise ValueError("the prompt must be a list of token ids, and not empty")
        if self.defects.refuses_penalties and params.presence_penalty:
            raise ValueError("presence_penalty is not supported")
        chunked = self.arguments.get("enable_chunked_prefill", False)
        most = self.arguments["max_num_tokens"]
        if len(ids) > most and (not chunked or self.defects.long_prompt_refused):
            raise ValueError(f"the prompt ({len(ids)}) should not exceed max_num_tokens ({most})")
        self.salts.append(cache_salt)
        self.params.append(params)
        output = RequestOutput(next(self._ids), ids, params, abort=self._abort)
        if self.defects.no_reuse or not self._reuses:
            output.cached_tokens = 0
        else:
            salt = "" if self.defects.salt_ignored else cache_salt or ""
            output.cached_tokens = self._cache.reuse(ids, salt)
        self._enqueue(output, ids, params)
        return output

    def _generate_without_salt(
        self, inputs: Any, sampling_params: Any = None, streaming: bool = False
    ) -> RequestOutput:
        return FakeLlm.generate_async(self, inputs, sampling_params, streaming=streaming)

    async def get_stats_async(
        self,
        timeout: float,  # noqa: ASYNC109 - its name
    ) -> AsyncIterator[dict[str, Any]]:
        if not self._iterations:
            await asyncio.sleep(timeout)
        while self._iterations:
            yield self._iterations.popleft()

    def shutdown(self) -> None:
        if not self.defects.shutdown_leaves_it_running:
            self.dead = True
            self._executor = None

    # --- for tests -------------------------------------------------------------

    @property
    def running(self) -> int:
        return len(self._batch) + len(self._queue)

    def die(self, *, silently: bool = False) -> None:
        """The executor's process is gone."""
        self.dead = True
        for active in [*self._batch, *self._queue]:
            if not silently:
                active.output.responses.put_nowait(RuntimeError("executor died"))
        self._batch.clear()
        self._queue.clear()

    def end(self, reason: str) -> None:
        """All that run end so."""
        for active in list(self._batch):
            self._report(active, finish=reason)

    def fail(self, exc: Exception) -> None:
        for active in list(self._batch):
            self._batch.remove(active)
            active.output.responses.put_nowait(exc)

    # --- the executor ----------------------------------------------------------

    @property
    def _reuses(self) -> bool:
        return bool(self.arguments.get("kv_cache_config", {}).get("enable_block_reuse", True))

    def _enqueue(self, output: RequestOutput, ids: list[int], params: SamplingParams) -> None:
        if len(ids) >= self.arguments["max_seq_len"]:
            output.responses.put_nowait(RequestError(f"the prompt ({len(ids)}) is too long"))
            self.dead = self.defects.too_long_kills
            return
        matcher = None
        if params.guided_decoding is not None and self.arguments.get("guided_decoding_backend"):
            matcher = LLMatcher(
                grammar_tokenizer(), params.guided_decoding.grammar or "", log_level=0
            )
            if matcher.is_error():
                if self.defects.bad_grammar_kills:
                    self.die(silently=True)
                else:
                    error = matcher.get_error()
                    output.responses.put_nowait(RequestError(f"Guided decoding error: {error}"))
                return
        processor = params.logits_processor
        if processor is not None:
            assert 4 <= len(inspect.signature(processor).parameters) <= 5
            if self.defects.pickling_fails:
                raise ValueError("cannot pickle the logits processor")
            processor = pickle.loads(pickle.dumps(processor))  # to the process of the rank
        chunks = -(-len(ids) // self.arguments["max_num_tokens"])
        self._queue.append(_Active(output, list(ids), matcher, processor, chunks))
        self._wake()

    def _abort(self, output: RequestOutput) -> None:
        for active in [*self._batch, *self._queue]:
            if active.output is output and not self.defects.abort_ignored:
                active.aborted = True
                self._wake()

    def _wake(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.step_s, self._step)

    def _step(self) -> None:
        self._timer = None
        if self.hanging or self.dead:
            return
        while self._queue and len(self._batch) < self.arguments["max_batch_size"]:
            self._batch.append(self._queue.popleft())
        for active in list(self._batch):
            if active.aborted:
                self._report(active, finish="cancelled")
            else:
                self._advance(active)
        if self.defects.streams_mixed_up and len(self._batch) > 1:
            one, other = self._batch[:2]
            one.output, other.output = other.output, one.output
        self._note_iteration()
        if self._batch or self._queue:
            self._wake()

    def _advance(self, active: _Active) -> None:
        params = active.output.params
        logits = Logits(np.full((1, 1, _PADDED), -1000, dtype=np.float32))
        candidates = list(self.model(active.ids))
        if self.defects.moody and params.temperature == 0 and active.output.request_id % 2:
            candidates.reverse()
        for rank, candidate in enumerate(candidates):
            logits.values[0, 0, candidate] = 50 - 3 * rank
        if active.processor is not None and not self.defects.processor_ignored:
            late = self.defects.late_ids and active.generated
            active.processor(
                active.output.request_id,
                logits,
                [active.ids[:-1] if late else list(active.ids)],
                None,
                None,
            )
        active.chunks -= 1
        if active.chunks > 0:
            return
        if active.matcher is not None and not self.defects.grammar_ignored:
            mask = np.frombuffer(active.matcher.compute_bitmask(), dtype=np.uint8)
            allowed = np.unpackbits(mask, bitorder="little")[: vocabulary.SIZE]
            forbidden = np.ones(_PADDED, dtype=np.bool_)
            forbidden[: vocabulary.SIZE] = allowed == 0
            if active.matcher.is_stopped():
                forbidden[vocabulary.RETURN] = False
            logits.values[0, 0, forbidden] = -np.inf
        token = int(logits.values[0, 0].argmax())
        if active.matcher is not None and not active.matcher.is_stopped():
            active.matcher.try_consume_tokens([token])
        self._say(active, token, logits.values[0, 0])

    def _say(self, active: _Active, token: int, logits: np.ndarray[Any, Any]) -> None:
        params, defects = active.output.params, self.defects
        active.ids.append(token)
        active.generated += 1
        finish = None
        if token == params.end_id and not params.ignore_eos and not defects.end_id_means_nothing:
            finish = "end_id"
        elif token in (params.stop_token_ids or ()):
            finish = "stop_words"
        elif (
            active.generated >= params.max_tokens + int(defects.one_token_more)
            or len(active.ids) >= self.arguments["max_seq_len"]
        ):
            finish = "length"
        if not (finish == "end_id" and defects.end_id_hidden):
            active.unreported.token_ids.append(token)
            if params.logprobs and not defects.logprobs_missing:
                active.unreported.logprobs.append(self._logprobs(params.logprobs, token, logits))
        if finish == "stop_words" and defects.stop_id_always_cut:
            params.include_stop_str_in_output = False
        interval = self.arguments.get("stream_interval", 1)
        if finish is not None or active.generated % interval == 0:
            self._report(active, finish=finish)

    def _logprobs(
        self, count: int, token: int, logits: np.ndarray[Any, Any]
    ) -> dict[int, FakeLogprob]:
        normal = logits - logits.max()
        normal = normal - np.log(np.exp(normal).sum())
        told = [int(each) for each in np.argsort(-normal, kind="stable")[:count]]
        if token not in told:
            told.append(token)
        if self.defects.logprobs_without_the_token:
            told.remove(token)
        return {each: FakeLogprob(float(normal[each]), rank + 1) for rank, each in enumerate(told)}

    def _report(self, active: _Active, *, finish: str | None = None) -> None:
        response, active.unreported = active.unreported, Response()
        response.finish = finish
        if finish is not None:
            if active in self._batch:
                self._batch.remove(active)
            if active.output.params.return_perf_metrics and not self.defects.no_perf_metrics:
                response.metrics = _perf_metrics(active)
        if self.defects.not_cumulative:
            active.output.outputs[0].token_ids = []
        if self.defects.stop_reason_hidden and finish == "stop_words":
            response.finish = "end_id"
        active.output.responses.put_nowait(response)

    def _note_iteration(self) -> None:
        used = sum(len(each.ids) for each in self._batch) // 32
        cache = {"maxNumBlocks": 1000, "freeNumBlocks": 1000 - used, "usedNumBlocks": used}
        self._iterations.append(
            {"iterations": 1}
            if self.defects.other_statistics
            else {
                "numActiveRequests": len(self._batch),
                "numQueuedRequests": len(self._queue),
                "kvCacheStats": cache,
                "iterLatencyMS": 20.0,
            }
        )


class _HfTokenizer:
    """What LLM.tokenizer offers."""

    def __init__(self, tokenizer: Tokenizer, *, broken: bool) -> None:
        self._tokenizer = tokenizer
        self._shift = 1 if broken else 0

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return [each + self._shift for each in self._tokenizer.encode_harmony(text)]


def _perf_metrics(active: _Active) -> Any:
    return SimpleNamespace(
        timing_metrics=SimpleNamespace(
            arrival_time=_ITERATION,
            first_scheduled_time=2 * _ITERATION,
            first_token_time=5 * _ITERATION,
            last_token_time=(5 + active.generated) * _ITERATION,
        ),
        kv_cache_metrics=SimpleNamespace(
            num_reused_blocks=active.output.cached_tokens // 32, num_missed_blocks=2
        ),
    )


def _check_arguments(arguments: dict[str, Any], defects: Defects) -> None:
    for name, value in arguments.items():
        if name == defects.unknown_argument or name not in _SCALARS.keys() | _CONFIG.keys():
            raise ValueError(f"{name}: extra inputs are not permitted")
        if name in _CONFIG:
            if unknown := set(value) - _CONFIG[name]:
                raise ValueError(f"{name}.{min(unknown)}: extra inputs are not permitted")
        elif type(value) is not _SCALARS[name]:
            raise ValueError(f"{name}: expected {_SCALARS[name].__name__}, got {value!r}")
    if arguments["guided_decoding_backend"] not in ("xgrammar", "llguidance"):
        raise ValueError("guided_decoding_backend: xgrammar or llguidance")


@dataclass
class FakeTrtllm:
    """The package: what `load_library` returns, and the engines that were made of it."""

    model: Model
    tokenizer: Tokenizer
    defects: Defects = field(default_factory=Defects)
    made: list[FakeLlm] = field(default_factory=list)

    def __call__(self) -> Library:
        def make(**arguments: Any) -> FakeLlm:
            self.made.append(FakeLlm(self.model, self.tokenizer, self.defects, arguments))
            return self.made[-1]

        def sampling_params(**arguments: Any) -> SamplingParams:
            if self.defects.missing_parameter in arguments:
                raise TypeError(f"unexpected keyword argument {self.defects.missing_parameter!r}")
            return SamplingParams(**arguments)

        return Library(
            version=self.defects.version,
            LLM=make,  # type: ignore[arg-type]
            SamplingParams=sampling_params,
            GuidedDecodingParams=GuidedDecodingParams,
            RequestError=RequestError,
        )

    @property
    def llm(self) -> FakeLlm:
        return self.made[-1]


def defects() -> Iterator[str]:
    """The names of all of them."""
    yield from Defects.__dataclass_fields__
