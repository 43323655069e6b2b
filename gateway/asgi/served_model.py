"""The model as clients name it, and what may be asked of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.responses import errors
from gateway.responses.request import CreateResponse


@dataclass(frozen=True, slots=True)
class ServedModel:
    name: str
    aliases: Collection[str]
    max_output_tokens: int

    def check(self, request: CreateResponse) -> None:
        """Raises ApiError: another model, or more output than it gives."""
        if request.model != self.name and request.model not in self.aliases:
            raise errors.model_not_found(request.model, self.name)
        if (request.max_output_tokens or 0) > self.max_output_tokens:
            raise errors.invalid_request(
                f"Invalid 'max_output_tokens': expected a value <= {self.max_output_tokens}.",
                code="integer_above_max_value",
                param="max_output_tokens",
            )
