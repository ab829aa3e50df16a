"""Makes the README's pictures from the store of ``make demo``: what the terminal shows, and the plot.

Run by ``make pictures``.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from mmbench.benchmark.scores import write_leaderboards
from rich.console import Console

HERE = Path(__file__).parent


def main() -> None:
    """Reads the store that the first argument names."""
    store = Path(sys.argv[1])
    console = Console(record=True, width=124, file=io.StringIO(), force_terminal=True)
    console.print(f"$ mmbench leaderboard --store {store}", markup=False, highlight=False)
    write_leaderboards(store, store / "leaderboards", None, None, None, console)
    console.save_svg(str(HERE / "leaderboard.svg"), title="mmbench")
    shutil.copy(store / "leaderboards" / "missing-synthetic-stand-in.png", HERE / "missing.png")


if __name__ == "__main__":
    main()
