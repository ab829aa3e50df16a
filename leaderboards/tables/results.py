"""What the tables are made of: one ``Result`` a job, finished or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ..labels import CONFIDENCE, DIAGNOSTIC, MISSING
from ..metrics.registry import family_metrics
from .score_sheet import SheetCache, short_hash

if TYPE_CHECKING:
    import pandas as pd

State = Literal[
    "done", "failed", "running", "queued", "planned", "interrupted", "dead", "cancelled", "pruned"
]


class UnusableError(ValueError):
    """A finished job whose predictions cannot be scored. The message is one line and says why."""


@dataclass(frozen=True)
class Result:
    """One job as the tables see it.

    Attributes:
        job: its id.
        method: what its row is called.
        task: source to target, such as ``"mosi+mosei->sims"``.
        modalities: what it was given, joined by ``+``, such as ``"text+audio"``.
        protocol: what it was trained under, such as ``"fair"``.
        seed: its seed; seeds of the same number are paired across methods.
        fold: which fold of cross-validation tested it, from 1; 0 where its data have parts of their own.
        folds: how many there are.
        left_out: the group that is its fold, such as a person, where every group is one; else empty.
        draw: which draw of the hyper-parameters.
        state: how far it is; only a ``"done"`` job has predictions.
        reason: why it failed, in one line; empty otherwise.
        family: the family of metrics that judges it, a key of ``FAMILIES``.
        synthetic: whether its data are a stand-in.
        audit: what a reader must know to compare rows: name -> value, such as the split that selected it.
        predictions: reads its prediction table: columns ``split``, ``condition``, ``sample_id``, ``target``,
            and ``score`` or ``logit_0`` ...; of several labels ``target_0`` ... for ``target``. Called whenever scores are not kept.
        further: reads the same under more conditions than clean and missing modalities, where there are any.
        features: reads clean outputs with the feature that the head reads, a column ``fused`` of arrays beside
            those of ``predictions``: ``train`` (source training), ``test``, and each OOD set, such as ``near:NAME``.
            None where they were not asked for.
        diagnostics: reads outputs as ``predictions`` does, under every condition that they were asked for, with a column
            ``diagnostic_NAME`` for each diagnostic; without a row where the method gives none. None where they were not
            asked for.
        imputations: reads outputs as ``diagnostics`` does, where entries of a modality were hidden, with the errors of what
            fills them; without a row where nothing does. None where they were not asked for.
        probes: reads outputs as ``predictions`` does, of a linear probe of each encoder, under ``probe:MODALITY``; without a row
            where the network gives no embeddings. None where they were not asked for.
        cache: stores its scores; None where they are made anew for each table.
        damaged: whether it was tested under more than clean and missing modalities.
        cost: name -> value of what it cost; see ``cost.QUANTITIES``.
        domains: the domains of its test samples.
        families: kind of corruption -> its family, of those that it was tested under; known only where
            something was damaged in training.
        trained: the families of corruption that were in training.
        epochs: reads what was noted at the end of each epoch of its training: ``train``, loss term -> mean over the epoch;
            ``loss``, that of validation; ``metric``, that by which epochs are selected, with
            ``metric_name``; ``tested``, whether the epoch's weights are tested; and ``diagnostics``, name -> value, where the method
            tells any. None where unknown.
        bound: whether it was trained on the target itself and stands beside a shift as its upper bound. Its
            protocol ends with ``UPPER_BOUND``, so that it is in a block of its own and never compared.
        held_out_test: of a fold, whether it validates, and all folds are tested on the same samples, which no network
            learned from; else it tests.
        ensemble: of what networks it is the vote; None for a network.
        classes: reads the names of its classes, or labels, in the order of its logits; None where unknown.
        lead: the metric by which tables of one metric judge it; empty, or one that does not judge its answers, for the
            first of its family.
    """

    job: str
    method: str
    task: str
    modalities: str
    protocol: str
    seed: int
    draw: int
    state: State
    reason: str
    family: str
    synthetic: bool
    audit: Mapping[str, str] = field(default_factory=dict)
    predictions: Callable[[], pd.DataFrame] | None = None
    further: Callable[[], pd.DataFrame] | None = None
    features: Callable[[], Mapping[str, pd.DataFrame]] | None = None
    cost: Mapping[str, float] = field(default_factory=dict)
    cache: SheetCache | None = None
    damaged: bool = False
    domains: tuple[str, ...] = ()
    families: Mapping[str, str] = field(default_factory=dict)
    trained: frozenset[str] = frozenset()
    bound: bool = False
    diagnostics: Callable[[], pd.DataFrame] | None = None
    epochs: Callable[[], Sequence[Mapping[str, Any]]] | None = None
    fold: int = 0
    folds: int = 0
    imputations: Callable[[], pd.DataFrame] | None = None
    probes: Callable[[], pd.DataFrame] | None = None
    held_out_test: bool = False
    ensemble: Ensemble | None = None
    lead: str = ""
    left_out: str = ""
    classes: Callable[[], tuple[str, ...]] | None = None

    @property
    def place(self) -> str:
        """Which of the networks of its row it is: ``seed 0``, or ``fold 2/5 of seed 0``."""
        return f"fold {self.fold}/{self.folds} of seed {self.seed}" if self.folds else f"seed {self.seed}"

    def __post_init__(self) -> None:
        if self.state not in get_args(State):
            raise ValueError(f"job {self.job}: unknown state {self.state!r}")
        if self.state == "done" and self.predictions is None:
            raise ValueError(f"job {self.job}: done, but without predictions")
        family_metrics(self.family)


@dataclass(frozen=True)
class Ensemble:
    """Of what a row is the vote.

    Attributes:
        kind: what the members differ in: ``"folds"``, ``"seeds"`` or ``"methods"``.
        how: ``"soft vote"`` (of scores: ``"mean"``) or ``"stacking"``.
        of: what the members are called together, such as ``"erm"``.
        members: their results, one a network.
    """

    kind: str
    how: str
    of: str
    members: tuple[Result, ...]


@dataclass(frozen=True)
class Outputs:
    """What one network answered for the samples of one split under one condition.

    Attributes:
        sample_id: [N], unique, in ascending order, so that networks can be paired.
        target: [N], or [N, C] of several labels.
        prediction: [N] scores or [N, C] logits.
        log_variance: [N], the logarithm of the predicted variance, where the method gives one.
        of: which samples with which targets, as ``Sheet.of``.
        confidence: name -> [N], the method's own, larger is surer.
        diagnostics: name -> [N].
    """

    sample_id: np.ndarray
    target: np.ndarray
    prediction: np.ndarray
    log_variance: np.ndarray | None = None
    of: str = ""
    confidence: Mapping[str, np.ndarray] = field(default_factory=dict)
    diagnostics: Mapping[str, np.ndarray] = field(default_factory=dict)


def missing_patterns(modalities: str) -> tuple[str, ...]:
    """Every condition in which something but not everything is missing.

    Args:
        modalities: joined by ``+``.

    Returns:
        For ``"text+audio"``: ``("missing:text", "missing:audio")``; fewest missing first, then in the order
        of ``modalities``. Empty for a single modality.
    """
    names = modalities.split("+")
    return tuple(
        MISSING + "+".join(gone) for size in range(1, len(names)) for gone in combinations(names, size)
    )


def read_outputs(
    result: Result, split: str = "test", further: bool = False, condition: str | None = None
) -> dict[str, Outputs]:
    """Reads the predictions of a finished job.

    Args:
        result: a job that is done.
        split: which split.
        further: whether those under further conditions are read too.
        condition: the only one that is wanted, as predictions name it; None for all.

    Returns:
        condition -> outputs; what is missing is named in the order of ``result.modalities``.

    Raises:
        UnusableError: the table cannot be read, lacks a column, or names a sample twice.
    """
    if result.predictions is None:
        raise UnusableError("no predictions")
    try:
        tables = [result.predictions()]
        if further and result.further is not None:
            tables.append(result.further())
    except UnusableError:  # as of an ensemble whose members cannot be stacked: it says why itself
        raise
    except (OSError, ValueError, KeyError) as error:
        raise UnusableError(f"predictions cannot be read: {one_line(str(error))}") from error
    return {name: outputs for table in tables for name, outputs in _outputs(table, result, split, condition)}


def read_diagnostics(result: Result) -> dict[str, Outputs]:
    """Reads the diagnostics of a finished job, with the outputs that they belong to; as ``read_outputs``."""
    if result.diagnostics is None:
        raise UnusableError("no diagnostics: run again with --diagnostics")
    try:
        table = result.diagnostics()
    except (OSError, ValueError, KeyError) as error:
        raise UnusableError(f"diagnostics cannot be read: {one_line(str(error))}") from error
    return dict(_outputs(table, result, "test", None))


def read_probes(result: Result) -> dict[str, Outputs]:
    """Reads the outputs of the linear probes of a finished job, by ``probe:MODALITY``; as ``read_outputs``."""
    if result.probes is None:
        raise UnusableError("no linear probes: run again with --contribution; nothing is trained anew")
    try:
        table = result.probes()
    except (OSError, ValueError, KeyError) as error:
        raise UnusableError(f"linear probes cannot be read: {one_line(str(error))}") from error
    return dict(_outputs(table, result, "test", None))


def named_columns(table: pd.DataFrame, beginning: str) -> dict[str, np.ndarray]:
    """Name -> [N], of the columns whose names begin in a way.

    Args:
        table: outputs.
        beginning: ``CONFIDENCE`` or ``DIAGNOSTIC``.
    """
    columns = [str(name) for name in table if str(name).startswith(beginning)]
    return {name.removeprefix(beginning): table[name].to_numpy() for name in columns}


def _outputs(
    table: pd.DataFrame, result: Result, split: str, only: str | None
) -> Iterator[tuple[str, Outputs]]:
    """The outputs of each condition of a table, or of only one."""
    several = [name for name in target_columns(table) if name != "target"]
    lacking = [name for name in ("split", "condition", "sample_id", "target") if name not in table]
    lacking = [name for name in lacking if not (name == "target" and several)]
    if lacking:
        raise UnusableError(f"predictions lack the column {', '.join(lacking)}")
    wanted = table["split"] == split
    table = table.loc[wanted if only is None else wanted & (table["condition"] == only)]
    prediction = _prediction(table)
    target, sample_id = table[several or "target"].to_numpy(), table["sample_id"].to_numpy(dtype=object)
    variance = table["log_variance"].to_numpy() if "log_variance" in table else None
    confidence, diagnostics = named_columns(table, CONFIDENCE), named_columns(table, DIAGNOSTIC)
    last, order, ids_hash = np.empty(0, dtype=object), np.empty(0, dtype=np.int64), ""
    for condition, rows in table.groupby("condition", sort=False, observed=True).indices.items():
        ids = sample_id[rows]
        if not np.array_equal(ids, last):  # mostly, all conditions have the samples in the same order
            if len(set(ids)) < len(ids):
                raise UnusableError(f"predictions name a sample twice: {split}, {condition}")
            last, order = ids, np.argsort(ids)
            ids_hash = short_hash("\0".join(ids[order]).encode())
        rows = rows[order]
        spread = None if variance is None else variance[rows]
        of = f"{ids_hash}:{short_hash(np.ascontiguousarray(target[rows]).tobytes())}"
        name = _in_order(str(condition), result.modalities)
        yield (
            name,
            Outputs(
                sample_id[rows],
                target[rows],
                prediction[rows],
                spread,
                of,
                {key: values[rows] for key, values in confidence.items()},
                {key: values[rows] for key, values in diagnostics.items()},
            ),
        )


def one_line(text: str, longest: int = 500) -> str:
    """Text on one line; runs of white space become one space.

    Args:
        text: of any length.
        longest: characters after which it is cut, with an ellipsis as the last.
    """
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def prediction_columns(table: pd.DataFrame) -> list[str]:
    """The columns of the answer: ``score``, or ``logit_0``, ``logit_1``, ... Raises UnusableError where it has neither."""
    if "score" in table:
        return ["score"]
    logits = [name for name in table if str(name).startswith("logit_")]
    expected = [f"logit_{index}" for index in range(len(logits))]
    if not logits or set(logits) != set(expected):
        raise UnusableError("predictions have neither a column score nor the columns logit_0, logit_1, ...")
    return expected


def target_columns(table: pd.DataFrame) -> list[str]:
    """The columns of the target: ``target``; of several labels ``target_0``, ``target_1``, ..."""
    several = sum(str(name).startswith("target_") for name in table)
    return [f"target_{place}" for place in range(several)] or ["target"]


def _prediction(table: pd.DataFrame) -> np.ndarray:
    columns = prediction_columns(table)
    return table[columns[0] if columns == ["score"] else columns].to_numpy()


def _in_order(condition: str, modalities: str) -> str:
    if not condition.startswith(MISSING):
        return condition
    gone = condition.removeprefix(MISSING).split("+")
    names = modalities.split("+")
    if not set(gone) <= set(names):
        return condition
    return MISSING + "+".join(name for name in names if name in gone)
