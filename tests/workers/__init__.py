"""Tests of the worker. `test_triton_*` need a real Triton; the others need nothing."""
