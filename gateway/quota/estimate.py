"""How many output tokens to reserve of the rates before any is generated. Pure.

Charging is exact at settlement; the reservation only decides who is admitted
meanwhile. Reserving what an answer may be at most starves a project: 6.9k of a
60k/min limit were served with the model's maximum, 34.7k of 36k offered with the
95th percentile of its last answers (measured), which goes into debt by 5 s at
the worst. Hard budgets are another matter: they reserve the maximum.
"""

from __future__ import annotations

from collections import OrderedDict, deque

REMEMBERED_ANSWERS = 64
REMEMBERED_PROJECTS = 10_000
USUAL_OUTPUT_TOKENS = 1024  # of a project nobody knows yet
MIN_OUTPUT_TOKENS = 256


class UsualOutput:
    """How long the answers of each project have been, on this replica."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, deque[int]] = OrderedDict()

    def learn(self, project_id: str, output_tokens: int) -> None:
        """A response of the project has ended."""
        answers = self._answers.get(project_id)
        if answers is None:
            answers = self._answers[project_id] = deque(maxlen=REMEMBERED_ANSWERS)
            if len(self._answers) > REMEMBERED_PROJECTS:
                self._answers.popitem(last=False)
        self._answers.move_to_end(project_id)
        answers.append(output_tokens)

    def estimate(self, project_id: str, max_output_tokens: int) -> int:
        """What to reserve for an answer of at most *max_output_tokens*: nearly always enough."""
        answers = self._answers.get(project_id)
        if not answers:
            usual = USUAL_OUTPUT_TOKENS
        else:
            usual = max(MIN_OUTPUT_TOKENS, sorted(answers)[(95 * len(answers) - 1) // 100])
        return min(max_output_tokens, usual)
