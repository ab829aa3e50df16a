"""One job of a segmenter: fits, and its files."""

from __future__ import annotations

import hashlib
import io
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...leaderboards.metrics.segmentation import adjusted_rand_index
from ...regimes.segmenter import Conversation, Fitted
from ..core.environment import code_version
from .corpus import Corpus
from .job import RegimeJob
from .store import encode

#: Points of a trace that are kept.
TRACE = 100


def run_job(job: RegimeJob, corpus: Corpus, plugins: tuple[Path, ...] = ()) -> dict[str, bytes]:
    """Fits all conversations; all but one fold, for every fold; and all without their first steps.

    Args:
        job: what is asked.
        corpus: its conversations.
        plugins: files that bring the segmenter.

    Returns:
        Name -> content, of the files of the job.

    Raises:
        SegmenterError: the conversations cannot be fitted.
    """
    segmenter = job.build(plugins)
    conversations = corpus.conversations
    clock, seconds = time.perf_counter(), {}
    began = time.process_time()
    fitted = segmenter.fit(conversations, job.seed)
    seconds["fit"] = time.perf_counter() - clock
    processor = time.process_time() - began
    clock = time.perf_counter()
    held_out, reason = held_out_likelihood(job, segmenter, conversations)
    seconds["held_out"] = time.perf_counter() - clock
    clock = time.perf_counter()
    shifted = without_first_steps(job, segmenter, conversations, fitted)
    seconds["shifted"] = time.perf_counter() - clock

    table = pd.DataFrame(
        {
            "conversation": [one.id for one in conversations],
            "observed_steps": [int(one.known.any(axis=1).sum()) for one in conversations],
            "log_likelihood": held_out,
            "shifted_ari": shifted,
        }
    )
    found = fitted.segmentation
    record: dict[str, Any] = {
        "sweeps": found.sweeps,
        "rhat": _number(found.rhat),
        "self_transition": _number(found.self_transition),
        "regimes": found.count,
        "no_held_out": reason,
        "processor_seconds": processor,
        "about": found.about,
        "regressions": {modality: asdict(one) for modality, one in corpus.regressions.items()},
        "trace": {name: _thinned(values) for name, values in found.trace.items()},
    }
    environment = {
        "code": code_version(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("numpy", "scipy")},
        "seconds": seconds,
    }
    return {
        "states.parquet": parquet(states_table(corpus, fitted)),
        "held_out.parquet": parquet(table),
        "fit.json": encode(record),
        "environment.json": encode(environment),
    }


def folds_of(names: Sequence[str], folds: int) -> np.ndarray:
    """[conversations], int64: the fold of each, by the order of the hashes of their names; the same for every segmenter."""
    order = sorted(range(len(names)), key=lambda place: hashlib.sha256(names[place].encode()).digest())
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % min(folds, len(names))
    return fold


def held_out_likelihood(
    job: RegimeJob, segmenter: Any, conversations: Sequence[Conversation]
) -> tuple[np.ndarray, str]:
    """[conversations], nats: the log predictive density of each where it was left out; and why there is none, else empty."""
    nothing = np.full(len(conversations), np.nan)
    if not type(segmenter).probabilistic:
        return nothing, "has no density"
    if job.folds < 2:
        return nothing, "no folds were asked for"
    if len(conversations) < 2:
        return nothing, "one conversation alone: none can be left out"
    fold = folds_of([one.id for one in conversations], job.folds)
    for number in range(int(fold.max()) + 1):
        left_out = np.flatnonzero(fold == number)
        rest = [conversations[place] for place in np.flatnonzero(fold != number).tolist()]
        fitted = segmenter.fit(rest, job.seed)
        nothing[left_out] = fitted.log_likelihood([conversations[place] for place in left_out.tolist()])
    return nothing, ""


def without_first_steps(
    job: RegimeJob, segmenter: Any, conversations: Sequence[Conversation], fitted: Fitted
) -> np.ndarray:
    """[conversations]: the adjusted Rand index of a fit without the first step of each, on the steps that both have; NaN of a
    conversation of fewer than three steps."""
    found = np.full(len(conversations), np.nan)
    longer = [place for place, one in enumerate(conversations) if len(one) > 2]
    if not longer:
        return found
    other = segmenter.fit([conversations[place].first_step_left_out() for place in longer], job.seed)
    for place, regimes in zip(longer, other.segmentation.regimes, strict=True):
        found[place] = adjusted_rand_index(fitted.segmentation.regimes[place][1:], regimes)
    return found


def states_table(corpus: Corpus, fitted: Fitted) -> pd.DataFrame:
    """A row a step; see ``store.py``."""
    found, parts = fitted.segmentation, []
    for place, one in enumerate(corpus.conversations):
        columns: dict[str, Any] = {
            "conversation": one.id,
            "step": np.arange(len(one)),
            "speaker": "" if one.speaker is None else one.speaker,
            "label": None
            if corpus.labels is None
            else [corpus.classes[label] for label in corpus.labels[place]],
            "regime": found.regimes[place],
            "uncertainty": found.uncertainty[place],
        }
        for factor in range(found.states[place].shape[1]):
            columns[f"state_{factor}"] = found.states[place][:, factor]
            columns[f"posterior_{factor}"] = found.probability[place][:, factor]
        flat = one.observed.reshape(len(one), -1)
        columns |= {name: flat[:, column] for column, name in enumerate(corpus.columns)}
        parts.append(pd.DataFrame(columns))
    table = pd.concat(parts, ignore_index=True)
    return table.astype({"label": "string", "speaker": "string", "conversation": "string"})


def parquet(table: pd.DataFrame) -> bytes:
    """A table as a Parquet file."""
    content = io.BytesIO()
    table.to_parquet(content, index=False)
    return content.getvalue()


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _thinned(values: np.ndarray) -> list[list[float]]:
    every = max(1, values.shape[1] // TRACE)
    return [[float(f"{one:.6g}") for one in chain] for chain in values[:, ::every]]
