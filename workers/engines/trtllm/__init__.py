"""The engine for GPUs: TensorRT-LLM 1.2.1, in this process and the ranks that it starts.

engine           generations: begun, read, aborted; what the engine does when it is broken
configuration    WORKER_TRTLLM_* -> the arguments of LLM(...)
presets          what suits which GPUs
llm_api          as much of TensorRT-LLM as we use, and where it is imported
sampling         a request -> the arguments of SamplingParams(...)
outputs          what TensorRT-LLM reports -> tokens, log probabilities, the ending
resumed_grammar  holds a turn to its grammar that another worker began
watchdog         when an engine is dead, or hangs
statistics       how full the KV cache is, where the time goes
checks           what is believed of all that, each with a test for a GPU (workers/gpu_check.py)

TensorRT-LLM cannot be installed without NVIDIA's index and a GPU: tests run on a fake
(tests/workers/trtllm/fake_llm.py). Nothing here has run on a GPU yet:
what the fake takes for granted is in docs/gpu-checklist.md.
"""
