"""Ensembles from stored predictions: results of networks to results of their votes, which every table judges as any row.

The members of an ensemble differ in one thing: the fold that they validated on, the seed, or the method. Nothing is
trained, and nothing is chosen by the test samples: a vote has equal weights, and stacking finds its own on validation
samples, which no member learned from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..labels import ENSEMBLES as KINDS
from ..metrics.base import task_of
from ..metrics.registry import family_metrics
from ..stats.voting import Answer
from .cells import Group
from .ensemble_votes import MEAN, SOFT_VOTE, STACKING, VotedOutputs
from .groups import block_of, groups_of
from .results import Ensemble, Result

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
        place = made.setdefault(block_of(group.results[0]), [])
        place += _results(team, kind, group)
    if not made:
        raise ValueError(_nothing(groups, kind))
    out: list[Result] = []
    last = {block_of(result): index for index, result in enumerate(results)}
    for index, result in enumerate(results):
        out.append(result)
        if last[block_of(result)] == index:
            out += made.get(block_of(result), [])
    return out


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
        outputs = VotedOutputs(members, how, answer, kind)
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
