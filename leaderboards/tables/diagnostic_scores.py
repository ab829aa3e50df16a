"""The diagnostics of one network: their means under every condition, and how they go with severities and errors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..labels import CLEAN, MISSING
from ..metrics.base import Task, checked, once
from ..stats.bootstrap import Resampled, resample_counts, resample_weights
from ..stats.rank_correlation import spearman
from .results import Outputs, Result, UnusableError, missing_patterns, read_diagnostics
from .robustness import GRID, RATES, reliability_point
from .score_sheet import Sheet, SheetEntry, sheet_from

#: What is computed of a diagnostic: its mean, and its correlation with the severity and with the error.
MEAN, SEVERITY, ERROR = "mean", "severity", "error"

#: The axes of the reliability grid: noise, and the share of frames that are missing.
AXES = ("reliability:noise", "reliability:missing")

_SEVERE = re.compile(r"(?P<kind>[^:@]+:(?P<modality>[^@]+))@(?P<severity>[1-5])")
_RATE = re.compile(r"(?P<kind>[^:@]+)@(?P<rate>[01]\.\d)")


@dataclass(frozen=True)
class Damage:
    """A kind of damage to one modality, or to any.

    Attributes:
        name: ``"gaussian-noise:audio"``, ``"missing:audio"`` or ``"random-frames"``; of the reliability grid
            ``"reliability:noise"`` and ``"reliability:missing"``, the axes along which the other one is 0.
        modalities: those that it breaks; empty where it breaks any.
        levels: severity or rate -> condition, in ascending order, without clean data.
    """

    name: str
    modalities: tuple[str, ...]
    levels: Mapping[float, str]

    @property
    def kind(self) -> str:
        """``"gaussian-noise"``."""
        return self.name.partition(":")[0]


def name_of(quantity: str, diagnostic: str, condition: str) -> str:
    """The name of a cell.

    Args:
        quantity: ``MEAN``, ``SEVERITY`` or ``ERROR``.
        diagnostic: its name.
        condition: name of a condition, or of a kind of damage.

    Returns:
        ``"mean|gate/text|clean"``.
    """
    return f"{quantity}|{diagnostic}|{condition}"


def damages(conditions: Iterable[str], modalities: str) -> list[Damage]:
    """The damages that some conditions are of: missing modalities, corruptions of five severities, missing rates, and the
    axes of the reliability grid.

    Args:
        conditions: names.
        modalities: joined by ``+``.
    """
    tested = list(conditions)
    found = [
        Damage(name, tuple(name.removeprefix(MISSING).split("+")), {1.0: name})
        for name in missing_patterns(modalities)
        if name in tested
    ]
    levels: dict[str, dict[float, str]] = {}
    broken: dict[str, tuple[str, ...]] = {}
    for name in tested:
        severe, rate = _SEVERE.fullmatch(name), _RATE.fullmatch(name)
        if severe:
            levels.setdefault(severe["kind"], {})[float(severe["severity"])] = name
            broken[severe["kind"]] = (severe["modality"],)
        elif rate and rate["kind"] in RATES:
            levels.setdefault(rate["kind"], {})[float(rate["rate"])] = name
    for step in GRID[1:]:
        for axis, point in zip(AXES, ((step, 0.0), (0.0, step)), strict=True):
            if (name := reliability_point(*point)) in tested:
                levels.setdefault(axis, {})[step] = name
    return [
        *found,
        *(Damage(name, broken.get(name, ()), dict(sorted(own.items()))) for name, own in levels.items()),
    ]


def sheet_of(result: Result, task: Task, draws: int, seed: int) -> Sheet:
    """The means and correlations of the diagnostics of one network.

    Args:
        result: a job that is done.
        task: what its answers are, which says what an error is.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        A sheet with the one measure ``mean``; a condition is what ``name_of`` names. It is empty where the method gives no
        diagnostics.

    Raises:
        UnusableError: the diagnostics cannot be read, are not finite, or are not of the same samples everywhere.
    """
    outputs = read_diagnostics(result)
    if not outputs:  # the method gives none
        return sheet_from({}, [MEAN], draws)
    if len({one.of for one in outputs.values()}) > 1:
        raise UnusableError("the conditions were tested on different samples")
    if CLEAN not in outputs:
        raise UnusableError("no diagnostics on clean data")
    values = {name: _values(name, one) for name, one in outputs.items()}
    shares = [
        prefix for prefix in _prefixes(values[CLEAN]) if all(_sums_to_one(prefix, v) for v in values.values())
    ]
    for own in values.values():
        own |= {f"entropy of {prefix}": _entropy(_members(prefix, own)) for prefix in shares}
    errors = {name: _error(task, one) for name, one in outputs.items()}
    entries = {
        name: SheetEntry(
            Resampled(value.reshape(1, 1), sampled.reshape(-1, 1, 1), len(errors[CLEAN])), outputs[CLEAN].of
        )
        for name, value, sampled in _quantities(values, errors, result.modalities, draws, seed)
    }
    return sheet_from(entries, [MEAN], draws)


def _values(condition: str, outputs: Outputs) -> dict[str, np.ndarray]:
    for name, values in outputs.diagnostics.items():
        if not np.isfinite(values).all():
            raise UnusableError(f"diagnostic {name} has values that are not finite under {condition}")
    return {name: values.astype(np.float64) for name, values in outputs.diagnostics.items()}


def _error(task: Task, outputs: Outputs) -> np.ndarray:
    """[N]: 0 or 1 for right and wrong classes, the absolute error for scores."""
    target, prediction = checked(task, outputs.target, outputs.prediction)
    if prediction.ndim == 2:
        return (prediction.argmax(axis=1) != target).astype(np.float64)
    return np.abs(prediction.astype(np.float64) - target)


def _quantities(
    values: Mapping[str, Mapping[str, np.ndarray]],
    errors: Mapping[str, np.ndarray],
    modalities: str,
    draws: int,
    seed: int,
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Every quantity of one network.

    Args:
        values: condition -> diagnostic -> [N].
        errors: condition -> [N].
        modalities: joined by ``+``.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        Name of the cell, its value [1], and its values on resamples [draws].
    """
    count = len(errors[CLEAN])
    weights = resample_weights(count, draws, seed)
    # A sample is resampled with all its states, so that its severities are not taken for independent samples.
    counts = np.concatenate([*once(errors[CLEAN]), resample_counts(count, draws, seed)])
    places = [
        (CLEAN, {0.0: CLEAN}),
        *((one.name, {0.0: CLEAN, **one.levels}) for one in damages(values, modalities)),
    ]
    for diagnostic in values[CLEAN]:
        for condition, own in values.items():
            means = weights @ own[diagnostic]
            yield name_of(MEAN, diagnostic, condition), own[diagnostic].mean()[None], means
        for name, levels in places:
            together = np.concatenate([values[condition][diagnostic] for condition in levels.values()])
            often = np.tile(counts, len(levels))
            wrong = np.concatenate([errors[condition] for condition in levels.values()])
            rho = spearman(together, wrong, often)
            yield name_of(ERROR, diagnostic, name), rho[:1], rho[1:]
            if len(levels) > 2:
                rho = spearman(together, np.repeat(list(levels), count), often)
                yield name_of(SEVERITY, diagnostic, name), rho[:1], rho[1:]


def _prefixes(values: Mapping[str, np.ndarray]) -> list[str]:
    """The parts before ``/`` that several diagnostics have in common."""
    names = [name.rpartition("/")[0] for name in values]
    return [name for name in dict.fromkeys(names) if name and names.count(name) > 1]


def _members(prefix: str, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """[members, N]."""
    return np.stack([own for name, own in values.items() if name.rpartition("/")[0] == prefix])


def _sums_to_one(prefix: str, values: Mapping[str, np.ndarray]) -> bool:
    members = _members(prefix, values)
    return bool((members >= -1e-6).all() and np.allclose(members.sum(axis=0), 1, atol=1e-3))


def _entropy(shares: np.ndarray) -> np.ndarray:
    """[members, N] shares -> [N]: their entropy as a share of the largest, 0 (one has all) to 1 (equal)."""
    logarithms = np.log(np.where(shares > 0, shares, 1.0))
    return -(shares * logarithms).sum(axis=0) / np.log(len(shares))
