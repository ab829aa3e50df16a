"""What the encoders of a network are worth: what linear probes read from each, and how large the gradients of each were."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..labels import ENCODER_GRADIENT, PROBE
from ..stats.bootstrap import Resampled
from .cells import Cell, Group, cells_of
from .groups import as_read, scored, sheet_key
from .results import Result, UnusableError, read_probes
from .score_sheet import Sheet, SheetEntry, sheet_from, stored_sheet

#: What a ratio of gradient norms has in the place of a metric.
RATIO = "ratio"


def probe_cells(group: Group, names: Sequence[str], draws: int, seed: int) -> dict[str, Cell]:
    """The scores of a linear probe of each encoder, by the group's metrics.

    Args:
        group: the networks.
        names: their modalities.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        Modality -> cell; empty where no network of the group was asked for probes.
    """
    if all(result.probes is None for result in group.results):
        return {}
    key = sheet_key(group.metrics, draws, seed)

    def read(result: Result) -> Sheet:
        def make() -> Sheet:
            outputs = read_probes(result)
            if not outputs:
                raise UnusableError("the network gives no embeddings that a probe could read")
            return scored(outputs, group.metrics, draws, seed)

        return stored_sheet(result.cache, "probes", key, make)

    cells = cells_of(as_read(group, frozenset({"probes"})), read, [f"{PROBE}{name}" for name in names])
    return {name: cells[f"{PROBE}{name}"] for name in names}


def gradient_cells(group: Group, names: Sequence[str]) -> dict[str, Cell]:
    """The ratio of the gradient norm of each encoder to the mean of those of the others.

    A norm is averaged over the steps of every epoch up to the one whose weights are tested.

    Args:
        group: the networks.
        names: their modalities.

    Returns:
        Modality -> cell; empty where no network of the group kept the norms of any encoder.
    """
    norms = {id(result): _norms(result, names) for result in group.results}
    if not any(norms.values()):
        return {}

    def read(result: Result) -> Sheet:
        own = norms[id(result)]
        if not own:
            raise UnusableError(
                "no gradient norms: they are kept when a network is trained with --contribution"
            )
        return sheet_from({name: _ratio(name, own) for name in names}, [RATIO], 1)

    return cells_of(group, read, names)


def _norms(result: Result, names: Sequence[str]) -> dict[str, float]:
    """Modality -> the mean gradient norm of its encoder over the epochs up to the tested one."""
    if result.state != "done" or result.epochs is None:
        return {}
    epochs = result.epochs()
    last = max((place for place, epoch in enumerate(epochs) if epoch.get("tested")), default=len(epochs) - 1)
    told = [dict(epoch.get("diagnostics") or {}) for epoch in epochs[: last + 1]]
    found = {
        name: [float(one[f"{ENCODER_GRADIENT}{name}"]) for one in told if f"{ENCODER_GRADIENT}{name}" in one]
        for name in names
    }
    return {name: math.fsum(values) / len(values) for name, values in found.items() if values}


def _ratio(name: str, norms: dict[str, float]) -> SheetEntry:
    """The ratio of one encoder, without resamples: it is no mean over samples."""
    others = [value for other, value in norms.items() if other != name]
    if name not in norms:
        return SheetEntry(None, undefined=f"{name} has no encoder of its own with parameters")
    if not others or sum(others) == 0:
        return SheetEntry(None, undefined=f"no encoder but that of {name} had a gradient")
    value = norms[name] / (sum(others) / len(others))
    return SheetEntry(Resampled(np.array([[value]]), np.array([[[value]]]), 1))
