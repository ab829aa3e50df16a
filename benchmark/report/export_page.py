"""The leaderboards and their pictures as one page."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from rich.console import Console

from ...leaderboards.render import page
from ...leaderboards.render import text as render
from ...leaderboards.tables.accuracy import SYNTHETIC
from ..store.names import inside
from .boards import BOARDS
from .console import print_faults
from .pictures import write_pictures
from .results import Filter, readable
from .tables import tables_of


def page_tables(made: Mapping[str, pd.DataFrame]) -> list[page.Table]:
    """The leaderboards as a page is given them."""
    return [
        page.Table(name, BOARDS[name].subject, BOARDS[name].across, frame, BOARDS[name].shown)
        for name, frame in made.items()
    ]


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
    tables = tables_of(store, chosen, what, out)
    made = tables.frames
    with TemporaryDirectory() as folder:
        drawn, reasons = write_pictures(readable(store, chosen)[0], Path(folder))
        for reason in reasons:
            out.print(f"not drawn: {reason}", style="dim", markup=False, highlight=False)
        pictures = [
            page.Picture(picture_name(path), path.read_bytes()) for path in drawn if path.suffix == ".png"
        ]
    path = file or inside(store / "leaderboards") / page.page_name(list(made.values()))
    text = page.page(page_tables(made), pictures, version("mmbench"), **words)
    out.print(f"wrote {render.write_text(path, text)}", markup=False, highlight=False, soft_wrap=True)
    print_faults(out, tables.faults)
    return tables.complete
