"""From results to scored groups: which jobs are the seeds of one row, and what they score under each condition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from itertools import pairwise
from typing import Any, TypeVar

from ..labels import CLEAN
from ..metrics.base import Metric, checked, task_of
from ..metrics.registry import METRICS, applies, family_metrics, find, judges_answers
from ..stats.bootstrap import DRAWS, Resampled, resample
from .cells import Block, Cell, Group, cells_of
from .results import Outputs, Result, one_line, read_outputs
from .score_sheet import Sheet, SheetEntry, sheet_from, stored_sheet

T = TypeVar("T")


def groups_of(results: Iterable[Result], metrics: Sequence[str] | None = None) -> list[Group]:
    """Sorts results into groups, in the order in which each group first appears.

    Args:
        results: one a job.
        metrics: names; None for all of each result's family. A metric of another task (regression or
            classification) than a group's is left out of that group.

    Returns:
        The groups that have a metric.

    Raises:
        ValueError: no results, an unknown metric, none that applies, two jobs of one group with the same
            seed, or one group of several families.
    """
    members_of: dict[tuple[Block, str, int], list[Result]] = {}
    for result in results:
        members_of.setdefault(_row_of(result), []).append(result)
    if not members_of:
        raise ValueError("no results: there is nothing to tabulate")
    chosen = None if metrics is None else [find(name) for name in metrics]
    groups = []
    for (block, method, draw), members in members_of.items():
        members.sort(key=lambda result: (result.seed, result.fold))
        for one, two in pairwise(members):
            if (one.seed, one.fold) == (two.seed, two.fold):
                raise ValueError(
                    f"jobs {one.job} and {two.job} are both {one.place} of {method}, {block.task}"
                )
            if one.folds != two.folds:
                raise ValueError(f"jobs {one.job} and {two.job} of {method} are of other numbers of folds")
            if one.held_out_test != two.held_out_test:
                raise ValueError(f"jobs {one.job} and {two.job} of {method} have folds of other kinds")
            if one.family != two.family:
                raise ValueError(
                    f"jobs {one.job} and {two.job} of {method} have different families of metrics"
                )
        family = _judging(members[0])
        own = family if chosen is None else tuple(m for m in chosen if applies(m, members[0].family))
        if own:
            groups.append(Group(block, method, draw, tuple(members), own))
    if not groups:
        raise ValueError(f"none of the metrics {', '.join(metrics or ())} applies to any of the results")
    return groups


def _judging(result: Result) -> tuple[Metric, ...]:
    """The metrics of the family of a result, and after them the one that leads where it judges such answers, too."""
    family = family_metrics(result.family)
    lead = METRICS.get(result.lead)
    if lead is None or lead in family or not judges_answers(lead.name, lead.kind):
        return family
    return (*family, lead) if applies(lead, result.family) else family


def led(groups: Iterable[Group]) -> list[Group]:
    """Groups whose first metric is the one that leads, for tables of one metric.

    Args:
        groups: as ``groups_of`` gives them, with all of their metrics.
    """
    found = []
    for group in groups:
        first = [metric for metric in group.metrics if metric.name == group.results[0].lead]
        others = (metric for metric in group.metrics if metric not in first)
        found.append(replace(group, metrics=(*first, *others)) if first else group)
    return found


def block_of(result: Result) -> Block:
    """What results must have in common to be compared with this one."""
    return Block(result.task, result.modalities, result.protocol, result.synthetic)


def _row_of(result: Result) -> tuple[Block, str, int]:
    """What the jobs of one group have in common."""
    return block_of(result), result.method, result.draw


def rows_with(results: Iterable[Result], has: Callable[[Result], bool]) -> list[Result]:
    """The jobs of every group in which one has what a table reads, so that the others are its holes.

    Args:
        results: one a job.
        has: whether a job has it.

    Returns:
        In the order of ``results``; none where no job has it.
    """
    results = list(results)
    rows = {_row_of(result) for result in results if has(result)}
    return [result for result in results if _row_of(result) in rows]


def score(
    group: Group,
    sheet: str,
    tests: Callable[[str], bool],
    draws: int,
    seed: int,
    always: Sequence[str] = (CLEAN,),
    further: bool = False,
) -> dict[str, Cell]:
    """Scores a group under the conditions that a table tests.

    Where any planned seed is not done, or its predictions cannot be used, the cell is a hole.

    Args:
        group: the group.
        sheet: the name of the table's sheets.
        tests: whether a condition belongs into it.
        draws: number of resamples of the samples.
        seed: of the resampling.
        always: conditions that stand first, whether tested or not.
        further: whether predictions under further conditions are read.

    Returns:
        condition -> cell, for every condition that any seed was tested under.
    """
    key = sheet_key(group.metrics, draws, seed)

    def read(result: Result) -> Sheet:
        def make() -> Sheet:
            outputs = read_outputs(result, further=further)
            tested = {name: one for name, one in outputs.items() if tests(name)}
            return scored(tested, group.metrics, draws, seed)

        return stored_sheet(result.cache, sheet, key, make)

    return cells_of(group, read, always)


def with_clean(cells: dict[str, Cell], group: Group, metrics: Sequence[Metric], seed: int) -> dict[str, Cell]:
    """Cells of a group of which the clean one has the interval that it has in the table of accuracy.

    Args:
        cells: condition -> cell, on fewer resamples than there.
        group: the group.
        metrics: all that score it there.
        seed: of the resampling.
    """
    own = cells.get(CLEAN)
    if own is None or own.scores is None:
        return cells
    judged = replace(as_read(group, OF_CLEAN), metrics=tuple(metrics))
    finest = score(judged, "clean", CLEAN.__eq__, DRAWS, seed)
    scores = finest[CLEAN].scores
    if scores is None or not own.comparable(finest[CLEAN]):
        return cells
    places = [list(metrics).index(metric) for metric in group.metrics]
    finer = replace(scores, values=scores.values[:, places], draws=scores.draws[:, :, places])
    return {**cells, CLEAN: replace(own, scores=replace(own.scores, finer=finer))}


#: The outputs that decide the scores of the table of accuracy.
OF_CLEAN = frozenset({"predictions"})


def as_read(group: Group, reads: frozenset[str]) -> Group:
    """The same group whose stored scores depend on some of the outputs alone.

    Args:
        group: the group.
        reads: of ``catalog.READABLE``.
    """
    results = (
        result if result.cache is None else replace(result, cache=result.cache.reading(reads))
        for result in group.results
    )
    return replace(group, results=tuple(results))


def once_for_each(make: Callable[..., T]) -> Callable[..., T]:
    """Keeps what was made of the last results or frame, for the next table that is made of the same."""
    last: list[tuple[object, object, T]] = []

    @wraps(make)
    def remembered(results: Any, *args: int) -> T:
        if not (last and last[0][0] is results and last[0][1] == args):
            last[:] = [(results, args, make(results, *args))]
        return last[0][2]

    return remembered


def sheet_key(metrics: Sequence[Metric], draws: int, seed: int) -> list[object]:
    """What decides the scores of a sheet beside the predictions: for metrics from outside, their code too.

    Args:
        metrics: those of the sheet, in order.
        draws: number of resamples.
        seed: of the resampling.
    """
    names = [f"{metric.name}@{metric.version}" if metric.version else metric.name for metric in metrics]
    return [names, draws, seed]


def scored(outputs: Mapping[str, Outputs], metrics: Sequence[Metric], draws: int, seed: int) -> Sheet:
    """The sheet of one network: every condition, judged by all metrics.

    Args:
        outputs: condition -> outputs.
        metrics: of one task, at least one.
        draws: number of resamples.
        seed: of the resampling.

    Returns:
        What the metrics refuse is a hole with the reason, and no error.
    """
    entries: dict[str, SheetEntry] = {}
    alike: dict[str, list[str]] = {}
    for condition, found in outputs.items():
        try:
            checked(task_of(metrics), found.target, found.prediction)
        except ValueError as error:
            entries[condition] = SheetEntry(None, hole=one_line(str(error)))
            continue
        entries[condition] = SheetEntry(None, found.of)
        alike.setdefault(found.of, []).append(condition)
    for of, conditions in alike.items():  # of the same samples, all at once
        predictions = [outputs[condition].prediction for condition in conditions]
        together = resample(metrics, outputs[conditions[0]].target, predictions, draws, seed)
        for row, condition in enumerate(conditions):
            one = slice(row, row + 1)
            scores = Resampled(together.values[one], together.draws[:, one], together.samples)
            entries[condition] = SheetEntry(scores, of)
    return sheet_from(entries, [metric.name for metric in metrics], draws)
