"""Makes the README's pictures from the store of ``make demo``: what the terminal shows, and the plot.

Run by ``make pictures``.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
from pathlib import Path

from mmbench.benchmark.scores import write_leaderboards
from rich.console import Console

HERE = Path(__file__).parent


def main() -> None:
    """Reads the store that the first argument names."""
    store = Path(sys.argv[1])
    console = Console(record=True, width=140, file=io.StringIO(), force_terminal=True)
    console.print(f"$ mmbench leaderboard --store {store}", markup=False, highlight=False)
    write_leaderboards(store, store / "leaderboards", None, None, None, console)
    picture = console.export_svg(title="mmbench")
    # The reader's own monospaced font will do: nothing is fetched from elsewhere.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    (HERE / "leaderboard.svg").write_text(picture, encoding="utf-8")
    shutil.copy(store / "leaderboards" / "missing-synthetic-stand-in.png", HERE / "missing.png")


if __name__ == "__main__":
    main()
