"""Engines: what turns a prompt into tokens, behind one protocol (workers/engine.py)."""
