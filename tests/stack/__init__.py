"""The product's real processes on this machine: Redis, Triton, the gateway.

`make run` and the system tests start the same ones from here.
"""
