"""The Triton model gpt-oss-120b. All of it is in the installed package `workers`."""

from workers.triton_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
