"""What the API knows but this version does not serve yet.

Refused rather than ignored: a client that relies on a field must learn that it cannot.
"""

from __future__ import annotations

from gateway.responses.errors import invalid_request
from gateway.responses.request import CreateResponse


def refuse_what_is_not_served(request: CreateResponse) -> None:
    """Raises ApiError: 400 unsupported_value, naming the field."""
    if "reasoning.encrypted_content" in request.include:
        raise _not_yet("include", "'reasoning.encrypted_content'")


def _not_yet(param: str, what: str) -> Exception:
    return invalid_request(
        f"This version does not support {what} for '{param}'.",
        code="unsupported_value",
        param=param,
    )
