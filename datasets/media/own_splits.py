"""Which part each clip of a folder of one's own is in: as a column says, or drawn by whole groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..dataset import SPLITS
from ..divide import divide
from ..layout.entries import Entries, nearest
from ..layout.read_description import UNDIVIDED
from .clip import Turn
from .table import ClipTable


class SplitEntries(Entries):
    """The entry ``split`` of a ``media.yaml``."""

    def splits(
        self, value: object, table: ClipTable, video: str | None, turns: list[Turn | None]
    ) -> list[str]:
        """The split of every row.

        Args:
            value: of the entry; None where it is not given.
            table: a row for each clip.
            video: the column whose values lie in one split as a whole where nothing else is said.
            turns: where each clip stands in a conversation, which lies in one split as a whole.

        Raises:
            DataError: it is wrong, or leaves a split empty.
        """
        how = (
            f"a column 'split' with {', '.join(SPLITS)}, or in {self.file.name} one drawn by whole groups: "
            "split: {group: COLUMN, shares: {train: 0.6, valid: 0.2, test: 0.2}, seed: 0}"
        )
        if value is None:
            if "split" not in table.columns:
                raise self.wrong("split", "nothing says which clip is in which split", how)
            value = "split"
        if value == UNDIVIDED:
            return [SPLITS[0]] * len(table)
        if isinstance(value, str):
            value = {"column": value}
        entry = self.mapping(value, "split", ("column", "values", "group", "shares", "seed"))
        if "column" not in entry:
            return self._draw_splits(entry, table, video, turns)
        for key in ("group", "shares", "seed"):
            if key in entry:
                raise self.wrong(f"split/{key}", "given beside a column", "one of the two ways")
        column = self.name(entry["column"], "split/column")
        return self._read_splits(table, column, self._meanings(entry.get("values", {})))

    def _meanings(self, values: object) -> dict[str, str]:
        if not isinstance(values, dict):
            raise self.wrong("split/values", repr(values), "a map from value to split")
        meanings = {
            self.name(old, "split/values"): self.name(new, "split/values") for old, new in values.items()
        }
        for split in meanings.values():
            if split not in SPLITS:
                wrong = f"unknown split {split!r}{nearest(split, SPLITS)}"
                raise self.wrong("split/values", wrong, ", ".join(SPLITS))
        return meanings

    def _read_splits(self, table: ClipTable, column: str, meaning: Mapping[str, str]) -> list[str]:
        known = tuple(meaning) or SPLITS
        splits = []
        for row, cell in enumerate(table.column(column)):
            if cell not in known:
                wrong = f"unknown split {cell!r}{nearest(cell, known)}" if cell else "no split"
                raise table.wrong(row, column, wrong, ", ".join(known))
            splits.append(meaning.get(cell, cell))
        for split in ("train", "test"):  # without a validation part one is drawn from the training part
            if split not in splits:
                raise self.wrong("split", f"no clip of {table.file.name} is in {split}", "at least one")
        return splits

    def _draw_splits(
        self, entry: Mapping[str, Any], table: ClipTable, video: str | None, turns: list[Turn | None]
    ) -> list[str]:
        if "values" in entry:
            raise self.wrong("split/values", "given without a column", "a column, or shares and a seed")
        for key in ("shares", "seed"):
            if key not in entry:
                raise self.wrong(f"split/{key}", "missing", "a column, or shares and a seed")
        shares = self.mapping(entry["shares"], "split/shares", SPLITS, SPLITS)
        for split, share in shares.items():
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
                raise self.wrong(f"split/shares/{split}", repr(share), "a number between 0 and 1")
        if not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
            raise self.wrong("split/shares", f"their sum is {sum(shares.values()):.12g}", "1")
        seed = self.name(entry["seed"], "split/seed")
        column = self.name(entry["group"], "split/group") if "group" in entry else video
        said = tuple(turn.conversation for turn in turns if turn)
        if column is None and not said:
            expected = (
                "the column whose values stay together, such as a speaker; sample_id where nothing does"
            )
            raise self.wrong("split/group", "missing", expected)
        groups = said if column is None else table.column(column)
        if column is not None and "" in groups:
            raise table.wrong(groups.index(""), column, "no group", "a name")
        try:
            return divide(groups, shares, seed)
        except ValueError as error:
            wrong = f"{column or 'the conversation'!r} has {error}"
            raise self.wrong("split/group", wrong, "as many groups or more") from None
