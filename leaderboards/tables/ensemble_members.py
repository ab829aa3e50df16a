"""Ensembles from stored predictions: results of networks to results of their votes, which every table judges as any row.

The members of an ensemble differ in one thing: the fold that they validated on, the seed, or the method. Nothing is
trained, and nothing is chosen by the test samples: a vote has equal weights, and stacking finds its own on validation
samples, which no member learned from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import pandas as pd

from ..labels import CLEAN
from ..labels import ENSEMBLES as KINDS
from ..metrics.base import task_of
from ..metrics.registry import family_metrics
from ..stats.voting import Answer, stacking_weights, vote
from .cells import Group
from .groups import groups_of
from .results import Ensemble, Result, UnusableError, one_line, prediction_columns, target_columns

#: How their answers are put together.
SOFT_VOTE, MEAN, STACKING = "soft vote", "mean", "stacking"
#: What tells the rows of a prediction table apart.
_KEYS = ["split", "condition", "sample_id"]
#: The costs of an ensemble that are not the sum of its members': the largest of theirs, or nothing.
_LARGEST = ("peak_process_memory_gib", "peak_gpu_memory_gib")
_OF_ONE = ("selected_epoch",)
_ADVICE = {
    "seeds": "run several seeds, such as --seeds 0-4",
    "methods": "run two methods or more, or name more by --methods",
    "folds": "run --folds 5 --fold-parts train+valid/test, whose networks are all tested on the test part",
}


@dataclass(frozen=True)
class _Team:
    """The members of one ensemble, before it is made.

    Attributes:
        of: what they are called together.
        seed, fold, folds: those of the ensemble.
        members: one a network; empty where one is missing.
        missing: which is missing; empty where none is.
    """

    of: str
    seed: int
    fold: int
    folds: int
    members: tuple[Result, ...]
    missing: str = ""


def with_ensembles(results: Sequence[Result], kind: str) -> list[Result]:
    """The results and, behind those of its block, each ensemble of theirs.

    Args:
        results: one a job, whatever its state.
        kind: any of ``labels.ENSEMBLES``.

    Returns:
        With two rows more for each ensemble: its vote, and its stacking where members answered the same validation
        samples. A member that is not done, or lacks, makes its ensemble a failed one, which says which.

    Raises:
        ValueError: an unknown kind, or nothing has two members.
    """
    if kind not in KINDS:
        raise ValueError(f"--ensemble {kind!r}: write {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    groups = groups_of(result for result in results if not result.bound)
    made: dict[tuple, list[Result]] = {}
    for group, team in _teams(groups, kind):
        place = made.setdefault(_place(group.results[0]), [])
        place += _results(team, kind, group)
    if not made:
        raise ValueError(_nothing(groups, kind))
    out: list[Result] = []
    last = {_place(result): index for index, result in enumerate(results)}
    for index, result in enumerate(results):
        out.append(result)
        if last[_place(result)] == index:
            out += made.get(_place(result), [])
    return out


def _place(result: Result) -> tuple:
    return result.task, result.modalities, result.protocol, result.synthetic


def _nothing(groups: Sequence[Group], kind: str) -> str:
    """Why there is no ensemble, and what to do."""
    if kind == "folds" and any(group.folds for group in groups):
        return (
            "--ensemble folds: every fold tests other samples, and members must answer the same: "
            + _ADVICE[kind]
        )
    return f"--ensemble {kind}: an ensemble needs two members, and no row has more than one: {_ADVICE[kind]}"


def _teams(groups: Sequence[Group], kind: str) -> Iterator[tuple[Group, _Team]]:
    """The ensembles of a kind, each with a group of its block."""
    if kind == "methods":
        blocks: dict[tuple, list[Group]] = {}
        for group in groups:
            blocks.setdefault(group.block, []).append(group)
        for rows in blocks.values():
            if len(rows) > 1:
                yield from ((rows[0], team) for team in _across_methods(rows))
        return
    for group in groups:
        by: dict[int, list[Result]] = {}
        for result in group.results:
            by.setdefault(result.fold if kind == "seeds" else result.seed, []).append(result)
        for key, members in by.items():
            first, name = members[0], _name(group)
            if kind == "seeds" and len(members) > 1:
                yield group, _Team(name, first.seed, key, first.folds, tuple(members))
            if kind == "folds" and first.held_out_test:
                lost = [text for text in group.absent if text.endswith(f" of seed {key}")]
                missing = f"{lost[0]} of {name} is not in the store" if lost else ""
                yield group, _Team(name, key, 0, 0, tuple(members), missing)


def _across_methods(rows: Sequence[Group]) -> Iterator[_Team]:
    """One ensemble for each seed and fold that a method has."""
    networks = [{(one.seed, one.fold): one for one in group.results} for group in rows]
    for seed, fold in sorted(set().union(*networks)):
        members = tuple(own[seed, fold] for own in networks if (seed, fold) in own)
        lacking = [_name(group) for group, own in zip(rows, networks, strict=True) if (seed, fold) not in own]
        missing = f"{lacking[0]} has no {members[0].place}" if lacking else ""
        yield _Team("ensemble", seed, fold, members[0].folds, members, missing)


def _name(group: Group) -> str:
    return f"{group.method} (draw {group.draw})" if group.draw else group.method


def _results(team: _Team, kind: str, group: Group) -> list[Result]:
    """The rows of an ensemble."""
    members = team.members
    count = len(members) if not team.missing else 0
    answer = _answer(group)
    plain = MEAN if answer == "score" else SOFT_VOTE
    undone = [one for one in members if one.state != "done"]
    trouble = f"a member is missing: {team.missing}" if team.missing else ""
    if undone and not trouble:
        why = f": {undone[0].reason}" if undone[0].reason else ""
        trouble = f"a member is {undone[0].state}: {undone[0].place} of {undone[0].method}{why}"
    rows = []
    for how in (plain, STACKING) if kind != "folds" else (plain,):
        number = {"methods": len({one.method for one in members}), "folds": members[0].folds}.get(
            kind, len(members)
        )
        ensemble = Ensemble(kind, how, team.of, members)
        outputs = _Outputs(members, how, answer, kind)
        whole = not trouble
        rows.append(
            replace(
                members[0],
                job=" ".join(["ensemble", how.replace(" ", "-"), *(one.job for one in members)]),
                method=f"{team.of} [{how} of {number} {kind}]",
                draw=0,
                seed=team.seed,
                fold=team.fold,
                folds=team.folds,
                held_out_test=members[0].held_out_test and bool(team.folds),
                state="done" if whole else "failed",
                reason=trouble,
                audit=_audit(members, how, count),
                predictions=outputs.predictions if whole else None,
                further=outputs.further if whole and all(one.further for one in members) else None,
                features=outputs.features if whole and all(one.features for one in members) else None,
                diagnostics=None,
                imputations=None,
                probes=None,
                epochs=None,
                cache=None,
                cost=_cost(members) if whole else {},
                damaged=all(one.damaged for one in members),
                trained=frozenset().union(*(one.trained for one in members)),
                ensemble=ensemble,
            )
        )
    return rows


def _answer(group: Group) -> Answer:
    task = task_of(family_metrics(group.results[0].family))
    answers: dict[str, Answer] = {"regression": "score", "classification": "classes", "multi-label": "labels"}
    return answers[task]


def _audit(members: Sequence[Result], how: str, count: int) -> dict[str, str]:
    """What is said of the members, and that they are members."""
    names = dict.fromkeys(name for one in members for name in one.audit)
    own = {
        name: " / ".join(dict.fromkeys(str(one.audit.get(name, "not stated")) for one in members))
        for name in names
    }
    weights = "weights fitted on validation samples" if how == STACKING else "equal weights"
    called = ", ".join(dict.fromkeys(one.method for one in members))
    return {**own, "ensemble": f"{how} of {count} networks of {called}; {weights}"}


def _cost(members: Sequence[Result]) -> dict[str, float]:
    """What all members cost together; without what one of them did not measure."""
    names = [name for name in members[0].cost if all(name in one.cost for one in members)]
    return {
        name: (max if name in _LARGEST else sum)(one.cost[name] for one in members)
        for name in names
        if name not in _OF_ONE
    }


class _Outputs:
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
