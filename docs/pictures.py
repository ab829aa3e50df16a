"""Makes the pictures of the README and of docs/: what the terminal shows of a real dataset, and from the store of ``make demo``,
tested under damage, the plots, and the page where Chromium is installed.

Run by ``make pictures``.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from mmbench.benchmark.report.export_page import export
from mmbench.benchmark.report.pictures import write_pictures
from mmbench.benchmark.report.results import Filter, results
from mmbench.benchmark.report.write import write_leaderboards
from rich.console import Console

HERE = Path(__file__).parent
PLOTS = ("missing", "degradation", "missing-rates", "reliability", "risk-coverage")


def main() -> None:
    """Reads the store that the first argument names."""
    store = Path(sys.argv[1])
    _picture_of_leaderboard()
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(results(store, Filter()), Path(folder))
        for name in PLOTS:
            shutil.copy(Path(folder) / f"{name}-synthetic-stand-in.png", HERE / f"{name}.png")
    if shutil.which("chromium"):
        _picture_of_page(store)


def _picture_of_leaderboard() -> None:
    """What the terminal shows of the networks on ROSMAP whose predictions are in ``docs/results``."""
    console = Console(record=True, width=172, file=io.StringIO(), force_terminal=True)
    console.print("$ mmbench leaderboard", markup=False, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "runs"
        with tarfile.open(HERE / "results" / "rosmap" / "predictions.tar.xz") as archive:
            archive.extractall(store, filter="data")
        # What it says of the files that it wrote is left out: their folder is gone.
        write_leaderboards(store, store / "leaderboards", Filter(), None, ("terminal",), console)
    picture = console.export_svg(title="mmbench")
    # The reader's own monospaced font will do: nothing is fetched from elsewhere.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    (HERE / "leaderboard.svg").write_text(picture, encoding="utf-8")


def _picture_of_page(store: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        export(store, page, Filter(), None, Console(file=io.StringIO()))
        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
        flags += ("--disable-background-networking", "--disable-component-update", "--disable-sync")
        to = (
            f"--user-data-dir={folder}/chromium",
            "--window-size=1200,900",
            f"--screenshot={HERE / 'page.png'}",
        )
        subprocess.run(["chromium", *flags, *to, page.as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    main()
