"""The worker: a Triton python-backend model around a generation engine.

triton_model  what Triton calls: tensors in, chunks out
worker        requests, threads, and the end of every generation
engine        what is asked of an engine; `engines/` holds them
live          one generation between the engine's loop and the senders
delivery      what a generation has yet to say, and when silence is too long
shared_stream one stream for many: asked for there, and heard
senders       the threads that say it
grammar       what a turn may hold, as a grammar
compiled_grammars  grammars -> matchers; refuses what cannot be enforced
codec         our words to and from the wire
settings      WORKER_* variables
"""
