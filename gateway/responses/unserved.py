"""What the API knows but this version does not serve yet.

Refused rather than ignored: a client that asks for JSON must not get prose.
"""

from __future__ import annotations

from gateway.responses.errors import ApiError, invalid_request
from gateway.responses.request import CreateResponse


def refuse_what_is_not_served(request: CreateResponse) -> None:
    """Raises ApiError: 400 unsupported_value, naming the field."""
    if request.text.format.type != "text":
        raise _not_yet("text.format.type", f"'{request.text.format.type}'")
    if request.tool_choice not in ("auto", "none"):
        raise _not_yet("tool_choice", "anything but 'auto' and 'none'")
    if request.wants_logprobs:
        param = "logprobs" if request.logprobs else "include"
        raise _not_yet(param, "log probabilities")


def _not_yet(param: str, what: str) -> ApiError:
    return invalid_request(
        f"This version does not support {what} for '{param}'.",
        code="unsupported_value",
        param=param,
    )
