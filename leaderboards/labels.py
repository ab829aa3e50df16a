"""Names and number formats that metrics, tables, texts and pictures share. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

#: The condition of undamaged test data with every modality.
CLEAN = "clean"
#: How the condition of a missing-modality pattern begins: ``"missing:text+audio"``.
MISSING = "missing:"
#: How the condition of a table of missing modalities that came from outside begins: ``"mask:NAME~0123abcd"``.
MASK = "mask:"
#: The condition of the mean over all patterns in which a modality is missing.
AVERAGE = "average_missing"
#: How the condition of complete test data of one target of several begins, the condition of the mean over them, and that
#: of the worst.
TARGET = "target:"
OVER_TARGETS = "average_over_targets"
WORST_TARGET = "worst_target"
#: How the columns of a prediction table begin that hold the method's own confidences, and its diagnostics.
CONFIDENCE = "confidence_"
DIAGNOSTIC = "diagnostic_"
#: How the condition of the outputs of a linear probe of an encoder begins, and what the gradient norm of an encoder is called
#: among what is told of an epoch; the modality follows.
PROBE = "probe:"
ENCODER_GRADIENT = "encoder_gradient/"
#: How the name of a method's own confidence begins in tables, where it stands beside those that mmbench computes.
OWN = "own:"
#: The kinds of data that a row can be of.
REAL = "real"
SYNTHETIC = "synthetic stand-in"
#: What the protocol of a row ends with that was trained on the target itself.
UPPER_BOUND = " [upper bound: trained on the target]"
#: What the members of an ensemble can differ in.
ENSEMBLES = ("folds", "seeds", "methods")
#: The part of an audit that names the content of the data: in the CSV of every table of scores.
FINGERPRINTS = "fingerprints"
#: The part of an audit that names what the splits of the data share, and what it says where that is nothing.
LEAKS = "leaks"
NO_LEAKS = "none found"
#: The column of the audit table for what makes a row doubtful.
WARNINGS = "warnings"
#: The column of the folds of a row's jobs, in tables of cross-validation alone.
FOLDS = "folds"
#: What the interval of one seed is over where the variance over seeds is that of other methods.
OTHERS_SEEDS = "others' seeds+samples"
#: A difference below this share of the best value is marginal.
MARGIN = 0.02
#: The column that says whether a row is the same as the best but for a margin, which tables of earlier versions lack.
WITHIN_MARGIN = "within_margin"
#: The columns that a block of comparable rows has in common.
KEYS = ("task", "modalities", "protocol", "data")

#: What the columns of a printed table are.
Across = Literal["metric", "condition"]


def rounded(value: float, unit: str) -> str:
    """A number as tables show it.

    Args:
        value: at full precision.
        unit: of its metric.

    Returns:
        Fractions in percent with one decimal, counts without decimals, anything else with three.
    """
    scale, digits = {"fraction": (100, 1), "count": (1, 0)}.get(unit, (1, 3))
    return f"{scale * value:.{digits}f}"


def count_of(done: int, planned: int, folds: int = 0, seeds: int = 1) -> str:
    """How many of the planned networks of a row are there: ``"5"``, ``"4 of 5"``, ``"5 folds"``.

    Args:
        done: how many are done.
        planned: how many there should be.
        folds: the number of folds; 0 where there are none.
        seeds: the number of seeds, of which each has all folds.

    Returns:
        Of several seeds with folds ``"5 folds x 3 seeds"``.
    """
    if done < planned:
        return f"{done} of {planned}{' folds' if folds else ''}"
    if not folds:
        return str(done)
    return f"{folds} folds" + (f" x {seeds} seeds" if seeds > 1 else "")


#: The order of rows by the names of their methods.
BY_NAME = "method"


def is_tidy(frame: pd.DataFrame) -> bool:
    """Whether a frame has the columns of ``tables.accuracy``, and not columns of its own."""
    return {"mean", "draw", "hole"} <= set(frame)


def counted(count: int, word: str, plural: str = "") -> str:
    """A number of things: ``1 task``, ``2 tasks``, ``2 switches``.

    Args:
        count: how many.
        word: one of them.
        plural: several of them; by default the word takes an s.
    """
    return f"{count} {word if count == 1 else plural or word + 's'}"
