"""Which corruptions a network met in training, by family, and which are held out for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set

import pandas as pd

from .cells import Group

SEEN, HELD_OUT = "mean_corruption_seen", "mean_corruption_held_out"

_KIND = re.compile(r"(?:mean:)?(?P<kind>[^:@]+):[^:@]+(?:@[1-5])?")


def by_training(
    conditions: Iterable[str], families: Mapping[str, str], trained: Set[str]
) -> dict[str, dict[str, float]]:
    """The means over corruptions of families that were in training, and over those that were not.

    Args:
        conditions: those of ``mean_corruption``, such as ``"drift:text@3"``.
        families: kind -> family, of the kinds that have one.
        trained: the families in training; empty where nothing was damaged.

    Returns:
        Name of the mean -> condition -> weight; without a mean over nothing. Empty where nothing was damaged
        in training (then all is held out), or where the family of a kind is not known.
    """
    kinds = {name: name.partition(":")[0] for name in conditions}
    if not trained or not families.keys() >= set(kinds.values()):
        return {}
    parts: dict[str, list[str]] = {SEEN: [], HELD_OUT: []}
    for name, kind in kinds.items():
        parts[SEEN if families[kind] in trained else HELD_OUT].append(name)
    return {name: dict.fromkeys(members, 1 / len(members)) for name, members in parts.items() if members}


def marks(conditions: Iterable[str], families: Mapping[str, str], trained: Set[str]) -> list[str]:
    """For each condition, whether its corruption is of a family that was held out of training.

    Args:
        conditions: names, such as ``"drift:text@3"`` or ``"mean:drift:text"``.
        families: kind -> family, of the kinds that have one.
        trained: the families in training.

    Returns:
        ``"yes"`` where the family was not in training, ``"no"`` where it was, ``""`` where the condition is
        no single kind of corruption or its family is not known.
    """
    held_out = []
    for name in conditions:
        matched = _KIND.fullmatch(name)
        family = families.get(matched["kind"]) if matched else None
        held_out.append("" if family is None else "no" if family in trained else "yes")
    return held_out


def damage_of(group: Group) -> tuple[dict[str, str], frozenset[str]]:
    """Kind -> family of what a group was tested under, and the families in its training."""
    families = {kind: name for result in group.results for kind, name in result.families.items()}
    return families, frozenset(name for result in group.results for name in result.trained)


def marked(frame: pd.DataFrame, groups: Sequence[Group]) -> pd.DataFrame:
    """A table with a column ``held_out`` of ``marks``, where anything was damaged in training.

    Args:
        frame: the table of the groups.
        groups: its groups; they are found by the column ``jobs``.

    Returns:
        The frame itself where nothing was damaged in training.
    """
    damage = {" ".join(result.job for result in group.results): damage_of(group) for group in groups}
    if not any(trained for _, trained in damage.values()):
        return frame
    rows = zip(frame["condition"], frame["jobs"], strict=True)
    return frame.assign(held_out=[marks([condition], *damage[jobs])[0] for condition, jobs in rows])
