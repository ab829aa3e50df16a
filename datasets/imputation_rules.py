"""The names of the rules of imputation, for planning, which imports no torch; ``imputation`` applies them."""

from __future__ import annotations

from typing import Literal

#: ``mean``: the mean of the source training data; ``zero``: 0 in the unit of the data; ``forward``: the latest observed
#: value, the mean before the first; ``linear``: between the observed values before and after, by time, and before the
#: first and after the last the nearest. A channel of which a sample has no observed entry is the mean throughout.
Rule = Literal["off", "mean", "zero", "forward", "linear"]
