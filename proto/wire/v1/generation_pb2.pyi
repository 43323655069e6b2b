from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GenerateRequest(_message.Message):
    __slots__ = ("request_id", "max_tokens", "sampling", "stop_token_ids", "cache_salt", "deadline_unix_ms", "constraint", "top_logprobs", "generated_tokens", "ping", "shared_stream", "delivery", "cancel")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    STOP_TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    CACHE_SALT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINT_FIELD_NUMBER: _ClassVar[int]
    TOP_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    SHARED_STREAM_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    max_tokens: int
    sampling: Sampling
    stop_token_ids: _containers.RepeatedScalarFieldContainer[int]
    cache_salt: str
    deadline_unix_ms: int
    constraint: OutputConstraint
    top_logprobs: int
    generated_tokens: int
    ping: bool
    shared_stream: bool
    delivery: Delivery
    cancel: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, request_id: _Optional[str] = ..., max_tokens: _Optional[int] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., stop_token_ids: _Optional[_Iterable[int]] = ..., cache_salt: _Optional[str] = ..., deadline_unix_ms: _Optional[int] = ..., constraint: _Optional[_Union[OutputConstraint, _Mapping]] = ..., top_logprobs: _Optional[int] = ..., generated_tokens: _Optional[int] = ..., ping: bool = ..., shared_stream: bool = ..., delivery: _Optional[_Union[Delivery, _Mapping]] = ..., cancel: _Optional[_Iterable[int]] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("shared_stream", "number", "interval_ms", "asked_there")
    SHARED_STREAM_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    ASKED_THERE_FIELD_NUMBER: _ClassVar[int]
    shared_stream: str
    number: int
    interval_ms: int
    asked_there: bool
    def __init__(self, shared_stream: _Optional[str] = ..., number: _Optional[int] = ..., interval_ms: _Optional[int] = ..., asked_there: bool = ...) -> None: ...

class OutputConstraint(_message.Message):
    __slots__ = ("functions", "call_required", "final_schema_json")
    class Function(_message.Message):
        __slots__ = ("name", "parameters_json")
        NAME_FIELD_NUMBER: _ClassVar[int]
        PARAMETERS_JSON_FIELD_NUMBER: _ClassVar[int]
        name: str
        parameters_json: str
        def __init__(self, name: _Optional[str] = ..., parameters_json: _Optional[str] = ...) -> None: ...
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    CALL_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    FINAL_SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    functions: _containers.RepeatedCompositeFieldContainer[OutputConstraint.Function]
    call_required: bool
    final_schema_json: str
    def __init__(self, functions: _Optional[_Iterable[_Union[OutputConstraint.Function, _Mapping]]] = ..., call_required: bool = ..., final_schema_json: _Optional[str] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_PENALTY_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_PENALTY_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_p: float
    seed: int
    presence_penalty: float
    frequency_penalty: float
    def __init__(self, temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., seed: _Optional[int] = ..., presence_penalty: _Optional[float] = ..., frequency_penalty: _Optional[float] = ...) -> None: ...

class GenerateChunk(_message.Message):
    __slots__ = ("seq", "token_ids", "started", "finished", "error", "load", "logprobs", "shared", "first_token_age_ms")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_AGE_MS_FIELD_NUMBER: _ClassVar[int]
    seq: int
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    started: Started
    finished: Finished
    error: Error
    load: WorkerLoad
    logprobs: _containers.RepeatedCompositeFieldContainer[TokenLogprob]
    shared: _containers.RepeatedCompositeFieldContainer[SharedChunk]
    first_token_age_ms: int
    def __init__(self, seq: _Optional[int] = ..., token_ids: _Optional[_Iterable[int]] = ..., started: _Optional[_Union[Started, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., load: _Optional[_Union[WorkerLoad, _Mapping]] = ..., logprobs: _Optional[_Iterable[_Union[TokenLogprob, _Mapping]]] = ..., shared: _Optional[_Iterable[_Union[SharedChunk, _Mapping]]] = ..., first_token_age_ms: _Optional[int] = ...) -> None: ...

class SharedChunk(_message.Message):
    __slots__ = ("number", "chunk")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    number: int
    chunk: bytes
    def __init__(self, number: _Optional[int] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class TokenLogprob(_message.Message):
    __slots__ = ("logprob", "top")
    class Alternative(_message.Message):
        __slots__ = ("token_id", "logprob")
        TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
        LOGPROB_FIELD_NUMBER: _ClassVar[int]
        token_id: int
        logprob: float
        def __init__(self, token_id: _Optional[int] = ..., logprob: _Optional[float] = ...) -> None: ...
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    logprob: float
    top: _containers.RepeatedCompositeFieldContainer[TokenLogprob.Alternative]
    def __init__(self, logprob: _Optional[float] = ..., top: _Optional[_Iterable[_Union[TokenLogprob.Alternative, _Mapping]]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("engine", "cached_tokens", "queue_ms", "generated_tokens", "takes_requests")
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TAKES_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    engine: str
    cached_tokens: int
    queue_ms: int
    generated_tokens: int
    takes_requests: bool
    def __init__(self, engine: _Optional[str] = ..., cached_tokens: _Optional[int] = ..., queue_ms: _Optional[int] = ..., generated_tokens: _Optional[int] = ..., takes_requests: bool = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ("reason", "stop_token_id", "completion_tokens", "cached_tokens", "queue_ms")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Finished.Reason]
        STOP: _ClassVar[Finished.Reason]
        LENGTH: _ClassVar[Finished.Reason]
        CANCELLED: _ClassVar[Finished.Reason]
        PONG: _ClassVar[Finished.Reason]
    REASON_UNSPECIFIED: Finished.Reason
    STOP: Finished.Reason
    LENGTH: Finished.Reason
    CANCELLED: Finished.Reason
    PONG: Finished.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    STOP_TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    reason: Finished.Reason
    stop_token_id: int
    completion_tokens: int
    cached_tokens: int
    queue_ms: int
    def __init__(self, reason: _Optional[_Union[Finished.Reason, str]] = ..., stop_token_id: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., queue_ms: _Optional[int] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "retry_after_ms")
    class Code(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CODE_UNSPECIFIED: _ClassVar[Error.Code]
        INVALID_ARGUMENT: _ClassVar[Error.Code]
        OVERLOADED: _ClassVar[Error.Code]
        DRAINING: _ClassVar[Error.Code]
        CONTEXT_TOO_LONG: _ClassVar[Error.Code]
        ENGINE_FAILED: _ClassVar[Error.Code]
        DEADLINE: _ClassVar[Error.Code]
    CODE_UNSPECIFIED: Error.Code
    INVALID_ARGUMENT: Error.Code
    OVERLOADED: Error.Code
    DRAINING: Error.Code
    CONTEXT_TOO_LONG: Error.Code
    ENGINE_FAILED: Error.Code
    DEADLINE: Error.Code
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    code: Error.Code
    message: str
    retry_after_ms: int
    def __init__(self, code: _Optional[_Union[Error.Code, str]] = ..., message: _Optional[str] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class WorkerLoad(_message.Message):
    __slots__ = ("running", "queued", "kv_free_ratio", "draining", "max_running")
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    KV_FREE_RATIO_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNNING_FIELD_NUMBER: _ClassVar[int]
    running: int
    queued: int
    kv_free_ratio: float
    draining: bool
    max_running: int
    def __init__(self, running: _Optional[int] = ..., queued: _Optional[int] = ..., kv_free_ratio: _Optional[float] = ..., draining: bool = ..., max_running: _Optional[int] = ...) -> None: ...
