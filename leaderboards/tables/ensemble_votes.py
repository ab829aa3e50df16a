"""The prediction tables of an ensemble, from those of its members: their vote, and the weights of stacking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial

import numpy as np
import pandas as pd

from ..labels import CLEAN
from ..stats.voting import Answer, stacking_weights, vote
from .results import Result, UnusableError, one_line, prediction_columns, target_columns

#: How their answers are put together.
SOFT_VOTE, MEAN, STACKING = "soft vote", "mean", "stacking"
#: What tells the rows of a prediction table apart.
_KEYS = ["split", "condition", "sample_id"]


class VotedOutputs:
    """The prediction tables of an ensemble, made of those of its members when they are asked for.

    Args:
        members: of the ensemble.
        how: any of ``SOFT_VOTE``, ``MEAN`` and ``STACKING``.
        answer: what the members answer.
        kind: what they differ in.
    """

    def __init__(self, members: Sequence[Result], how: str, answer: Answer, kind: str) -> None:
        self._members, self._kind, self._how = members, kind, how
        self._answer: Answer = answer
        self.predictions = cache(partial(self._voted, "predictions"))
        self.further = cache(partial(self._voted, "further"))
        self._weights = cache(self._weights_of)

    def _voted(self, what: str) -> pd.DataFrame:
        """The vote on the test samples, under every condition that all members were tested under."""
        read = (
            held_tables(self._members)
            if what == "predictions"
            else [_read(one, what) for one in self._members]
        )
        tables = [_rows(table, "test") for table in read]
        return vote_of(tables, self._members, self._weights(), self._answer)

    def features(self) -> Mapping[str, pd.DataFrame]:
        """The vote on each set, with the members' features side by side; without those where members learned from other
        samples, as no score can then be fitted to them."""
        tables = [one.features() for one in self._members if one.features is not None]
        names = [name for name in tables[0] if all(name in table for table in tables)]
        out = {}
        for name in names:
            parts = [table[name] for table in tables]
            if name == "train" and self._kind == "folds":
                out[name] = parts[0].drop(columns="fused", errors="ignore")
                continue
            table = vote_of(parts, self._members, self._weights(), self._answer)
            if self._kind != "folds" and all("fused" in part for part in parts):
                aligned = _aligned(parts, self._members, "tested")
                whole = np.concatenate([np.stack(list(part["fused"])) for part in aligned], axis=1)
                table["fused"] = list(whole)
            out[name] = table
        return out

    def _weights_of(self) -> np.ndarray:
        count = len(self._members)
        if self._how != STACKING:
            return np.full(count, 1 / count)
        return held_out_weights(self._members, self._answer)


def _read(result: Result, what: str) -> pd.DataFrame:
    read = getattr(result, what)
    assert read is not None  # it is done
    return read()


#: The prediction tables of the members that were read last: vote, stacking and scores are made of the same.
_last: list[tuple[Sequence[Result], list[pd.DataFrame]]] = []


def held_tables(members: Sequence[Result]) -> list[pd.DataFrame]:
    """The prediction table of each member, read once for all that is made of the same members; nobody writes into it.

    Args:
        members: of an ensemble, done.

    Raises:
        UnusableError: one cannot be read.
    """
    if not (_last and _last[0][0] is members):
        tables = []
        for one in members:
            try:
                tables.append(_read(one, "predictions"))
            except (OSError, ValueError, KeyError) as error:
                raise UnusableError(f"{_called(one)} cannot be read: {one_line(str(error))}") from error
        _last[:] = [(members, tables)]
    return _last[0][1]


def held_out_weights(members: Sequence[Result], answer: Answer) -> np.ndarray:
    """The weights of stacking, from the members' answers to the validation samples that they share.

    Args:
        members: networks that validated on the same samples.
        answer: what they answer.

    Returns:
        [members] float64.

    Raises:
        UnusableError: they have no validation samples in common.
    """
    tables = [_rows(table, "valid") for table in held_tables(members)]
    tables = [table.loc[table["condition"] == CLEAN] for table in tables]
    tables = _aligned(tables, members, "validated")
    first = tables[0]
    if first.empty:
        raise UnusableError("stacking needs predictions for validation samples, and there are none")
    columns = prediction_columns(first)
    answers = [table[columns].to_numpy() for table in tables]
    target = first[target_columns(first)].to_numpy()
    if answer == "score":
        answers = [one[:, 0] for one in answers]
    return stacking_weights(answers, target if answer == "labels" else target[:, 0], answer)


def vote_of(
    tables: Sequence[pd.DataFrame], members: Sequence[Result], weights: np.ndarray, answer: Answer
) -> pd.DataFrame:
    """The prediction table of a vote.

    Args:
        tables: the prediction table of each member.
        members: for messages.
        weights: [members], as ``stats.voting.vote`` takes them.
        answer: what they answer.

    Returns:
        A prediction table, sorted by condition and sample; conditions that a member lacks are left out. The predicted
        variance of a mean is that of the mixture (Lakshminarayanan et al. 2017).

    Raises:
        UnusableError: two members answered other samples, or samples with other targets.
    """
    names = [set(table["condition"].unique()) for table in tables]
    common = set.intersection(*names)
    if any(own != common for own in names):
        tables = [table.loc[table["condition"].isin(list(common))] for table in tables]
    tables = _aligned(tables, members, "tested")
    first = tables[0]
    columns = prediction_columns(first)
    for table, one in zip(tables, members, strict=True):
        if prediction_columns(table) != columns:
            raise UnusableError(f"{_called(one)} answers in other columns than {_called(members[0])}")
    named = [*_KEYS, *(["domain"] if "domain" in first else []), *target_columns(first)]
    shared = first[named].reset_index(drop=True)
    answers = [table[columns].to_numpy() for table in tables]
    if answer != "score":
        voted = vote(answers, weights, answer)
        return shared.assign(**{name: voted[:, place] for place, name in enumerate(columns)})
    means = [one[:, 0].astype(np.float64) for one in answers]
    mean = vote(means, weights, answer)
    out = shared.assign(score=mean)
    if all("log_variance" in table for table in tables) and np.isclose(weights.sum(), 1):
        own = [np.exp(table["log_variance"].to_numpy(dtype=np.float64)) for table in tables]
        square = vote([v + m**2 for v, m in zip(own, means, strict=True)], weights, answer)
        out["log_variance"] = np.log(np.maximum(square - mean**2, np.finfo(np.float64).tiny))
    return out


def _rows(table: pd.DataFrame, split: str) -> pd.DataFrame:
    return table.loc[table["split"] == split]


def _aligned(tables: Sequence[pd.DataFrame], members: Sequence[Result], did: str) -> list[pd.DataFrame]:
    """The tables with the same samples in the same order.

    Args:
        tables: one a member.
        members: for messages.
        did: what the members did with the samples, for messages.

    Raises:
        UnusableError: a table is of other samples, or of other targets, than the first.
    """
    first = tables[0]
    keys = _keys_of(first)
    order = np.lexsort(keys[::-1])
    sorted_keys = [key[order] for key in keys]
    out = [first.take(order)]
    targets = target_columns(first)
    wanted = out[0][targets].to_numpy()
    for table, one in zip(tables[1:], members[1:], strict=True):
        own = _keys_of(table)
        own_order = order  # mostly, all members have the samples in the same order
        if not _equal(own, keys):
            own_order = np.lexsort(own[::-1])
            if not _equal([key[own_order] for key in own], sorted_keys):
                raise UnusableError(_otherwise(one, members[0], did, "samples"))
        out.append(table.take(own_order))
        if target_columns(table) != targets or not np.array_equal(out[-1][targets].to_numpy(), wanted):
            raise UnusableError(_otherwise(one, members[0], did, "targets"))
    return out


def _keys_of(table: pd.DataFrame) -> list[np.ndarray]:
    return [table[name].to_numpy(dtype=object).astype(str) for name in _KEYS]


def _equal(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))


def _otherwise(one: Result, first: Result, did: str, what: str) -> str:
    return f"{_called(one)} was {did} on other {what} than {_called(first)} and an ensemble needs the same"


def _called(result: Result) -> str:
    return f"{result.method}, {result.place},"
