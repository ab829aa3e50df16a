"""What the speed scripts share: intervals, the table that they print, and a stand-in of one fixed shape.

Nothing here passes or fails: a figure depends on the machine and on what else runs there. ``holds`` says
whether the whole interval lies within what is promised.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: Text, audio and vision as in the files that MMDG-Bench trains on, shortened to 20 steps.
WIDTHS = {"text": 768, "audio": 25, "vision": 171}
STEPS = 20
COUNTS = {"train": 500, "valid": 120, "test": 200}

_RESAMPLES = 1000


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        what: what was measured.
        value, low, high: the figure and its 95 % interval; seconds or a ratio.
        unit: how it is shown: ``"s"``, ``"ms"`` or ``"x"`` (a ratio).
        promised: the most that ``value`` may be, where something is promised.
        note: what else a reader should know, in a few words.
    """

    what: str
    value: float
    low: float
    high: float
    unit: str
    promised: float | None = None
    note: str = ""

    @property
    def holds(self) -> str:
        """Whether the promise is kept; ``unclear`` where the interval reaches across it."""
        if self.promised is None:
            return ""
        if self.high <= self.promised:
            return "yes"
        return "no" if self.low > self.promised else "unclear"


def estimate(
    groups: Mapping[str, Sequence[Sequence[float]]], figure: Callable[[dict[str, np.ndarray]], float]
) -> tuple[float, float, float]:
    """A figure computed from medians, with a 95 % bootstrap interval.

    Args:
        groups: name -> repetitions of what was timed side by side, each with the same number of timings.
            A repetition is drawn as a whole, so that what disturbed both sides of a pair cancels.
        figure: computes the figure from the medians of every group, [timings].
    """
    tables = {name: np.asarray(values, float) for name, values in groups.items()}
    draw = np.random.default_rng(0)

    def resampled(table: np.ndarray) -> np.ndarray:
        return table[draw.integers(0, len(table), len(table))]

    def medians(tables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.median(table, axis=0) for name, table in tables.items()}

    spread = [
        figure(medians({name: resampled(table) for name, table in tables.items()})) for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(spread, [0.025, 0.975])
    return figure(medians(tables)), float(low), float(high)


def median(values: Sequence[float]) -> tuple[float, float, float]:
    """The median and its 95 % bootstrap interval."""
    return estimate({"one": [[value] for value in values]}, lambda medians: float(medians["one"][0]))


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Prints rows in columns."""
    head = ("what", "measured", "95 % interval", "promised", "holds", "")
    lines = [head, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    print(f"\n{title}")
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:4], widths[1:4], strict=True)]
        print("  ".join([*cells, line[4].ljust(widths[4]), line[5]]).rstrip(), flush=True)


def _cells(row: Row) -> tuple[str, str, str, str, str, str]:
    scale, digits = {"s": (1.0, 3), "ms": (1e3, 1), "x": (1.0, 3)}[row.unit]

    def word(value: float) -> str:
        return f"{value * scale:.{digits}f}"

    promised = "" if row.promised is None else f"<= {row.promised * scale:g} {row.unit}"
    interval = f"{word(row.low)} to {word(row.high)}"
    return row.what, f"{word(row.value)} {row.unit}", interval, promised, row.holds, row.note


def print_machine() -> None:
    """Says where the figures come from, and how busy it is there."""
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {cores} cores, load {load:.1f}, Python {platform.python_version()}")
    if load > 0.7 * cores:
        print("other work is running on this machine: seconds are too long, ratios are less certain")


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards. The hashes of data files are remembered there too."""
    with tempfile.TemporaryDirectory(prefix="mmbench-speed-") as folder:
        before = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        try:
            yield Path(folder)
        finally:
            del os.environ["XDG_CACHE_HOME"]
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before


def write_data(root: Path, counts: Mapping[str, int] = COUNTS, steps: int = STEPS) -> None:
    """Writes a synthetic stand-in for MOSI.

    Args:
        root: the data root below which it lies.
        counts: split -> samples.
        steps: of each modality, padding included.
    """
    from mmbench.datasets.mosi import Mosi
    from mmbench.datasets.shared.sentiment_synthetic import Layout, write_stand_in

    layout = Layout("mosi.pkl", counts, (768, 25, 171), (steps, steps, steps))
    files = write_stand_in("mosi", Mosi.target, {"casp": layout}, root / "mosi", 0, "full", "casp")
    before = time.time() - 3600  # as if it had lain there: the hash of a file just written is not kept
    for file in files:
        os.utime(file, (before, before))
