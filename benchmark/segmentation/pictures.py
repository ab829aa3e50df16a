"""Pictures of conversations from the files of a finished job."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ...leaderboards.labels import REAL, SYNTHETIC
from ...leaderboards.plots.figure import Drawing, write_drawings
from ...leaderboards.plots.regimes import conversation_arc
from ...regimes.describe import regime_names
from ...regimes.segmenter import DIMENSIONS
from ..core.errors import UsageError, nearest
from .results import RegimeRecord, states_of


def fused_values(states: pd.DataFrame) -> np.ndarray:
    """[steps, 2]: valence and arousal, means over modalities; NaN where none was observed."""
    columns = [[name for name in states if name.endswith(f".{dimension}")] for dimension in DIMENSIONS]
    return np.stack([states[names].mean(axis=1).to_numpy(float) for names in columns], axis=1)


def write_arcs(record: RegimeRecord, conversations: Sequence[str], count: int, folder: Path) -> list[Path]:
    """Draws conversations of a finished job.

    Args:
        record: the job.
        conversations: which; none: the ``count`` with the most regimes, the longer ones first.
        count: see ``conversations``.
        folder: where to.

    Returns:
        The files.

    Raises:
        UsageError: there is no such conversation.
    """
    states = states_of(record.folder)
    names = regime_names(states["regime"].to_numpy(), fused_values(states))
    groups = {str(name): part for name, part in states.groupby("conversation", sort=False)}
    for one in conversations:
        if one not in groups:
            raise UsageError(f"{record.job.dataset} has no conversation {one!r}: {nearest(one, groups)}")
    lively = sorted(groups, key=lambda one: (-groups[one]["regime"].nunique(), -len(groups[one]), one))
    files = []
    for one in conversations or lively[:count]:
        job = record.job
        synthetic = f" ({SYNTHETIC})" if job.synthetic else ""
        title = f"{job.dataset}{synthetic}, {one}, {job.label}, {job.observe}"
        data = pd.DataFrame({"data": [SYNTHETIC if job.synthetic else REAL]})
        # The readable words may be those of another picture: of other observations or folds, or of "a/b" beside "a b".
        digest = hashlib.sha256(f"{job.id}\0{one}".encode()).hexdigest()[:6]
        words = f"arc-{job.dataset}-{job.label}-s{job.seed}-{one}"
        stem = re.sub(r"[^\w.-]+", "-", words).strip("-") + f"-{digest}"
        drawing = Drawing(stem, conversation_arc(groups[one], names, title), data)
        files += write_drawings(iter([drawing]), folder)[0]
    return files
