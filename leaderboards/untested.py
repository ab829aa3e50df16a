"""Conditions that only some rows of a block were tested under: the others get a hole, not an empty place."""

from __future__ import annotations

from collections.abc import Sequence

from .scoring import Block, Cell, Group

UNTESTED = "not tested under it, as other rows were"


def filled(groups: Sequence[Group], cells: Sequence[dict[str, Cell]]) -> list[dict[str, Cell]]:
    """The cells of groups, each with every condition of its block."""
    conditions: dict[Block, dict[str, None]] = {}
    for group, row in zip(groups, cells, strict=True):
        conditions.setdefault(group.block, {}).update(dict.fromkeys(row))
    hole = Cell(UNTESTED, 0)
    return [
        {name: row.get(name, hole) for name in conditions[group.block]}
        for group, row in zip(groups, cells, strict=True)
    ]
