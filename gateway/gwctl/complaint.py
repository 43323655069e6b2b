"""Why a command was not carried out."""

from __future__ import annotations


class Complaint(Exception):
    """One sentence for the operator; with the API's word for it, if it was the API that refused."""

    def __init__(self, sentence: str, *, code: str | None = None) -> None:
        super().__init__(sentence)
        self.code = code
