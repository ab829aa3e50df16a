"""Does the inner quantity of a method do what it is for? Its diagnostics under damage, and beside its errors.

A diagnostic is a number that a method gives for each sample beside its answer: a gate, a reliability, an energy. It is
averaged over samples, correlated with how severe the damage is, and correlated with how wrong the answer is. All of it
is computed on the same resamples of the samples, so that it has an interval over seeds and samples as scores have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..labels import CLEAN, KEYS, MISSING, REAL, SYNTHETIC
from ..stats.bootstrap import FEWER_DRAWS
from ..stats.intervals import interval
from .cells import Cell, Group, cells_of
from .diagnostic_scores import AXES, ERROR, MEAN, SEVERITY, Damage, damages, name_of, sheet_of
from .groups import groups_of, once_for_each, rows_with
from .results import Result
from .robustness import SEVERITIES, WeightedMean, weighted
from .score_sheet import Sheet, stored_sheet
from .typed_frame import typed_frame

#: How the condition of a row begins that is a mean over the kinds of damage to one modality.
ALL_KINDS = "mean:"

_READS = frozenset({"diagnostics"})

#: Columns of the table; each of the last three has an interval.
_NUMBERS = ("clean", "damaged", *(f"severity_{level}" for level in SEVERITIES))
_WITH_INTERVAL = ("rho_severity", "rho_error", "own_minus_other")


@dataclass(frozen=True)
class Scored:
    """The diagnostics of one method.

    Attributes:
        group: its seeds.
        diagnostics: their names.
        damages: what they were kept under.
        cells: ``name_of(quantity, diagnostic, condition)`` -> cell.
        hole: why there is nothing; empty where there is.
    """

    group: Group
    diagnostics: tuple[str, ...]
    damages: tuple[Damage, ...]
    cells: Mapping[str, Cell]
    hole: str = ""

    def damages_of(self, modality: str) -> list[Damage]:
        """The damages of several severities to that modality alone."""
        return [one for one in self.damages if one.modalities == (modality,) and len(one.levels) > 1]

    @property
    def broken(self) -> list[str]:
        """The modalities that were damaged at several severities."""
        names = [one.modalities[0] for one in self.damages if len(one.modalities) == 1]
        return [name for name in dict.fromkeys(names) if self.damages_of(name)]

    def mean_of(self, name: str, conditions: Iterable[str], less: Iterable[str] = ()) -> Cell:
        """The mean over cells, minus the mean over others.

        Args:
            name: of the new cell.
            conditions: the names of cells.
            less: the names of those whose mean is taken away.
        """
        names, others = list(conditions), list(less)
        weights = dict.fromkeys(names, 1 / len(names))
        for other in others:
            weights[other] = weights.get(other, 0.0) - 1 / len(others)
        return weighted([WeightedMean(name, weights)], self.cells)[name]


def mechanism(results: Iterable[Result], draws: int = FEWER_DRAWS, seed: int = 0) -> pd.DataFrame:
    """The diagnostics of each method on clean data, under damage, and beside its errors.

    A row for each method, diagnostic and condition: ``clean``; ``mean:audio``, over all kinds of damage of five
    severities to the audio; ``missing:audio``; ``random-frames``, over its rates; ``reliability:noise`` and
    ``reliability:missing``, over an axis of the reliability grid; then single kinds, such as ``gaussian-noise:audio``. Where diagnostics ``NAME/...`` are shares that sum to 1, their entropy is a row too.

    Args:
        results: one a job. Those whose diagnostics were not asked for are left out, as are methods that give none.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        A frame with the columns task, modalities, protocol, data, method, ``n``, ``diagnostic``, ``condition``; the mean on
        ``clean`` data, ``damaged``, over all severities of the row, and at ``severity_1`` ...; with ``_low`` and ``_high``,
        95 % over seeds and samples: ``rho_severity``, Spearman's correlation with the severity (0 for clean data) over
        samples and severities; ``rho_error``, the same with the error of the answer (absolute, or 0 and 1 for right and
        wrong classes); ``own_minus_other``, for the diagnostic of a modality, its mean where that modality is damaged minus
        that where another is, by the same kinds; and ``hole``, why there is nothing.

    Raises:
        ValueError: no result has diagnostics.
    """
    rows = [row for scored in scored_groups(results, draws, seed) for row in _rows(scored)]
    ends = [f"{name}{end}" for name in _WITH_INTERVAL for end in ("", "_low", "_high")]
    types = {
        **dict.fromkeys((*KEYS, "method", "n", "diagnostic", "condition"), "str"),
        **dict.fromkeys((*_NUMBERS, *ends), "float64"),
        "hole": "str",
    }
    return typed_frame(rows, types)


def is_summary(condition: str) -> bool:
    """Whether the row of a condition is printed: not one kind of damage to one modality alone."""
    return ":" not in condition or condition.startswith((ALL_KINDS, MISSING, *AXES))


def notes_of_mechanism(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the table."""
    notes = [
        "clean, damaged, severity_1 to 5: means over samples and seeds. rho_severity: Spearman's correlation with the "
        "severity, over samples and severities from 0, clean. rho_error: the same with the error of the answer. Brackets: "
        "95 % over seeds and samples. mean:MODALITY is over all kinds of damage to it; the CSV file has each kind."
    ]
    if np.isfinite(frame["own_minus_other"].to_numpy()).any():
        notes.append(
            "own_minus_other: the mean where the modality of the diagnostic is damaged minus that where another is, by the "
            "same kinds and severities."
        )
    return notes


@once_for_each
def scored_groups(results: Iterable[Result], draws: int = FEWER_DRAWS, seed: int = 0) -> list[Scored]:
    """The diagnostics of every method that has some.

    Args:
        results: as of ``mechanism``.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        In the order of ``groups_of``.

    Raises:
        ValueError: no result has diagnostics.
    """
    asked = rows_with(results, lambda one: one.diagnostics is not None)
    if not asked:
        raise ValueError(
            "no diagnostics were kept: run again with --diagnostics, and --corruptions for damage; nothing is trained anew"
        )
    scored = [_scored(group, draws, seed) for group in groups_of(asked)]
    found = [one for one in scored if one.diagnostics or one.hole]
    if not found:
        raise ValueError("none of the methods gives diagnostics; ebmc, qamoe, promma, cagmamba and cpsl do")
    return found


def _scored(group: Group, draws: int, seed: int) -> Scored:
    def read(result: Result) -> Sheet:
        cache = None if result.cache is None else result.cache.reading(_READS)
        return stored_sheet(
            cache,
            "mechanism",
            [draws, seed],
            lambda: sheet_of(result, group.metrics[0].mean.task, draws, seed),
        )

    cells = cells_of(group, read)
    if not cells:
        undone = [result for result in group.results if result.state != "done" or result.diagnostics is None]
        reason = f"{len(undone)} of {len(group.results)} seeds have no diagnostics" if undone else ""
        return Scored(group, (), (), {}, reason)
    parts = [name.split("|") for name in cells]
    conditions = dict.fromkeys(condition for quantity, _, condition in parts if quantity == MEAN)
    return Scored(
        group,
        tuple(dict.fromkeys(diagnostic for _, diagnostic, _ in parts)),
        tuple(damages(conditions, group.block.modalities)),
        cells,
    )


def modality_of(diagnostic: str, modalities: Sequence[str]) -> str:
    """The modality that a diagnostic ``NAME/MODALITY`` belongs to.

    Args:
        diagnostic: its name.
        modalities: those of the task.

    Returns:
        Empty where it belongs to none of them.
    """
    _, slash, name = diagnostic.rpartition("/")
    return name if slash and name in modalities else ""


def estimate(cell: Cell | None) -> tuple[float, float, float]:
    """The mean over seeds of a cell of one quantity, and its 95 % interval; NaN where there is none."""
    if cell is None or cell.scores is None:
        return np.nan, np.nan, np.nan
    low, high = interval(cell.scores, None)
    return float(cell.scores.values.mean()), float(low[0]), float(high[0])


def _rows(scored: Scored) -> Iterator[dict[str, object]]:
    group = scored.group
    done = sum(result.state == "done" for result in group.results)
    shared: dict[str, object] = {
        "task": group.block.task,
        "modalities": group.block.modalities,
        "protocol": group.block.protocol,
        "data": SYNTHETIC if group.block.synthetic else REAL,
        "method": f"{group.method} (draw {group.draw})" if group.draw else group.method,
        "n": str(done) if done == len(group.results) else f"{done} of {len(group.results)}",
    }
    if scored.hole:
        yield {**shared, "hole": scored.hole}
    for diagnostic in scored.diagnostics:
        clean = scored.cells[name_of(MEAN, diagnostic, CLEAN)]
        told = {**shared, "diagnostic": diagnostic, "clean": estimate(clean)[0], "hole": clean.hole}
        rho = _rho("rho_error", scored.cells.get(name_of(ERROR, diagnostic, CLEAN)))
        yield {**told, "condition": CLEAN, **rho}
        for modality in scored.broken:
            kinds = scored.damages_of(modality)
            yield {**told, "condition": f"{ALL_KINDS}{modality}", **_numbers(scored, diagnostic, kinds)}
        for damage in scored.damages:
            yield {**told, "condition": damage.name, **_numbers(scored, diagnostic, [damage])}


def _numbers(scored: Scored, diagnostic: str, kinds: Sequence[Damage]) -> dict[str, float]:
    """The numbers of a row: of one damage, or the means over several that break the same modality."""
    every = [name_of(MEAN, diagnostic, condition) for one in kinds for condition in one.levels.values()]
    numbers = {"damaged": estimate(scored.mean_of("damaged", every))[0]}
    if all(set(one.levels) == set(map(float, SEVERITIES)) for one in kinds):
        for level in SEVERITIES:
            numbers[f"severity_{level}"] = estimate(severity_mean(scored, diagnostic, kinds, level))[0]
    for column, quantity in (("rho_severity", SEVERITY), ("rho_error", ERROR)):
        names = [name_of(quantity, diagnostic, one.name) for one in kinds]
        if all(name in scored.cells for name in names):
            numbers |= _rho(column, scored.mean_of(column, names))
    own = modality_of(diagnostic, scored.group.block.modalities.split("+"))
    if own and kinds[0].modalities == (own,):
        numbers |= _contrast(scored, diagnostic, kinds)
    return numbers


def severity_mean(scored: Scored, diagnostic: str, kinds: Sequence[Damage], level: float) -> Cell:
    """The mean of a diagnostic over some kinds of damage at one severity.

    Args:
        scored: the diagnostics of one method.
        diagnostic: which.
        kinds: of damage, each with that severity among its ``levels``.
        level: the severity, 1 to 5.
    """
    names = [name_of(MEAN, diagnostic, one.levels[level]) for one in kinds]
    return scored.mean_of(f"severity {level}", names)


def _contrast(scored: Scored, diagnostic: str, kinds: Sequence[Damage]) -> dict[str, float]:
    """``own_minus_other`` with its interval; nothing where no kind was tested on another modality too."""
    ours: list[str] = []
    theirs: list[str] = []
    for one in kinds:
        others = [
            other
            for other in scored.damages
            if other.kind == one.kind and len(other.modalities) == 1 and other.modalities != one.modalities
        ]
        if others:
            ours += [name_of(MEAN, diagnostic, condition) for condition in one.levels.values()]
            theirs += [name_of(MEAN, diagnostic, name) for other in others for name in other.levels.values()]
    if not ours:
        return {}
    value, low, high = estimate(scored.mean_of("own minus other", ours, theirs))
    return {"own_minus_other": value, "own_minus_other_low": low, "own_minus_other_high": high}


def _rho(column: str, cell: Cell | None) -> dict[str, float]:
    value, low, high = estimate(cell)
    return {column: value, f"{column}_low": max(low, -1.0), f"{column}_high": min(high, 1.0)}
