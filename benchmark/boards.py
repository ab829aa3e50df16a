"""The leaderboards by name: which table answers what, and in which formats it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from rich.console import Console

from ..leaderboards import page, plots, render
from ..leaderboards.results import Result
from ..leaderboards.tables import SYNTHETIC
from .errors import UsageError, nearest
from .scores import Filter, results
from .terminal import print_table

#: The leaderboards that pictures are drawn of.
DRAWN = ("missing", "robustness")
#: Columns that name a row, at the beginning of every table.
NAMES = (*render.KEYS, "method", "n", "metric")
FORMATS = ("terminal", "csv", "md", "latex", "html")


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    Attributes:
        subject: what its title begins with.
        across: what its columns are.
        made_by: ``module:function`` in ``leaderboards`` that makes its tidy frame from results.
        shown: which conditions are printed; the CSV has all.
        there: whether results hold what it needs; asked by name, it is made all the same.
        against_reference: whether it divides by a reference run, which can be named.
    """

    subject: str
    across: render.Across
    made_by: str
    there: Callable[[list[Result]], bool] = lambda found: True
    shown: Callable[[str], bool] = lambda condition: True
    against_reference: bool = False

    def make(self, found: list[Result], reference: str = "") -> pd.DataFrame:
        """Its tidy frame. Raises ValueError where the results hold nothing for it."""
        module, _, function = self.made_by.partition(":")
        options = {"reference": reference} if self.against_reference else {}
        return getattr(import_module(f"mmbench.leaderboards.{module}"), function)(found, **options)


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
    "relative": Board(
        "Robustness in relation to clean data and to a reference run",
        "metric",
        "relative:relative",
        there=lambda found: any(result.damaged for result in found),
        against_reference=True,
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
    "audit": Board("Audit", "metric", "cost:audit"),
}


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


def frames(
    names: Sequence[str], found: list[Result], reference: str = ""
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The tidy frame of each leaderboard.

    Raises:
        UsageError: the results hold nothing for one.
    """
    for name in names:
        try:
            yield name, BOARDS[name].make(found, reference)
        except ValueError as error:
            raise UsageError(f"leaderboard {name}: {error}") from None


def write_leaderboards(
    store: Path,
    folder: Path,
    chosen: Filter,
    what: str | None,
    formats: Sequence[str],
    out: Console,
    reference: str = "",
) -> bool:
    """Prints the tables and writes them in the asked formats; whether none has a hole.

    Raises:
        UsageError: an unknown table or format, no store, or nothing in it was chosen.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"unknown format {name!r}: {nearest(name, FORMATS)}")
    found = results(store, chosen)
    made = dict(frames(chosen_boards(what, found), found, reference))
    files: list[Path] = []
    for name, frame in made.items():
        board = BOARDS[name]
        if name == "audit":
            if "terminal" in formats:
                print_table(out, board.subject, frame, NAMES)
            if "csv" in formats:
                files.append(render.write_plain_csv(frame, folder, name))
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
    if "html" in formats:
        files.append(page.write_page(folder, page_tables(made), version("mmbench")))
    judged = {name: frame for name, frame in made.items() if name != "audit"}
    if "missing" in made and "csv" in formats and find_spec("matplotlib"):
        files.append(plots.write_missing_modalities(made["missing"], folder))
    holes = list(dict.fromkeys(hole for frame in judged.values() for hole in render.holes(frame)))
    notes = dict.fromkeys(note for frame in judged.values() for note in render.notes(frame))
    for note in notes:
        out.print(note, style="yellow" if note in holes else "dim", markup=False, highlight=False)
    for file in files:
        out.print(f"wrote {file}", markup=False, highlight=False, soft_wrap=True)
    return is_complete(made)


def is_complete(made: Mapping[str, pd.DataFrame]) -> bool:
    """Whether neither accuracy nor missing modalities has a hole."""
    return not any(render.holes(made[name]) for name in ("accuracy", "missing") if name in made)


def page_tables(made: Mapping[str, pd.DataFrame]) -> list[page.Table]:
    """The leaderboards as a page is given them."""
    return [
        page.Table(name, BOARDS[name].subject, BOARDS[name].across, frame, BOARDS[name].shown)
        for name, frame in made.items()
    ]


def draw(made: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    """Writes every picture that the leaderboards have data for; their paths.

    Raises:
        UsageError: there is none, or matplotlib is not installed.
    """
    from ..leaderboards.curves import write_pictures

    if not find_spec("matplotlib"):
        raise UsageError("pictures need matplotlib: pip install 'mmbench[plots]'")
    files: list[Path] = []
    reasons = []
    if "missing" in made:
        files.append(plots.write_missing_modalities(made["missing"], folder))
    if "robustness" in made:
        try:
            files += write_pictures(made["robustness"], folder)
        except ValueError as error:
            reasons.append(str(error))
    if not files:
        raise UsageError("nothing to draw" + "".join(f": {reason}" for reason in reasons))
    return files


def picture_name(file: Path) -> str:
    """What the file of a picture is called on a page: ``"missing rates (synthetic stand-in)"``."""
    kind = SYNTHETIC.replace("-", " ")
    return file.stem.replace("-", " ").replace(f" {kind}", f" ({SYNTHETIC})")


def export(
    store: Path, file: Path | None, chosen: Filter, what: str | None, out: Console, **words: str
) -> bool:
    """Writes one page with the leaderboards and their pictures; whether accuracy and missing have no hole.

    Args:
        store: folder of the results.
        file: where to; by default ``leaderboards/leaderboard.html`` in the store, under a name that says so
            where data are synthetic.
        chosen: of which jobs.
        what: which leaderboards, as ``chosen_boards`` takes it.
        out: where the path is said.
        words: heading and date, as ``page.page`` takes them.

    Raises:
        UsageError: as ``write_leaderboards``.
    """
    found = results(store, chosen)
    made = dict(frames(chosen_boards(what, found), found))
    with TemporaryDirectory() as folder:
        try:
            drawn = draw(made, Path(folder))
        except UsageError as error:
            out.print(f"without pictures: {error}", style="dim", markup=False, highlight=False)
            drawn = []
        pictures = [
            page.Picture(picture_name(path), path.read_bytes()) for path in drawn if path.suffix == ".png"
        ]
    path = file or store / "leaderboards" / page.page_name(list(made.values()))
    text = page.page(page_tables(made), pictures, version("mmbench"), **words)
    out.print(f"wrote {render.write_text(path, text)}", markup=False, highlight=False, soft_wrap=True)
    return is_complete(made)


def for_terminal(frame: pd.DataFrame, across: render.Across) -> pd.DataFrame:
    """The table with the interval of its first column only, in a column of its own; the files have all."""
    table = render.wide(frame, across, intervals=False)
    first = next(name for name in table if name not in NAMES)
    intervals = render.wide(frame, across)[first].str.extract(r"(\[.*\])", expand=False).fillna("")
    table.insert(int(table.columns.get_indexer([first])[0]) + 1, "95 %", intervals)
    return table
