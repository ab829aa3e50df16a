"""The tables of a store as LaTeX for a paper."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console

from ...leaderboards.labels import is_tidy
from ...leaderboards.render.files import file_name, write_text
from ...leaderboards.render.paper import Layout, paper_tables
from ...methods import METHODS
from ..core.errors import UsageError
from ..store.names import inside
from .results import Filter
from .tables import tables_of
from .view import AS_MADE, View


def write_paper(
    store: Path,
    folder: Path | None,
    chosen: Filter,
    what: str | None,
    layout: Layout,
    plugins: tuple[Path, ...] = (),
    view: View = AS_MADE,
) -> tuple[list[Path], list[str]]:
    """Writes a file for each table of scores.

    Args:
        store: folder of the results.
        folder: where to; by default ``leaderboards`` in the store.
        chosen: of which jobs.
        what: which tables, as ``chosen_tables`` takes it; by default accuracy.
        layout: columns of the paper's page.
        plugins: plug-in files that bring tables or metrics.
        view: which rows and columns are written.

    Returns:
        The files, and why others are not written.

    Raises:
        UsageError: as ``tables_of``; or none of the tables is one of scores.
        OSError: a file cannot be written.
    """
    tables = tables_of(store, chosen, what or "accuracy", Console(quiet=True), plugins=plugins, view=view)
    folder = folder or inside(store / "leaderboards")
    files: list[Path] = []
    reasons = list(tables.faults)
    for name, frame in view.shown(tables.frames, tables.declared).items():
        declared = tables.declared[name]
        if not is_tidy(frame):
            reasons.append(f"{name}: it is no table of scores; leaderboard --format latex writes it")
            continue
        names = {method: paper_name(method) for method in frame["method"].unique()}
        text = paper_tables(declared.shown_rows(frame), declared.title, layout, declared.across, name, names)
        files.append(write_text(folder / file_name(frame, f"{name}-paper", ".tex"), text))
    if not files:
        raise UsageError(f"nothing to write: {'; '.join(reasons)}")
    return files, reasons


def paper_name(label: str) -> str:
    """The name of a method as a paper writes it: that of its class, with the parts of its registered name.

    Args:
        label: of a row, such as ``ebmc(emc=false)``.

    Returns:
        ``EBMC (emc=false)``; ``OGM-GE`` of ``ogm_ge`` and ``Random forest`` of ``random_forest``. A method from outside, or whose
        class has other letters, is called as it is.
    """
    name = re.split(r"[\s(\[]", label, maxsplit=1)[0]
    letters = METHODS.get(name, "").partition(":")[2]
    if letters.lower() != name.replace("_", ""):
        return label
    parts = []
    for part in name.split("_"):
        parts.append(letters[: len(part)])
        letters = letters[len(part) :]
    short = any(len(part) == 1 or part.isupper() for part in parts)
    written = "-".join(parts) if short else " ".join([parts[0], *map(str.lower, parts[1:])])
    return f"{written} {label.removeprefix(name).strip()}".strip()
