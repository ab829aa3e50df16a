"""Whether a validation score is too good for its test score: a sign that training knows validation samples.

Only where training, validation and test are parts of one dataset: between domains a gap is what is studied.
"""

from __future__ import annotations

import math

import numpy as np

from ..labels import CLEAN
from ..metrics.base import Metric
from ..stats.bootstrap import FEWER_DRAWS, Resampled
from ..stats.intervals import interval
from .cells import Cell, Group, cells_of
from .groups import scored, sheet_key
from .results import Result, read_outputs
from .score_sheet import Sheet, stored_sheet

#: A gap counts where it is larger than so many halves of its 95 % interval. Twice leaves room for what the choice of an
#: epoch by the validation split gains, and for the number of rows that are looked at.
HALVES = 2.0


def validation_warning(group: Group) -> str:
    """What is said of a row whose validation score lies far above its test score; empty for all others.

    The gap in the main metric is compared with half of its 95 % interval, which follows from those of both scores:
    sqrt(a^2 + b^2). They are intervals of the mean over seeds on other samples: it is asked of these networks, and not
    of others. For a share of n samples, half an interval is at least 3 / n, the bound for a
    share of which no exception was seen.

    Networks that answer the same for every sample know none of them: their gap says what the parts hold.

    Args:
        group: the row; one with a hole is not warned of.
    """
    if "->" in group.block.task:
        return ""
    metric = group.metrics[0]
    cells = cells_of(group, lambda result: _sheet(result, metric))
    valid, test = cells.get("valid"), cells.get("test")
    if valid is None or test is None or valid.scores is None or test.scores is None:
        return ""
    sign = 1 if metric.direction == "higher" else -1
    means = [float(cell.scores.values.mean()) for cell in (valid, test) if cell.scores is not None]
    gap, half = sign * (means[0] - means[1]), math.hypot(_half(valid, metric), _half(test, metric))
    if not gap > HALVES * half or all(map(_is_constant, group.results)):
        return ""
    return (
        f"{metric.name} {means[0]:.3g} in validation and {means[1]:.3g} in the test: the gap of {gap:.2g} is more than "
        f"{HALVES:g} times what its 95 % interval allows ({half:.2g}). Training may know validation samples: look for a "
        f"leak, for duplicates, and for persons or videos in both parts (mmbench data verify {group.block.task})"
    )


def _is_constant(result: Result) -> bool:
    """Whether a network gives all samples of validation and test the same class, labels or score."""
    answers = []
    for split in ("valid", "test"):
        values = read_outputs(result, split)[CLEAN].prediction
        if result.family == "multi-label":
            answers.append(values > 0)
        else:
            answers.append(values if values.ndim == 1 else values.argmax(axis=1))
    both = np.concatenate(answers)
    return bool(np.isclose(both, both[0], rtol=1e-6, atol=1e-9).all())


def _sheet(result: Result, metric: Metric) -> Sheet:
    def make() -> Sheet:
        outputs = {split: read_outputs(result, split).get(CLEAN) for split in ("valid", "test")}
        return scored(
            {split: one for split, one in outputs.items() if one is not None}, [metric], FEWER_DRAWS, 0
        )

    return stored_sheet(result.cache, "validation", sheet_key([metric], FEWER_DRAWS, 0), make)


def _half(cell: Cell, metric: Metric) -> float:
    """Half of the 95 % interval of a score; infinite where there is none."""
    scores = cell.scores
    assert scores is not None
    mean = Resampled(
        scores.values.mean(0, keepdims=True), scores.draws.mean(1, keepdims=True), scores.samples
    )
    low, high = interval(mean, None)
    half = float(high[0] - low[0]) / 2
    if not np.isfinite(half) or scores.samples < 2:
        return math.inf
    return max(half, 3 / scores.samples) if metric.unit == "fraction" else half
