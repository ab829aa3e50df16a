"""Metrics that a table derives from the values of other metrics, and that no array gives alone."""

from __future__ import annotations

import numpy as np

from .base import Metric, by_name

_ANY = (-np.inf, np.inf)

#: Of the table ``relative``.
RELATIVE: dict[str, Metric] = by_name(
    [
        Metric(
            name="relative_drop",
            convention="what mean_corruption loses of the clean value, over the clean value; no correction for chance",
            direction="lower",
            range=_ANY,
            unit="fraction",
            source="mmbench",
            undefined="the clean value is not positive",
            families=("relative",),
        ),
        Metric(
            name="mce",
            convention="mean over corruptions of the error summed over severities, over that of the reference run "
            "(mean of its seeds); the error is 1 - score, or the metric where lower is better",
            direction="lower",
            range=_ANY,
            unit="fraction",
            source="Hendrycks and Dietterich 2019",
            undefined="the reference makes no error under a corruption",
            families=("relative",),
        ),
        Metric(
            name="relative_mce",
            convention="mce of what the error exceeds that on clean data by",
            direction="lower",
            range=_ANY,
            unit="fraction",
            source="Hendrycks and Dietterich 2019",
            undefined="the reference does not get worse under a corruption",
            families=("relative",),
        ),
    ]
)
#: Those of the table ``relative`` that are divided by a value of the reference run.
TO_REFERENCE = ("mce", "relative_mce")

CLOSED, LEFT = "gap_closed", "gap_left"
#: Of the table ``gap``.
GAP: dict[str, Metric] = by_name(
    [
        Metric(
            name=CLOSED,
            convention="what the method gains over erm, over what the oracle (erm trained on the target) gains over "
            "erm; means over seeds of the main metric; seed by seed, the linearised quotient",
            direction="higher",
            range=_ANY,
            unit="fraction",
            source="mmbench",
            undefined="the gap is not above 0",
            families=("gap",),
        ),
        Metric(
            name=LEFT,
            convention="what the oracle (erm trained on the target) has above the method, over the method's own mean "
            "value",
            direction="lower",
            range=_ANY,
            unit="fraction",
            source="mmbench",
            undefined="the method's mean value is 0",
            families=("gap",),
        ),
    ]
)
