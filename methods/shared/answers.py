"""Scores and classes in the words of a language model: what it is trained to write, and what its answer means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: A number: a sign that is no dash of a word or range, digits, a decimal point or comma, an exponent.
_NUMBER = re.compile(r"(?:(?<![\w.])[-+])?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?|(?:(?<![\w.])[-+])?\.\d+")
_MINUS = str.maketrans({"\u2212": "-", "\ufe63": "-", "\uff0d": "-"})
#: Words for a score, as the share of the half range by which it is off the middle.
_WORDS = {"negative": -0.5, "neutral": 0.0, "positive": 0.5}
_WORD = re.compile("|".join(rf"\b{word}\b" for word in _WORDS), re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What an answer means.

    Attributes:
        value: the score; or the index of the class, -1 where the answer names none.
        unparsed: whether the answer holds nothing that is understood.
        clipped: whether it holds a number outside of the range.
    """

    value: float
    unparsed: bool = False
    clipped: bool = False


def parse_score(text: str, low: float, high: float) -> Answer:
    """The score that an answer states.

    The first number counts, clipped to the range; without one the first of the words negative, neutral and positive,
    which are a quarter of the range below the middle, the middle, and a quarter above it; without these the middle,
    as an answer that could not be parsed.

    Args:
        text: the answer.
        low: the lowest score.
        high: the highest one.
    """
    middle, half = (low + high) / 2, (high - low) / 2
    text = text.translate(_MINUS)
    if found := _NUMBER.search(text):
        value = float(found[0].replace(",", "."))
        return Answer(min(max(value, low), high), clipped=not low <= value <= high)
    if found := _WORD.search(text):
        return Answer(middle + half * _WORDS[found[0].lower()])
    return Answer(middle, unparsed=True)


def parse_class(text: str, names: Sequence[str]) -> Answer:
    """The class that an answer names.

    The name that stands first counts, as a word of its own and in any case; where the names are numbers and the answer
    holds another number, that is out of range.

    Args:
        text: the answer.
        names: what each class is called.
    """
    places = {}
    for index, name in enumerate(names):
        if found := re.search(rf"(?<![\w.]){re.escape(name)}(?!\w|[.,]\d)", text, re.IGNORECASE):
            places[found.start(), -len(name)] = index  # of names that begin at one place the longest
    if places:
        return Answer(places[min(places)])
    numbered = all(name.isdecimal() for name in names)
    return Answer(-1, unparsed=True, clipped=numbered and _NUMBER.search(text) is not None)


def write_score(score: float) -> str:
    """A score as it is to be answered: with one decimal, and no minus before zero."""
    return f"{round(score, 1) + 0.0:.1f}"


def score_grid(low: float, high: float, count: int) -> list[float]:
    """Evenly spaced scores from ``low`` to ``high``, as they can be answered; fewer where some would be written alike.

    Args:
        low: the first.
        high: the last.
        count: at least two.
    """
    step = (high - low) / (count - 1)
    return list(dict.fromkeys(float(write_score(low + step * place)) for place in range(count)))
