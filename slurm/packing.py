"""Which jobs share an array task. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

#: Seconds of a job of which nothing like it was ever run.
FIRST_GUESS = 120.0


@dataclass(frozen=True, order=True)
class PackedJob:
    """A job as packing sees it.

    Attributes:
        data: what it reads; those with the same are put side by side.
        name: its id.
        seconds: how long it is thought to take, above 0.
    """

    data: tuple[str, ...]
    name: str
    seconds: float


@dataclass(frozen=True)
class Bundle:
    """The jobs of one array task, in the order in which they run."""

    pieces: tuple[PackedJob, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of its jobs."""
        return tuple(piece.name for piece in self.pieces)

    @property
    def seconds(self) -> float:
        """The estimated seconds of its jobs, one after the other."""
        return sum(piece.seconds for piece in self.pieces)


def pack(pieces: Sequence[PackedJob], seconds: float) -> list[Bundle]:
    """Parts jobs into bundles of about the same length, in an order that the jobs alone decide.

    Jobs lie in the order of their data, so that those that share data are in one bundle or in neighbours. No bundle
    is longer than ``seconds`` but one that is a single job, and no two neighbours fit into one.

    Args:
        pieces: the jobs.
        seconds: the length of a bundle.
    """
    bundles: list[list[PackedJob]] = []
    filled = 0.0
    for piece in sorted(pieces):
        if bundles and filled + piece.seconds <= seconds:
            bundles[-1].append(piece)
            filled += piece.seconds
        else:
            # What is left over of the bundle before is too small for this one.
            bundles.append([piece])
            filled = piece.seconds
    return [Bundle(tuple(bundle)) for bundle in bundles]


def split(bundles: Sequence[Bundle], most: int) -> list[list[Bundle]]:
    """Parts bundles into arrays, as even as they can be, in order.

    Args:
        bundles: of all jobs.
        most: tasks of an array.
    """
    count = -(-len(bundles) // most)
    ends = [round(place * len(bundles) / count) for place in range(count + 1)] if count else []
    return [list(bundles[start:end]) for start, end in pairwise(ends)]


@dataclass(frozen=True)
class History:
    """The seconds that finished jobs took.

    Attributes:
        seconds: (method, task) -> seconds of each.
    """

    seconds: Mapping[tuple[str, str], Sequence[float]]

    def expected_seconds(self, method: str, task: str) -> float:
        """The median of the same method on the same task, else of the method, else of the task, else a guess.

        Args:
            method, task: of the job.
        """
        same = self.seconds.get((method, task))
        of_method = [value for (one, _), known in self.seconds.items() if one == method for value in known]
        of_task = [value for (_, one), known in self.seconds.items() if one == task for value in known]
        for known in (same, of_method, of_task):
            if known:
                return max(median(known), 0.1)
        return FIRST_GUESS


def workers_for(peaks: Sequence[float], memory: float, cpus: int) -> int:
    """The number of jobs that may share a GPU.

    Args:
        peaks: bytes that jobs like these were seen to take at most; empty: not known, so one has it alone.
        memory: bytes of the GPU.
        cpus: cores for them.

    A context of CUDA, 0.6 GB, is added for each, and a tenth of the memory is left free.
    """
    if not peaks:
        return 1
    return max(1, min(cpus, int(0.9 * memory / (max(peaks) + 0.6e9))))
