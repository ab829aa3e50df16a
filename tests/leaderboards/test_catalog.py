"""The catalogue of tables."""

from __future__ import annotations

import subprocess
import sys


def test_the_catalogue_imports_nothing_heavy() -> None:
    heavy = ("numpy", "pandas", "scipy", "pyarrow", "matplotlib")
    code = f"import sys, mmbench.leaderboards.catalog; print([n for n in {heavy} if n in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.strip() == "[]"
