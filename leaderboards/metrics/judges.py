"""All measures that are no means over samples, by name."""

from __future__ import annotations

from . import calibration, detection, selective
from .judge import Judge

JUDGES: dict[str, Judge] = {
    **selective.CLASSIFICATION,
    **selective.REGRESSION,
    **detection.JUDGES,
    **calibration.CLASSIFICATION,
    **calibration.REGRESSION,
}
