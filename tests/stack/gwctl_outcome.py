"""What a run of gwctl in this process has said."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.gwctl.__main__ import main


class Outcome:
    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.code, self.stdout, self.stderr = code, stdout, stderr

    @property
    def json(self) -> Any:
        assert self.code == 0, self.stderr
        return json.loads(self.stdout)


Gwctl = Callable[..., Outcome]


def gwctl_in_process(capsys: pytest.CaptureFixture[str]) -> Gwctl:
    """Runs it with the environment that there is then."""

    def run(*arguments: str) -> Outcome:
        try:
            code = main(arguments)
        except SystemExit as exc:
            assert isinstance(exc.code, int)
            code = exc.code
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return run
