"""The gateway: an OpenAI-compatible Responses API in front of Triton workers.

Start reading at `create_response.py`; `docs/tour.md` says what is where.
"""
