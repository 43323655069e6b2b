"""The worker: a Triton python-backend model around a generation engine."""
