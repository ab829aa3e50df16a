"""Selection of the epoch that is tested: pure functions over the record of the fit.

Every rule but ``last`` takes the epoch with the best metric of some split; ties go to the lower loss, then to the
earlier epoch, or as ``TIES`` says. Rules differ in the split:

* ``source-validation``: that of the sources.
* ``leave-one-source-out``: the validation split of each source in turn, by a companion network that was trained
  on the other sources alone; mean over the sources (Gulrajani and Lopez-Paz 2021, section 3, there for
  hyper-parameters).
* ``oracle``: the target's own validation split, never its test split. It shows what selection without the target costs,
  and is no fair result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Direction = Literal["lower", "higher"]
Rule = Literal["source-validation", "last", "leave-one-source-out", "oracle"]


@dataclass(frozen=True)
class Epoch:
    """The losses and metrics at the end of an epoch.

    Attributes:
        epoch: from 0.
        stage: which of the method's stages it belongs to.
        train: mean of each loss term over the epoch.
        loss: task loss on the source validation split.
        metric: that of ``selection_metric``, on the source validation split.
        target_loss, target_metric: the same on the target's validation split; None where the rule may not see it.
        diagnostics: what the method told of its training, by ``Method.epoch_diagnostics``.
    """

    epoch: int
    stage: int
    train: Mapping[str, float]
    loss: float
    metric: float
    target_loss: float | None = None
    target_metric: float | None = None
    diagnostics: Mapping[str, float] = field(default_factory=dict)


Record = Sequence[Epoch]


class Pruned(Exception):  # noqa: N818 - nothing went wrong
    """A trial ends early. The message says after which epoch; ``record`` holds its epochs."""

    def __init__(self, message: str, record: Sequence[Epoch]) -> None:
        super().__init__(message)
        self.record = tuple(record)


def selection_metric(kind: Literal["regression", "classification", "multi-label"], protocol: str) -> str:
    """The metric by which epochs are selected.

    Args:
        kind: of the task.
        protocol: its name. As published it is accuracy, by which an epoch that says the largest class of all samples can be
            the best where classes are imbalanced; else the mean over classes of the share that is found.

    Returns:
        ``mae``, ``accuracy`` or ``balanced_accuracy``; ``f1_macro_labels`` of several labels, under any protocol.
    """
    if kind == "multi-label":
        return "f1_macro_labels"
    if kind == "regression":
        return "mae"
    return "accuracy" if protocol == "as-published" else "balanced_accuracy"


#: Name of a rule -> key (of an epoch and its place in the record) whose minimum is taken among epochs with the same
#: metric. MMDG-Bench takes the earliest for HUST and sentiment, and the latest for action recognition.
TIES: dict[str, Callable[[Epoch, int], tuple[float, ...]]] = {
    "lower-loss": lambda epoch, place: (epoch.loss, place),
    "earliest": lambda epoch, place: (place,),
    "latest": lambda epoch, place: (-place,),
}


def select_epoch(
    rule: Rule,
    record: Record,
    direction: Direction,
    companions: Sequence[Record] = (),
    ties: str = "lower-loss",
) -> int:
    """The epoch that a rule selects, as its place in the record.

    Args:
        rule: its name.
        record: of the fit, one epoch or more.
        direction: whether lower or higher metrics are better.
        companions: under ``leave-one-source-out``, the record of each companion, at least as long.
        ties: which of epochs with the same metric is selected; one of ``TIES``.

    Raises:
        ValueError: the record lacks what the rule needs.
    """
    return (
        len(record) - 1
        if rule == "last"
        else _best(record_for_rule(rule, record, companions), direction, ties)
    )


def selection_score(
    rule: Rule,
    record: Record,
    direction: Direction,
    companions: Sequence[Record] = (),
    ties: str = "lower-loss",
) -> float:
    """How good a fit is under a rule, so that fits can be compared: higher is better, whatever the metric.

    It is the metric by which the rule selects (for ``last``, that of source validation) in the selected epoch, an error
    with its sign turned. Under every rule but ``oracle`` it knows nothing of the target.

    Args:
        rule, record, direction, companions, ties: as of ``select_epoch``.

    Raises:
        ValueError: the record lacks what the rule needs.
    """
    metric = record_for_rule(rule, record, companions)[
        select_epoch(rule, record, direction, companions, ties)
    ].metric
    return metric if direction == "higher" else -metric


def record_for_rule(rule: Rule, record: Record, companions: Sequence[Record] = ()) -> list[Epoch]:
    """The record with the loss and the metric by which a rule selects.

    Args:
        rule: its name.
        record: of the fit.
        companions: under ``leave-one-source-out``, the record of each companion, at least as long.

    Raises:
        ValueError: the record lacks what the rule needs.
    """
    if rule == "oracle":
        return [_on_target(epoch) for epoch in record]
    if rule == "leave-one-source-out":
        if not companions or any(len(one) < len(record) for one in companions):
            raise ValueError(f"{rule} needs the record of every companion, as long as that of the job")
        return [_mean(epoch, [one[place] for one in companions]) for place, epoch in enumerate(record)]
    return list(record)


def _best(record: Record, direction: Direction, ties: str) -> int:
    """The epoch with the best metric. Only epochs of the last stage count: before it, a network of several stages is not
    the method yet."""
    sign = 1.0 if direction == "lower" else -1.0
    final = max(item.stage for item in record)
    candidates = [place for place, item in enumerate(record) if item.stage == final]
    return min(candidates, key=lambda place: (sign * record[place].metric, *TIES[ties](record[place], place)))


def _on_target(epoch: Epoch) -> Epoch:
    if epoch.target_loss is None or epoch.target_metric is None:
        raise ValueError(f"epoch {epoch.epoch} was not validated on the target")
    return replace(epoch, loss=epoch.target_loss, metric=epoch.target_metric)


def _mean(epoch: Epoch, others: Sequence[Epoch]) -> Epoch:
    """The epoch with the mean over companions of their loss and metric on the source that each was trained without."""
    left_out = [_on_target(other) for other in others]
    loss = sum(other.loss for other in left_out) / len(left_out)
    metric = sum(other.metric for other in left_out) / len(left_out)
    return replace(epoch, loss=loss, metric=metric)
