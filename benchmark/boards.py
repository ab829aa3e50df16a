"""The leaderboards by name: which table answers what, and in which formats it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from rich.console import Console

from ..leaderboards import plots, render
from ..leaderboards.results import Result
from .errors import UsageError, nearest
from .scores import Filter, results
from .terminal import print_table

#: Columns that name a row, at the beginning of every table.
NAMES = (*render.KEYS, "method", "n", "metric")
FORMATS = ("terminal", "csv", "md", "latex")


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    Attributes:
        subject: what its title begins with.
        across: what its columns are.
        made_by: ``module:function`` in ``leaderboards`` that makes its tidy frame from results.
        shown: which conditions are printed; the CSV has all.
        there: whether results hold what it needs; asked by name, it is made all the same.
        source: the board whose frame it is made from, instead of results.
        plain: whether its frame has columns of its own, and not those of ``tables.COLUMNS``.
    """

    subject: str
    across: render.Across
    made_by: str
    there: Callable[[list[Result]], bool] = lambda found: True
    shown: Callable[[str], bool] = lambda condition: True
    source: str = ""
    plain: bool = False

    def make(self, found: list[Result] | pd.DataFrame) -> pd.DataFrame:
        """Its tidy frame. Raises ValueError where the results hold nothing for it."""
        module, _, function = self.made_by.partition(":")
        return getattr(import_module(f"mmbench.leaderboards.{module}"), function)(found)


def is_summary(condition: str) -> bool:
    """Whether a condition of the robustness table is printed."""
    from ..leaderboards.robustness import is_summary as summary

    return summary(condition)


BOARDS: dict[str, Board] = {
    "accuracy": Board("Accuracy on complete test data", "metric", "tables:accuracy"),
    "missing": Board(
        "Missing modalities at test time",
        "condition",
        "tables:missing",
        lambda found: any("+" in result.modalities for result in found),
    ),
    "robustness": Board(
        "Robustness to corruption",
        "condition",
        "robustness:robustness",
        there=lambda found: any(result.damaged for result in found),
        shown=is_summary,
    ),
    "misd": Board("Misclassification detection", "metric", "trust:misclassification"),
    "ood": Board(
        "OOD detection",
        "condition",
        "trust:ood",
        lambda found: any(result.features is not None for result in found),
    ),
    "calibration": Board("Calibration", "metric", "trust:calibration"),
    "cost": Board("Cost", "metric", "cost:cost"),
    "audit": Board("Audit", "metric", "cost:audit", plain=True),
    "ranks": Board(
        "Average ranks over tasks",
        "metric",
        "comparisons:ranks",
        there=lambda found: several(found, tasks=2),
        source="accuracy",
        plain=True,
    ),
    "comparisons": Board(
        "Pairs of methods over tasks",
        "metric",
        "comparisons:comparisons",
        there=lambda found: several(found, tasks=2),
        source="accuracy",
        plain=True,
    ),
    "seeds": Board(
        "Seeds needed to tell a method from the best",
        "metric",
        "comparisons:seeds",
        there=lambda found: several(found, tasks=1),
        source="accuracy",
        plain=True,
    ),
}


def several(found: list[Result], tasks: int) -> bool:
    """Whether two methods were done on as many tasks with the same modalities, protocol and kind of data."""
    rows: dict[tuple, dict[tuple, bool]] = {}
    for r in found:
        row = rows.setdefault((r.protocol, r.synthetic, r.task, r.modalities), {})
        row[r.method, r.draw] = row.get((r.method, r.draw), True) and r.state == "done"
    whole = Counter(key[:2] for key, row in rows.items() if sum(row.values()) > 1)
    return any(count >= tasks for count in whole.values())


def chosen_boards(text: str | None, found: list[Result]) -> list[str]:
    """The leaderboards that ``--what`` names; by default all that the results have data for.

    Raises:
        UsageError: an unknown name.
    """
    names = [name.strip() for name in text.split(",") if name.strip()] if text else []
    for name in names:
        if name not in BOARDS and name != "all":
            raise UsageError(f"unknown leaderboard {name!r}: {nearest(name, BOARDS)}")
    if not names or "all" in names:
        return [name for name, board in BOARDS.items() if board.there(found)]
    return names


def frames(names: Sequence[str], found: list[Result]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The tidy frame of each leaderboard.

    Raises:
        UsageError: the results hold nothing for one.
    """
    made: dict[str, pd.DataFrame] = {}
    for name in names:
        board = BOARDS[name]
        try:
            for one in filter(None, (board.source, name)):
                if one not in made:
                    source = BOARDS[one].source
                    made[one] = BOARDS[one].make(made[source] if source else found)
            yield name, made[name]
        except ValueError as error:
            raise UsageError(f"leaderboard {name}: {error}") from None


def write_leaderboards(
    store: Path, folder: Path, chosen: Filter, what: str | None, formats: Sequence[str], out: Console
) -> bool:
    """Prints the tables and writes them in the asked formats; whether none has a hole.

    Raises:
        UsageError: an unknown table or format, no store, or nothing in it was chosen.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"unknown format {name!r}: {nearest(name, FORMATS)}")
    found = results(store, chosen)
    made = dict(frames(chosen_boards(what, found), found))
    files: list[Path] = []
    for name, frame in made.items():
        board = BOARDS[name]
        if board.plain:
            files += _write_plain(name, frame, folder, formats, out)
            continue
        short = frame.loc[[board.shown(name) for name in frame["condition"]]]
        if "terminal" in formats:
            print_table(out, render.title(frame, board.subject), for_terminal(short, board.across), NAMES)
        if "csv" in formats:
            files.append(render.write_csv(frame, folder, name))
        if "md" in formats:
            files.append(render.write_markdown(short, folder, name, board.subject, board.across))
        if "latex" in formats:
            from ..leaderboards.latex import write_latex

            files.append(write_latex(short, folder, name, board.subject, board.across))
    judged = {name: frame for name, frame in made.items() if not BOARDS[name].plain}
    if "missing" in made and "csv" in formats and find_spec("matplotlib"):
        files.append(plots.write_missing_modalities(made["missing"], folder))
    holes = list(dict.fromkeys(hole for frame in judged.values() for hole in render.holes(frame)))
    notes = dict.fromkeys(note for frame in judged.values() for note in render.notes(frame))
    for note in notes:
        out.print(note, style="yellow" if note in holes else "dim", markup=False, highlight=False)
    for file in files:
        out.print(f"wrote {file}", markup=False, highlight=False, soft_wrap=True)
    return not any(render.holes(frame) for name, frame in judged.items() if name in ("accuracy", "missing"))


def _write_plain(
    name: str, frame: pd.DataFrame, folder: Path, formats: Sequence[str], out: Console
) -> list[Path]:
    """Prints and writes a board with columns of its own; the files."""
    from ..leaderboards import plain
    from ..leaderboards.comparisons import notes

    board = BOARDS[name]
    told = notes(name, frame) if board.source else []
    files: list[Path] = []
    if "terminal" in formats:
        print_table(out, board.subject, plain.texts(frame), (*NAMES, "best", "other"))
        for note in told:
            out.print(note, style="dim", markup=False, highlight=False)
        out.print()
    if "csv" in formats:
        files.append(plain.write_csv(frame, folder, name))
    writers = {"md": (plain.markdown, ".md"), "latex": (plain.latex, ".tex")}
    for made, suffix in (writers[kind] for kind in formats if kind in writers):
        path = folder / render.file_name(frame, name, suffix)
        files.append(render.write_text(path, made(frame, board.subject, told)))
    return files


def for_terminal(frame: pd.DataFrame, across: render.Across) -> pd.DataFrame:
    """The table with the interval of its first column only, in a column of its own; the files have all."""
    table = render.wide(frame, across, intervals=False)
    first = next(name for name in table if name not in NAMES)
    intervals = render.wide(frame, across)[first].str.extract(r"(\[.*\])", expand=False).fillna("")
    table.insert(int(table.columns.get_indexer([first])[0]) + 1, "95 %", intervals)
    return table
