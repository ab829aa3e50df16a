"""What tables need to find in results, which conditions they print, and which metrics they hold.

Declarations in ``catalog.py`` name these. What only one table knows is asked of it when it is needed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..labels import AVERAGE, MISSING
from ..metrics.families import judges_answers

if TYPE_CHECKING:
    from ..metrics.base import Metric
    from .results import Result

#: Results in which a table finds what it needs.
Needs = Callable[[Sequence["Result"]], bool]


def several(tasks: int) -> Needs:
    """Whether two methods were done on as many tasks with the same modalities, protocol and kind of data."""

    def compared(results: Sequence[Result]) -> bool:
        blocks: dict[tuple, dict[tuple, bool]] = {}
        for r in results:
            rows = blocks.setdefault((r.protocol, r.synthetic, r.task, r.modalities), {})
            rows[r.method, r.draw] = rows.get((r.method, r.draw), True) and r.state == "done"
        complete = Counter(block[:2] for block, rows in blocks.items() if sum(rows.values()) > 1)
        return any(count >= tasks for count in complete.values())

    return compared


def has_shift_families(results: Sequence[Result]) -> bool:
    """Whether there are two shifts of a family."""
    from .targets import family_of

    tasks = {result.task for result in results if not result.folds}
    families = Counter(family for task in tasks if (family := family_of(task)))
    return any(count > 1 for count in families.values())


def has_damage(results: Sequence[Result]) -> bool:
    """Whether something was tested under further conditions."""
    return any(result.damaged for result in results)


def has_votes(results: Sequence[Result]) -> bool:
    """Whether an ensemble is among them."""
    return any(result.ensemble is not None for result in results)


def has_singles(results: Sequence[Result]) -> bool:
    """Whether a task was done with several modalities and with one of them alone."""
    joint = {one.task for one in results if "+" in one.modalities}
    return any(one.task in joint and "+" not in one.modalities for one in results)


def has_contributions(results: Sequence[Result]) -> bool:
    """Whether something of contributions was asked for: networks of single modalities, or probes."""
    return has_singles(results) or any(one.probes is not None and "+" in one.modalities for one in results)


def has_published_numbers(results: Sequence[Result]) -> bool:
    """Whether numbers that others published stand beside them."""
    from .published import has_published

    return has_published(results)


def tells_robustness(condition: str) -> bool:
    """Whether the table of robustness prints a condition."""
    from .robustness import is_summary

    return is_summary(condition)


def tells_mechanism(condition: str) -> bool:
    """Whether the table of mechanisms prints a condition."""
    from .mechanism import is_summary

    return is_summary(condition)


def tells_course(condition: str) -> bool:
    """Whether the table of courses prints a condition."""
    from .course import is_summary_epoch

    return is_summary_epoch(condition)


def tells_training(condition: str) -> bool:
    """Whether the record of trainings prints a condition."""
    from .training import is_tested_epoch

    return is_tested_epoch(condition)


def is_pattern(condition: str) -> bool:
    """Whether a condition is a pattern of missing modalities, or the mean over them."""
    return condition.startswith((MISSING, AVERAGE))


def is_rank(metric: Metric, condition: str) -> bool:
    """Whether a metric judges a ranking and no answers, under any condition."""
    return metric.kind == "rank" and not is_of_answers(metric)


def is_of_answers(metric: Metric) -> bool:
    """Whether a metric judges answers."""
    return judges_answers(metric.name, metric.kind)
