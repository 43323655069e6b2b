"""English without a meaning: what the simulator thinks and says. Pure, given a Random."""

from __future__ import annotations

import random

from workers.engines.simulator.conversation import Effort

_THOUGHT_SENTENCES: dict[Effort, tuple[int, int]] = {
    "low": (1, 1),
    "medium": (3, 5),
    "high": (9, 14),
}
_ANSWER_SENTENCES = (4, 8)
_QUOTED_WORDS = 8

_THOUGHTS = [
    "Let me look at what is really being asked here.",
    "There is more than one way to read this.",
    "The simplest reading is probably the right one.",
    "I should check the numbers before I commit to them.",
    "An example would make this easier to follow.",
    "The answer should be short, but not so short that it misleads.",
    "It helps to separate what is known from what is assumed.",
    "No tool is needed for the next step.",
    "The user may want to know why, not only what.",
    "A common mistake here is to mix up cause and effect.",
    "I could mention the exceptions, though they are rare.",
    "That seems consistent with everything said so far.",
]
_OPENINGS = [
    "Here is a short answer to “{quote}”.",
    "You wrote “{quote}”, so let us take it step by step.",
    "About “{quote}”: the essentials fit into a few sentences.",
    "Thank you for asking “{quote}”.",
]
SHORT_ANSWER = "Here is a short answer."
_SENTENCES = [
    "The main point is that small steps are easier to check than large ones.",
    "Most people start with the part they know best and work outwards from there.",
    "In practice, two measurements settle more than ten opinions.",
    "A good rule of thumb is to change one thing at a time and to write down what happened.",
    "Over a cup of coffee at the café, the same idea takes about five minutes to explain.",
    "If the result surprises you, look first at how it was obtained.",
    "There are exceptions, but they tend to announce themselves early.",
    "The cost grows with the square of the size, so halving the problem pays off quickly.",
    "That is also how a naïve first version becomes a robust one. 🙂",
    "Keep what works, and remove what nobody misses.",
    "When in doubt, prefer the plain version: it is the one that you will understand next year.",
    "Between 10 and 20 °C the difference is hardly noticeable.",
    "A résumé of the alternatives would be longer than the answer itself.",
    "You can verify this in a few minutes with nothing but pen and paper. ✏️",
    "The order matters less than it seems at first.",
    "Finally, leave some room for what you cannot foresee.",
]


def thought(rng: random.Random, effort: Effort) -> str:
    """What goes to the analysis channel; longer with more effort."""
    return " ".join(_draw(rng, _THOUGHTS, rng.randint(*_THOUGHT_SENTENCES[effort])))


def answer(rng: random.Random, question: str) -> str:
    """A paragraph that quotes the first words of *question*."""
    quote = " ".join(question.split()[:_QUOTED_WORDS])
    opening = rng.choice(_OPENINGS).format(quote=quote) if quote else SHORT_ANSWER
    return " ".join([opening, *_draw(rng, _SENTENCES, rng.randint(*_ANSWER_SENTENCES))])


def vocabulary_of_prose() -> str:
    """All that thought() and answer() draw from."""
    return " ".join([*_THOUGHTS, *_SENTENCES])


def _draw(rng: random.Random, sentences: list[str], count: int) -> list[str]:
    """*count* of them, none twice before all were used."""
    rounds = -(-count // len(sentences))
    return [each for _ in range(rounds) for each in rng.sample(sentences, len(sentences))][:count]
