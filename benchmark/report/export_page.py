"""The leaderboards and their pictures as one page."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from ...leaderboards.labels import SYNTHETIC
from ...leaderboards.plots.figure import PictureForm
from ...leaderboards.render import page, summary
from ...leaderboards.render.files import write_text
from ..store.names import inside
from .console import print_faults
from .pictures import write_pictures
from .results import Filter, readable
from .tables import Tables, tables_of
from .view import AS_MADE, View

#: In the palette of a picture on a page.
_COLOURS = 64


def page_tables(tables: Tables) -> list[page.PageTable]:
    """The leaderboards as a page is given them, a summary of several before them."""
    declared = tables.declared
    return [
        *(_summary_table(tables) if len(tables.frames) > 1 else ()),
        *(
            page.PageTable(
                name,
                declared[name].title,
                declared[name].across,
                declared[name].shown_rows(frame) if declared[name].plain else frame,
                declared[name].shown,
            )
            for name, frame in tables.frames.items()
        ),
    ]


def _summary_table(tables: Tables) -> Iterator[page.PageTable]:
    """The summary, where there is one; what all of its rows have in common stands in its title."""
    if not (panels := summary.panels(tables.frames)):
        return
    same = [
        name for name in ("task", "modalities", "protocol") if len({one.shared[name] for one in panels}) == 1
    ]
    subject = "; ".join(["Summary", *(panels[0].shared[name] for name in same)])
    yield page.PageTable("summary", subject, "metric", summary.frame_of(panels), panels=panels)


def picture_name(file: Path) -> str:
    """What the file of a picture is called on a page: ``"missing rates (synthetic stand-in)"``."""
    kind = SYNTHETIC.replace("-", " ")
    return file.stem.replace("-", " ").replace(f" {kind}", f" ({SYNTHETIC})")


def export(
    store: Path,
    file: Path | None,
    chosen: Filter,
    what: str | None,
    out: Console,
    plugins: tuple[Path, ...] = (),
    view: View = AS_MADE,
    **words: str,
) -> bool:
    """Writes one page with the leaderboards and their pictures.

    Args:
        store: folder of the results.
        file: where to; by default ``leaderboards/leaderboard.html`` in the store, under a name that says so
            where data are synthetic.
        chosen: of which jobs.
        what: which leaderboards, as ``chosen_tables`` takes it.
        out: where the path is printed.
        plugins: plug-in files that bring tables or metrics.
        view: how the tables are shown.
        words: heading and date, as ``page.page`` takes them.

    Returns:
        Whether every result that the tables need is there and can be used.

    Raises:
        UsageError: as ``write_leaderboards``.
    """
    with _uncollected():
        return _export(store, file, chosen, what, out, plugins, view, words)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage is collected inside: a collection among the rows of large tables takes a tenth of the time of a page,
    and frees little."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _export(
    store: Path,
    file: Path | None,
    chosen: Filter,
    what: str | None,
    out: Console,
    plugins: tuple[Path, ...],
    view: View,
    words: Mapping[str, str],
) -> bool:
    """As ``export``."""
    made = tables_of(store, chosen, what, out, plugins=plugins, view=view)
    tables = replace(made, frames=view.shown(made.frames, made.declared))
    with TemporaryDirectory() as folder:
        form = PictureForm((".png",), page.PICTURE_DOTS, _COLOURS)
        drawn, reasons = write_pictures(readable(store, chosen)[0], Path(folder), made.frames, form, view)
        for reason in reasons:
            out.print(f"not drawn: {reason}", style="dim", markup=False, highlight=False)
        pictures = [page.Picture(picture_name(path), path.read_bytes()) for path in drawn]
    path = file or inside(store / "leaderboards") / page.page_name(list(tables.frames.values()))
    text = page.page(page_tables(tables), pictures, version("mmbench"), **words)
    out.print(f"wrote {write_text(path, text)}", markup=False, highlight=False, soft_wrap=True)
    print_faults(out, tables.faults)
    return made.complete
