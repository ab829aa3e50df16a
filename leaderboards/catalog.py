"""All tables, one declaration each: what a table is called, who makes it, and what it reads of a job.

A new table is one file in ``tables/`` and one line in ``TABLES``. From the declaration come the choice of the command
(``--what``), which outputs decide whether stored scores are still those of a job, and what a stored row is checked by.
Nothing heavy is imported before a table is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .labels import CLEAN, Across
from .tables.needs import (
    Needs,
    has_contributions,
    has_damage,
    has_published_numbers,
    has_shift_families,
    has_votes,
    is_of_answers,
    is_pattern,
    is_rank,
    several,
    tells_course,
    tells_mechanism,
    tells_robustness,
    tells_training,
)

if TYPE_CHECKING:
    import pandas as pd

    from .metrics.base import Metric
    from .tables.results import Result

#: What a table can read of a job beside its records: outputs on clean data and with modalities missing; outputs under
#: further conditions, such as corruptions; clean outputs with the features that the head reads, of training, test and
#: OOD samples; outputs with the diagnostics of the method; the errors of what fills series; outputs of linear
#: probes of the encoders.
READABLE = frozenset({"predictions", "conditions", "features", "diagnostics", "imputations", "probes"})


class UndeclaredError(ValueError):
    """A table reads outputs that its declaration does not name."""


@dataclass(frozen=True)
class Table:
    """The declaration of a table.

    Attributes:
        name: what users type.
        title: what its title begins with.
        maker: ``module:function`` in ``leaderboards.tables``; of a table from outside, the function itself. It takes a
            sequence of results (or the frame of ``source``) and returns a tidy frame as ``tables.accuracy`` does, or
            any frame where ``plain``. It raises ValueError where the results hold nothing for it.
        reads: which outputs of a job it reads, of ``READABLE``. It is given no others, and its stored scores are made
            anew when these change.
        across: what its columns are: metrics on clean data, or conditions.
        needs: whether results hold what it needs. A table that is named by the user is made all the same.
        shown: which conditions are printed; the CSV file has all. Of a plain table too, where it has such a column.
        holds: whether a row of a metric under a condition can be in it and can be computed again from the predictions
            of the row's own jobs.
        against_reference: whether it divides by a reference run, which the user can name.
        source: name of the table whose frame it is made from, instead of results.
        over_tasks: whether it is made of the jobs of several tasks at once, and not task by task.
        plain: whether its frame has columns of its own, and not those of ``tables.accuracy.COLUMNS``.
        bounds: whether upper bounds have a row in it.
        singles: whether it reads, beside the jobs of a task and modality set, those on single modalities of that set.
        complete: whether predictions that cannot be scored make the command fail (``accuracy.unscored``); else only seeds
            that are planned and not usable do.
        notes: ``module:function``, or the function itself, that gives what a reader must know beside a plain table, as
            lines, from its frame.
        noted: whether the notes name the rows that have a ``note``, so that these are not printed, where others are left.
        origin: where a table from outside comes from, with its version; empty for tables of mmbench.
    """

    name: str
    title: str
    maker: str | Callable[..., pd.DataFrame]
    reads: frozenset[str] | set[str] = frozenset({"predictions"})
    across: Across = "metric"
    needs: Needs = lambda results: True
    shown: Callable[[str], bool] = lambda condition: True
    holds: Callable[[Metric, str], bool] = lambda metric, condition: False
    against_reference: bool = False
    source: str = ""
    over_tasks: bool = False
    plain: bool = False
    bounds: bool = False
    singles: bool = False
    complete: bool = False
    notes: str | Callable[[pd.DataFrame], list[str]] | None = None
    noted: bool = False
    origin: str = ""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.reads) - READABLE)
        if unknown:
            raise ValueError(f"table {self.name!r} reads {unknown[0]!r}: expected any of {sorted(READABLE)}")
        if not self.name.isidentifier():
            raise ValueError(f"table {self.name!r}: a name has letters, digits and '_'")

    def make(self, given: Sequence[Result] | pd.DataFrame, reference: str = "") -> pd.DataFrame:
        """Makes its tidy frame.

        Args:
            given: one result a job, whatever its state; or the frame of ``source``.
            reference: the row that it divides by, where ``against_reference``; empty for the default.

        Returns:
            The frame, at full precision.

        Raises:
            ValueError: there is nothing for it.
        """
        options = {"reference": reference} if self.against_reference else {}
        return _function(self.maker)(given if self.source else _given(given, self), **options)

    def shown_rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of its frame that are printed."""
        if self.noted and "" in set(frame["note"]):
            frame = frame.loc[frame["note"] == ""]
        if "condition" not in frame:
            return frame
        return frame.loc[[self.shown(condition) for condition in frame["condition"]]]

    def notes_of(self, frame: pd.DataFrame) -> list[str]:
        """What a reader must know beside its frame; for tables that are not plain, ``render.notes`` says it."""
        return [] if self.notes is None else _function(self.notes)(frame)


def _function(target: str | Callable[..., Any]) -> Callable[..., Any]:
    """The function that a declaration names."""
    if not isinstance(target, str):
        return target
    module, _, function = target.partition(":")
    return getattr(import_module(f"mmbench.leaderboards.tables.{module}"), function)


#: The last results that a table was given and how: tables that read the same share what they compute of one list.
_last: list[tuple[Any, tuple[object, ...], list[Result]]] = []


def _given(results: Any, table: Table) -> list[Result]:
    """The results as a table may read them: without upper bounds that have no row in it, and without outputs that it
    does not declare.

    Args:
        results: one a job.
        table: its declaration.
    """
    key = (frozenset(table.reads), table.bounds, table.origin, table.name if table.origin else "")
    if not (_last and _last[0][0] is results and _last[0][1] == key):
        chosen = [result for result in results if table.bounds or not result.bound]
        _last[:] = [(results, key, [_readable(result, table) for result in chosen])]
    return _last[0][2]


def _readable(result: Result, table: Table) -> Result:
    outputs = {
        "predictions": "predictions",
        "conditions": "further",
        "features": "features",
        "diagnostics": "diagnostics",
        "imputations": "imputations",
        "probes": "probes",
    }
    hidden = {
        field: _refusal(table, name)
        for name, field in outputs.items()
        if name not in table.reads and getattr(result, field) is not None
    }
    cache = None if result.cache is None else result.cache.reading(frozenset(table.reads), table.origin)
    return replace(result, cache=cache, **hidden)


def _refusal(table: Table, name: str) -> Callable[[], Any]:
    def refuse() -> Any:
        raise UndeclaredError(
            f"table {table.name} reads {name}, which its declaration does not name in reads"
        )

    return refuse


#: Name -> declaration, in the order in which tables are printed.
TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "accuracy",
            "Accuracy on complete test data",
            "accuracy:accuracy",
            holds=lambda metric, condition: is_of_answers(metric) and condition == CLEAN,
            bounds=True,
            complete=True,
        ),
        Table(
            "targets",
            "Mean over targets",
            "targets:targets",
            across="condition",
            needs=has_shift_families,
            over_tasks=True,
        ),
        Table(
            "gap",
            "Share of the gap from ERM to the oracle that is closed",
            "gap:gap",
            needs=lambda results: any(result.bound for result in results),
            bounds=True,
        ),
        Table(
            "missing",
            "Missing modalities at test time",
            "accuracy:missing",
            across="condition",
            needs=lambda results: any("+" in result.modalities for result in results),
            holds=lambda metric, condition: is_of_answers(metric) and is_pattern(condition),
            complete=True,
        ),
        Table(
            "by_label",
            "Label by label",
            "by_label:by_label",
            needs=lambda results: any(result.family == "multi-label" for result in results),
            plain=True,
            notes="by_label:notes_of_by_label",
            noted=True,
        ),
        Table(
            "contribution",
            "Contribution of each modality",
            "contribution:contribution",
            reads={"predictions", "probes"},
            needs=has_contributions,
            singles=True,
            plain=True,
            notes="contribution:notes_of_contribution",
        ),
        Table(
            "robustness",
            "Robustness to corruption",
            "robustness:robustness",
            reads={"predictions", "conditions"},
            across="condition",
            needs=has_damage,
            shown=tells_robustness,
            holds=lambda metric, condition: (
                is_of_answers(metric) and condition != CLEAN and not is_pattern(condition)
            ),
        ),
        Table(
            "relative",
            "Robustness in relation to clean data and to a reference run",
            "relative:relative",
            reads={"predictions", "conditions"},
            needs=has_damage,
            holds=lambda metric, condition: "relative" in metric.families,
            against_reference=True,
        ),
        Table(
            "folds",
            "Cross-validation: mean over folds, and out-of-fold",
            "folds:folds",
            needs=lambda results: any(result.folds for result in results),
            plain=True,
            notes="folds:notes_of_folds",
        ),
        Table(
            "ensembles",
            "Ensembles: votes beside their members",
            "ensembles:ensembles",
            needs=has_votes,
            plain=True,
            notes="ensembles:notes_of_ensembles",
        ),
        Table("misd", "Misclassification detection", "trust:misclassification", holds=is_rank),
        Table(
            "ood",
            "OOD detection",
            "trust:ood",
            reads={"features"},
            across="condition",
            needs=lambda results: any(result.features is not None for result in results),
            holds=is_rank,
        ),
        Table("calibration", "Calibration", "trust:calibration", holds=is_rank),
        Table(
            "mechanism",
            "Mechanism: diagnostics under damage and beside errors",
            "mechanism:mechanism",
            reads={"diagnostics"},
            needs=lambda results: any(result.diagnostics is not None for result in results),
            shown=tells_mechanism,
            plain=True,
            notes="mechanism:notes_of_mechanism",
        ),
        Table(
            "course",
            "Course of the training: loss terms, and what methods tell of themselves",
            "course:course",
            reads=set(),
            needs=lambda results: any(result.diagnostics is not None for result in results),
            shown=tells_course,
            plain=True,
            notes="course:notes_of_course",
        ),
        Table(
            "training",
            "Record of the training of each network",
            "training:training",
            reads=set(),
            needs=lambda results: False,
            shown=tells_training,
            plain=True,
            notes="training:notes_of_training",
        ),
        Table(
            "imputation",
            "Imputation: errors on hidden observed entries",
            "imputation:imputation",
            reads={"imputations"},
            needs=lambda results: any(result.imputations is not None for result in results),
            plain=True,
            notes="imputation:notes_of_imputation",
        ),
        Table("cost", "Cost", "cost:cost", reads=set()),
        Table(
            "published",
            "Published numbers beside ours",
            "published:published",
            reads={"predictions", "conditions"},
            needs=has_published_numbers,
            plain=True,
            notes="published:notes_of_published",
            noted=True,
        ),
        Table("audit", "Audit", "cost:audit", plain=True, bounds=True, notes="cost:notes_of_audit"),
        Table(
            "ranks",
            "Average ranks over tasks",
            "comparisons:ranks",
            needs=several(tasks=2),
            source="accuracy",
            plain=True,
            notes="comparisons:notes_of_ranks",
        ),
        Table(
            "comparisons",
            "Pairs of methods over tasks",
            "comparisons:comparisons",
            needs=several(tasks=2),
            source="accuracy",
            plain=True,
            notes="comparisons:notes_of_comparisons",
        ),
        Table(
            "seeds",
            "Seeds needed to tell a method from the best",
            "comparisons:seeds",
            needs=several(tasks=1),
            source="accuracy",
            plain=True,
            notes="comparisons:notes_of_seeds",
        ),
    )
}
