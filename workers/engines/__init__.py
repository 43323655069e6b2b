"""Engines: what turns a prompt into tokens, behind one protocol (base.py)."""
