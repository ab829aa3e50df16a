"""The names of the rules of imputation, for planning, which imports no torch; ``imputation`` applies them."""

from __future__ import annotations

from typing import Literal

#: ``mean``: the mean of the source training data; ``zero``: 0 in the unit of the data; ``forward``: the latest observed
#: value, the mean before the first; ``linear``: between the observed values before and after, by time, and before the
#: first and after the last the nearest. A channel of which a sample has no observed entry is the mean throughout.
FillRule = Literal["mean", "zero", "forward", "linear"]
#: What is fitted on source training samples: ``knn``: the mean of the nearest of them; ``csdi``: the median of draws from a
#: conditional diffusion of each modality; ``trace``: the same, which also reads the other modalities.
LearnedRule = Literal["knn", "csdi", "trace"]
Rule = Literal["off", "mean", "zero", "forward", "linear", "knn", "csdi", "trace"]
#: The rules that are fitted.
LEARNED: frozenset[str] = frozenset({"knn", "csdi", "trace"})
