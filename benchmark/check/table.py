"""What a table must do to take part."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import product

import numpy as np
import pandas as pd

from ...leaderboards.catalog import READABLE, TABLES, Table
from ...leaderboards.labels import CLEAN, PROBE, UPPER_BOUND
from ...leaderboards.tables.accuracy import COLUMNS
from ...leaderboards.tables.ensemble_members import with_ensembles
from ...leaderboards.tables.results import Result, missing_patterns

_SAMPLES = 24


@dataclass(frozen=True)
class TableTrial:
    """A table that is tried; the frame of all results, which several checks look at, is made once."""

    table: Table

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The frame of finished results of all kinds."""
        return _make(self.table, _results())


def its_frame_has_its_columns(trial: TableTrial) -> None:
    """Its frame has the columns of accuracy.COLUMNS with their types, or where it is plain, data as one of its own."""
    table, frame = trial.table, trial.frame
    assert len(frame), "it has no rows for finished results of all kinds"
    if table.plain:
        assert "data" in frame, "its frame has no column data, which says whether data are real"
        return
    expected = {name: kind for name, kind in COLUMNS.items() if not name.startswith("drop")}
    lacking = [name for name in expected if name not in frame]
    assert not lacking, f"its frame lacks the columns {', '.join(lacking)}"
    wrong = [name for name, kind in expected.items() if pd.Series(dtype=kind).dtype != frame[name].dtype]
    assert not wrong, f"columns have another type than in accuracy.COLUMNS: {', '.join(wrong)}"


def it_has_values(trial: TableTrial) -> None:
    """For finished results there are values, and no hole speaks of outputs that it does not declare."""
    table, frame = trial.table, trial.frame
    if table.plain:
        return
    holes = [hole for hole in frame["hole"].unique() if hole]
    undeclared = [hole for hole in holes if "does not name in reads" in hole]
    assert not undeclared, undeclared[0]
    assert not frame["mean"].dropna().empty, f"no row has a value: {'; '.join(holes[:2])}"


def the_order_of_results_does_not_matter(trial: TableTrial) -> None:
    """Results in another order give the same rows."""
    one, other = _sort_rows(trial.frame), _sort_rows(_make(trial.table, _results()[::-1]))
    differing = _difference(one, other)
    assert not differing, f"with results in another order, {differing}"


def a_job_that_failed_is_a_hole(trial: TableTrial) -> None:
    """Where a seed has failed, no row of its method has a mean over the seeds that are left."""
    table = trial.table
    if table.plain:
        return
    results = [_as_failed(one) if one.method == "other" and one.seed == 1 else one for one in _results()]
    frame = _make(table, results)
    rows = frame.loc[frame["method"] == "other"]
    averaged = rows.loc[rows["mean"].notna() & (rows["n"] < rows["n_planned"])]
    assert averaged.empty, f"of {len(averaged)} rows, means are over fewer seeds than were planned"
    assert "" not in set(rows["hole"]), "rows of a method with a failed seed do not say so in hole"


def without_results_it_says_so(trial: TableTrial) -> None:
    """Without any result it raises ValueError, or has no rows where it is made from another table."""
    table = trial.table
    try:
        frame = table.make(_make(TABLES[table.source], _results()).iloc[:0] if table.source else [])
    except ValueError:
        return
    assert table.source, "it gives a frame without any result: raise ValueError"
    assert frame.empty, "it has rows without any result"


def stored_scores_give_the_same(trial: TableTrial) -> None:
    """Made again from stored scores it is the same, and when predictions have changed it is made anew."""
    table = trial.table
    if table.source:
        return
    caches: dict[str, _MemoryCache] = {}
    first = _make(table, _results(caches))
    again = _make(table, _results(caches))
    differing = _difference(first, again)
    assert not differing, f"from stored scores, {differing}"
    anew, stale = _make(table, _results(shift=1)), _make(table, _results(caches, shift=1))
    differing = _difference(anew, stale)
    assert not differing, (
        f"after the predictions have changed, {differing}: does reads name all that it reads?"
    )


TABLE_CHECKS = (
    its_frame_has_its_columns,
    it_has_values,
    the_order_of_results_does_not_matter,
    a_job_that_failed_is_a_hole,
    without_results_it_says_so,
    stored_scores_give_the_same,
)


def _make(table: Table, results: Sequence[Result]) -> pd.DataFrame:
    source = TABLES[table.source].make(results) if table.source else None
    if not table.needs(results):  # what no job has, and is made of jobs when it is asked for
        results = with_ensembles(results, "seeds")
    return table.make(results if source is None else source)


def _sort_rows(frame: pd.DataFrame) -> pd.DataFrame:
    text = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name].dtype)]
    return frame.sort_values([*text, *(name for name in frame if name not in text)], ignore_index=True)


def _difference(one: pd.DataFrame, other: pd.DataFrame) -> str:
    """What two frames differ in, in words; empty where they are equal but for the rounding of stored resamples."""
    try:
        pd.testing.assert_frame_equal(one, other, rtol=1e-3, atol=1e-6, check_like=True)
    except AssertionError as error:
        return " ".join(str(error).split())[:300]
    return ""


def _as_failed(result: Result) -> Result:
    return replace(
        result,
        state="failed",
        reason="out of memory",
        predictions=None,
        further=None,
        features=None,
        diagnostics=None,
        imputations=None,
        probes=None,
    )


@dataclass
class _MemoryCache:
    """A cache of one job in memory, as ``score_cache.ScoreCache`` is one on disk."""

    sheets: dict[str, bytes] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=dict)
    reads: frozenset[str] = READABLE

    def reading(self, reads: frozenset[str], code: str = "") -> _MemoryCache:
        return replace(self, reads=reads)

    def fingerprint(self) -> str:
        return str([(name, self.versions.get(name, 0)) for name in sorted(self.reads)])

    def read(self, file: str) -> bytes | None:
        return self.sheets.get(file)

    def write(self, file: str, content: bytes) -> None:
        self.sheets[file] = content


def _results(caches: dict[str, _MemoryCache] | None = None, shift: int = 0) -> list[Result]:
    """Two methods with two seeds on a classification, a regression, a shift with an oracle and the one back, and with one
    seed a classification in two folds.

    Args:
        caches: job -> its cache, filled where a job has none; None for results without caches.
        shift: of the random numbers in the outputs: another shift stands for other predictions.
    """
    tasks = {
        "classes": "classification",
        "labels": "regression",
        "source->classes": "classification",
        "classes->source": "classification",
    }
    results = []
    for (task, family), method, seed in product(tasks.items(), ("erm", "other"), (0, 1)):
        results.append(_result(task, family, method, seed, caches, shift))
    for seed in (0, 1):
        results.append(_result("source->classes", "classification", "oracle", seed, caches, shift))
    for method, seed, fold in product(("erm", "other"), (1,), (1, 2)):
        results.append(
            _in_fold(_result("divided", "classification", method, seed, caches, shift, f"-{fold}"), fold)
        )
    return results


def _in_fold(result: Result, fold: int) -> Result:
    """The same network, tested on every second sample: one of two folds."""

    def own(table: pd.DataFrame) -> pd.DataFrame:
        return table.loc[table["sample_id"].astype(int) % 2 == fold - 1]

    read, further, features = result.predictions, result.further, result.features
    assert read is not None
    assert further is not None
    assert features is not None
    return replace(
        result,
        protocol="fair [2 folds]",
        fold=fold,
        folds=2,
        predictions=lambda: own(read()),
        further=lambda: own(further()),
        features=lambda: {name: own(rows) if name == "test" else rows for name, rows in features().items()},
    )


def _result(
    task: str,
    family: str,
    method: str,
    seed: int,
    caches: dict[str, _MemoryCache] | None,
    shift: int,
    end: str = "",
) -> Result:
    job, bound = f"{task.replace('->', '-')}-{method}-{seed}{end}", method == "oracle"
    skill = {"erm": 1.0, "other": 2.0, "oracle": 4.0}[method]
    severe = [f"noise:{name}@{severity}" for name in ("text", "audio") for severity in range(1, 6)]
    cache = None
    if caches is not None:
        cache = caches.setdefault(job, _MemoryCache())
        cache.versions = dict.fromkeys(READABLE, shift)
    outputs = _Outputs(family, job, skill, seed, shift)
    return Result(
        job=job,
        method=method,
        task=task,
        modalities="text+audio",
        protocol="fair" + (UPPER_BOUND if bound else ""),
        seed=seed,
        draw=0,
        state="done",
        reason="",
        family=family,
        synthetic=True,
        audit={"selected_by": "source validation"},
        predictions=lambda: outputs.table([CLEAN, *missing_patterns("text+audio")]),
        further=lambda: outputs.table(severe),
        features=lambda: {name: outputs.fused_rows(name) for name in ("train", "test", "far:other")},
        diagnostics=lambda: outputs.table([CLEAN, *missing_patterns("text+audio"), *severe], told=True),
        imputations=lambda: outputs.imputed(["missing-points:text@3", "missing:text"]),
        probes=lambda: outputs.table([f"{PROBE}{name}" for name in ("text", "audio")]),
        cost={"parameters": 100.0, "seconds_fit": 1.0 + seed},
        epochs=lambda: [
            {
                "epoch": epoch,
                "train": {"task": skill / (1 + epoch + seed)},
                "loss": 1.0,
                "diagnostics": {"norm": 1.0},
            }
            for epoch in range(3)
        ],
        cache=cache,
        damaged=True,
        families={"noise": "additive"},
        bound=bound,
    )


@dataclass(frozen=True)
class _Outputs:
    """Random outputs of one network that tell the target better the more skill it has.

    Attributes:
        family: ``"classification"`` or ``"regression"``.
        job: whose they are.
        skill: how much larger the target is than the noise.
        seed: of the network.
        shift: another one stands for other predictions.
    """

    family: str
    job: str
    skill: float
    seed: int
    shift: int

    def table(self, conditions: Sequence[str], told: bool = False) -> pd.DataFrame:
        """The prediction table of the test split; with diagnostics where ``told``."""
        return _drawn(self, tuple(conditions), told).copy()

    def drawn(self, conditions: Sequence[str], told: bool) -> pd.DataFrame:
        """``table``, drawn anew."""
        parts = [self._rows(name, condition=name) for name in conditions]
        if told:
            parts = [
                rows.assign(**{"diagnostic_gate/text": self._random(f"gate {name}").random(_SAMPLES)})
                for name, rows in zip(conditions, parts, strict=True)
            ]
        return pd.concat(parts, ignore_index=True)

    def imputed(self, conditions: Sequence[str]) -> pd.DataFrame:
        """Outputs where entries are hidden, with the sums of the errors of what fills them."""
        parts = []
        for name in conditions:
            sums = 4 * self._random(f"imputed {name}").random((_SAMPLES, 3)) / self.skill
            columns = dict(zip(("squared_error", "absolute_error", "crps"), sums.T, strict=True))
            columns |= {"rate": np.full(_SAMPLES, 1.0 if name.startswith("missing:") else 0.5)}
            columns |= {"hidden": np.full(_SAMPLES, 4.0)}
            told = {f"diagnostic_{key}": values for key, values in columns.items()}
            parts.append(self._rows(name, condition=name).assign(**told))
        return pd.concat(parts, ignore_index=True)

    def fused_rows(self, name: str) -> pd.DataFrame:
        """Clean outputs with features."""
        rows = self._rows(name, condition=CLEAN)
        away = 2.0 if name.startswith("far") else 0.0
        return rows.assign(fused=list(self._random(f"fused {name}").normal(away, 1, (_SAMPLES, 4))))

    def _rows(self, name: str, condition: str) -> pd.DataFrame:
        noise, latent = self._random(name), np.random.default_rng(0).normal(size=_SAMPLES)
        shared = {
            "split": "test",
            "condition": condition,
            "domain": "",
            "sample_id": list(map(str, range(_SAMPLES))),
        }
        if self.family == "regression":
            score = np.clip(latent + noise.normal(size=_SAMPLES) / self.skill, -3, 3)
            outputs = {"score": score, "log_variance": noise.normal(size=_SAMPLES)}
            return pd.DataFrame({**shared, "target": latent, **outputs})
        target = (latent > 0).astype(np.int64)
        logits = self.skill * np.eye(2)[target] + noise.normal(size=(_SAMPLES, 2))
        return pd.DataFrame({**shared, "target": target, "logit_0": logits[:, 0], "logit_1": logits[:, 1]})

    def _random(self, name: str) -> np.random.Generator:
        text = f"{self.job} {self.seed} {name} {self.shift}"
        return np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16))


@lru_cache(maxsize=256)
def _drawn(outputs: _Outputs, conditions: tuple[str, ...], told: bool) -> pd.DataFrame:
    """The table of outputs, kept because every check reads the same ones. Nobody may change it."""
    return outputs.drawn(conditions, told)
