"""The admin API: what operators, and programs of theirs, ask. On a listener of its own.

Paths are those of OpenAI's organisation API where it has them, so that what was written for
that finds its way; what it does not have is under /admin/v1. `admin_api.py` lists them all.
"""
