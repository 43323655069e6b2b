"""The messages of Triton's gRPC service, as tritonclient has them, without its client.

The client's package imports numpy, which the gateway has no use for: 7 MB of each process.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

_CLIENT = "tritonclient.grpc"

if TYPE_CHECKING or _CLIENT in sys.modules:
    from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelStreamInferResponse
else:
    # A package with the same modules that does nothing by itself; whoever wants the client afterwards
    # gets it whole.
    package = ModuleType(_CLIENT)
    package.__path__ = [
        str(Path(each) / "grpc") for each in find_spec("tritonclient").submodule_search_locations
    ]
    sys.modules[_CLIENT] = package
    try:
        from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelStreamInferResponse
    finally:
        del sys.modules[_CLIENT]

__all__ = ["ModelInferRequest", "ModelStreamInferResponse"]
