"""Conversations of different lengths as one array without padding: all first steps, then all second ones, and so on.

So a pass over time is one loop whose body treats all conversations that still go on, and no step is spent on padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Packed:
    """The order of steps.

    Attributes:
        order: [conversations], int64: the longest first, among equals by name, whatever order they were given in.
        lengths: [conversations], int64, in that order.
    """

    order: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, lengths: Sequence[int], names: Sequence[str]) -> Packed:
        """The packing of conversations.

        Args:
            lengths: steps of each, at least 1.
            names: of each, by which those of one length are ordered.
        """
        order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], names[place]))
        return cls(np.array(order), np.array([lengths[place] for place in order]))

    @cached_property
    def sizes(self) -> list[int]:
        """[longest]: how many conversations have each step."""
        steps = np.arange(self.lengths[0])
        return (len(self.lengths) - np.searchsorted(self.lengths[::-1], steps, side="right")).tolist()

    @cached_property
    def starts(self) -> list[int]:
        """[longest]: the row of the first conversation at each step."""
        return (np.cumsum(self.sizes) - self.sizes).tolist()

    @property
    def total(self) -> int:
        """The number of steps of all conversations."""
        return int(self.lengths.sum())

    @property
    def firsts(self) -> int:
        """The number of first steps, which are the first rows."""
        return len(self.lengths)

    @cached_property
    def previous(self) -> np.ndarray:
        """[total - firsts], int64: for every row behind the first steps the row of the step before."""
        before = np.repeat(np.array(self.sizes[:-1], np.int64), self.sizes[1:])
        return np.arange(self.firsts, self.total) - before

    @cached_property
    def rows(self) -> tuple[np.ndarray, ...]:
        """One [steps] a conversation, in the order in which they were given: its rows."""
        starts = np.array(self.starts)
        rows: list[np.ndarray] = [np.empty(0, np.int64)] * len(self.order)
        for rank, (place, length) in enumerate(zip(self.order, self.lengths, strict=True)):
            rows[place] = starts[:length] + rank
        return tuple(rows)

    def pack(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Arrays, one [steps, ...] a conversation, as one [total, ...]."""
        packed = np.empty((self.total, *arrays[0].shape[1:]), arrays[0].dtype)
        for rows, array in zip(self.rows, arrays, strict=True):
            packed[rows] = array
        return packed

    def unpack(self, packed: np.ndarray) -> tuple[np.ndarray, ...]:
        """The opposite of ``pack``."""
        return tuple(packed[rows] for rows in self.rows)
