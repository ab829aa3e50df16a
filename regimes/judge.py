"""Two segmentations of a conversation before a judge that reads text and answers A or B.

Which segmentation is A is decided by a hash of the conversation's name, and each pair is judged twice, the second time the other
way round: a judge that likes the first answer whatever it says is found out. A verdict counts where both orders agree.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

#: Reads a prompt, and answers.
Ask = Callable[[str], str]
#: The most utterances of a conversation that a prompt shows.
MOST = 60

_PROMPT = """Below is the emotional course of a conversation, utterance by utterance, and two ways to cut it into regimes.
A good segmentation is coherent (utterances of a regime are alike), distinct (regimes differ), persistent (it does not jump without
need) and faithful to the course.

Course: {course}

Segmentation A: {a}

Segmentation B: {b}

Which is better? Answer with one letter, A or B.
Answer:"""
_ANSWER = re.compile(r"\b([AB])\b")


@dataclass(frozen=True)
class Case:
    """What is judged.

    Attributes:
        conversation: its name.
        course: valence and arousal in words.
        first, second: the segmentations in words.
    """

    conversation: str
    course: str
    first: str
    second: str


@dataclass(frozen=True)
class Verdicts:
    """What a judge says of all cases; shares are NaN where they are of nothing.

    Attributes:
        cases: how many were judged, each in both orders.
        first, second: how many prefer either in both orders.
        inconsistent: how many had another answer in the other order.
        unanswered: how many had no A or B in one of the orders.
        position: the share of all answers that are A, whatever A was; 0.5 of a judge without bias of order.
    """

    cases: int
    first: int
    second: int
    inconsistent: int
    unanswered: int
    position: float


def course(values: np.ndarray) -> str:
    """Valence and arousal of the first ``MOST`` steps [steps, 2] in words: ``1: +0.4/?``."""
    return "; ".join(
        f"{step}: {'/'.join('?' if np.isnan(one) else f'{one:+.1f}' for one in row)}"
        for step, row in enumerate(values[:MOST], 1)
    )


def segments(regime: np.ndarray, names: dict[int, str]) -> str:
    """Regimes of the first ``MOST`` steps [steps] in words: ``1-4 negative, 5-9 neutral``.

    Args:
        regime: [steps], int.
        names: regime -> name.
    """
    shown = regime[:MOST]
    bounds = [0, *(np.flatnonzero(np.diff(shown)) + 1).tolist(), len(shown)]
    return ", ".join(f"{begin + 1}-{end} {names[int(shown[begin])]}" for begin, end in pairwise(bounds))


def judge(cases: Sequence[Case], ask: Ask) -> Verdicts:
    """Asks about every case in both orders.

    Args:
        cases: what is judged.
        ask: the judge.
    """
    wins, inconsistent, unanswered, letters = [0, 0], 0, 0, []
    for case in cases:
        pair = (case.first, case.second)
        begins = hashlib.sha256(case.conversation.encode()).digest()[0] % 2
        said = []
        for a in (begins, 1 - begins):
            answer = _ANSWER.search(ask(_PROMPT.format(course=case.course, a=pair[a], b=pair[1 - a])))
            if answer is None:
                continue
            letters.append(answer[1])
            said.append(a if answer[1] == "A" else 1 - a)
        if len(said) < 2:
            unanswered += 1
        elif said[0] != said[1]:
            inconsistent += 1
        else:
            wins[said[0]] += 1
    position = letters.count("A") / len(letters) if letters else float("nan")
    return Verdicts(len(cases), wins[0], wins[1], inconsistent, unanswered, position)


def count_words(prompt: str) -> str:
    """A judge without a model: prefers the segmentation of fewer words, A where both have as many. It is a stub by which the
    way from a store to verdicts is exercised, and says nothing of quality."""
    parts = re.findall(r"^Segmentation [AB]: (.*)$", prompt, re.MULTILINE)
    return "A" if len(parts[0].split()) <= len(parts[1].split()) else "B"
