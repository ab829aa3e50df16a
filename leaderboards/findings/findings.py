"""The five findings of MMDG-Bench (arXiv 2605.06643), asked again of one's own results, and whether fusion hurts.

Each question is put so that ``yes`` confirms the finding. An answer needs an interval that lies on one side of
a border; where it does not, the answer is ``undecided``, and where no interval can be had, ``not enough data``.
Effects are relative, so that accuracies and errors can be pooled; how, ``estimates`` says. The borders are
choices, not facts: ``margin`` (an effect below it is marginal) and ``large`` (one above it is large).

Protocols are never pooled, nor real data with synthetic stand-ins: each gets its own answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import pandas as pd

from ..labels import MARGIN, UPPER_BOUND
from ..render.markdown import escape_markdown
from ..tables.cost import notes_of_audit
from ..tables.seed_scores import scores
from .effect_sizes import EffectEstimate
from .evidence import Evidence, selected_by_oracle
from .questions import OF_ENSEMBLES, QUESTIONS

Answer = Literal["yes", "no", "undecided", "not enough data"]
#: The tables that the questions are asked of, and the one that says which rows are doubtful.
READS = ("accuracy", "gap", "missing", "robustness", "misd", "calibration", "ensembles", "audit")
LARGE = 0.1


@dataclass(frozen=True)
class Finding:
    """An answer.

    Attributes:
        number: which of the five of MMDG-Bench, of which the fifth has two parts, 5a and 5b; 6, whether fusion hurts; or 7,
            whether ensembles do worse than their members.
        question: in words.
        protocol: of the results it speaks of.
        data: ``"real"`` or the name of a stand-in.
        answer: ``"yes"`` confirms MMDG-Bench.
        statistic: what the answer rests on, with n and p or interval, in words; or what to run.
        tasks: the tasks that were used.
        estimates: the intervals that decided, at full precision.
    """

    number: str
    question: str
    protocol: str
    data: str
    answer: Answer
    statistic: str
    tasks: tuple[str, ...]
    estimates: tuple[EffectEstimate, ...]


def findings(
    frames: Mapping[str, pd.DataFrame], margin: float = MARGIN, large: float = LARGE
) -> list[Finding]:
    """Answers the questions, for each protocol and kind of data.

    Args:
        frames: name of a leaderboard -> its tidy frame: ``accuracy``, and those of ``READS`` that there are.
        margin: relative effect below which a gain is marginal, above 0.
        large: relative effect above which a gap or a drop is large, above 0.

    Returns:
        Seven findings (the fifth question has two parts), and an eighth where there are ensembles, for each protocol and
        kind of data, in the order in which they first appear. What was selected by the target's validation data is asked nothing where there is
        anything else, and upper bounds never are.

    Raises:
        ValueError: a border that is not above 0, or no ``accuracy``.
    """
    if not (0 < margin < float("inf") and 0 < large < float("inf")):
        raise ValueError(f"margin {margin} and large {large} must be above 0")
    if "accuracy" not in frames:
        raise ValueError("no frame 'accuracy': the questions are asked of it")
    every = [one for one in scores(frames["accuracy"]) if not one.protocol.endswith(UPPER_BOUND)]
    plain = [item for item in every if not selected_by_oracle(item)] or every
    out = []
    for protocol, data in dict.fromkeys((item.protocol, item.data) for item in plain):
        evidence = Evidence(frames, protocol, data, margin, large)
        for number, (question, answer) in QUESTIONS.items():
            if number == OF_ENSEMBLES and "ensembles" not in frames:
                continue
            answered = answer(evidence)
            out.append(
                Finding(
                    number,
                    question,
                    protocol,
                    data,
                    answered.answer,
                    answered.statistic,
                    tuple(dict.fromkeys(answered.tasks)),
                    tuple(answered.estimates),
                )
            )
    return out


def warnings_of(frames: Mapping[str, pd.DataFrame]) -> list[str]:
    """What makes rows doubtful, a line each.

    Args:
        frames: as of ``findings``; the one of ``audit`` says it.
    """
    return notes_of_audit(frames["audit"]) if "audit" in frames else []


def basis_words(one: Finding, most: int = 4) -> str:
    """What an answer rests on, and the tasks: all, or the first few and how many more.

    Args:
        one: the answer.
        most: how many tasks are named, at least 1.

    Returns:
        One line.
    """
    more = len(one.tasks) - most
    named = "; ".join(one.tasks[:most]) + (f" and {more} more" if more > 0 else "")
    return f"{one.statistic} Tasks: {named}." if one.tasks else one.statistic


def answers_as_markdown(answers: Sequence[Finding], warnings: Sequence[str] = ()) -> str:
    """The answers as Markdown, a section for each protocol and kind of data, a line feed at the end.

    Args:
        answers: in order.
        warnings: what makes rows doubtful; a section before all others.
    """
    parts = ["## Warnings", *map(escape_markdown, warnings)] if warnings else []
    for scope in dict.fromkeys((one.protocol, one.data) for one in answers):
        parts.append(f"## Findings ({escape_markdown('; '.join(scope))})")
        for one in answers:
            if (one.protocol, one.data) == scope:
                reason = escape_markdown(basis_words(one, most=len(one.tasks)))
                parts.append(f"**{one.number} {one.question}** *{one.answer}*: {reason}")
    return "\n\n".join(parts) + "\n"


def answers_as_json(answers: Sequence[Finding]) -> str:
    """The answers as a JSON list, at full precision."""
    return json.dumps([asdict(one) for one in answers], indent=1, ensure_ascii=False) + "\n"
