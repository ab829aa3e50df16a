"""The order inside leaderboards: who may import whom, and no circle of files, lazy imports included."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "leaderboards"
#: Folder -> those that it may import beside itself and ``labels``.
BELOW = {
    "metrics": set(),
    "stats": {"metrics"},
    "tables": {"metrics", "stats"},
    "render": {"metrics", "stats", "tables"},
    "plots": {"metrics", "stats", "tables", "render"},
    "findings": {"metrics", "stats", "tables", "render"},
}
FILES = [file for file in sorted(ROOT.rglob("*.py")) if file.name != "__init__.py"]


def imported(file: Path) -> set[Path]:
    """The files of leaderboards that a file imports, wherever in it, but for type checks alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    checked = [
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    ]
    files: set[Path] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node not in checked:
            base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            modules = [base, *(base / alias.name for alias in node.names)]
            files |= {path for module in modules if (path := module.with_suffix(".py")).is_file()}
    return files


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_imports_what_lies_below_it(file: Path) -> None:
    folder = file.relative_to(ROOT).parts[0]
    for other in imported(file):
        theirs = other.relative_to(ROOT).parts[0]
        if folder == "catalog.py":
            assert theirs in ("labels.py", "tables"), f"{file} may not import {other}"
        else:
            allowed = {folder, "labels.py", *BELOW.get(folder, set())}
            assert theirs in allowed, f"{file} may not import {other}"


def test_there_is_no_circle_of_files() -> None:
    try:
        list(TopologicalSorter({file: imported(file) for file in FILES}).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(str(file.relative_to(ROOT)) for file in error.args[1]))


def test_the_catalogue_imports_nothing_heavy() -> None:
    heavy = ("numpy", "pandas", "scipy", "pyarrow", "matplotlib")
    code = f"import sys, mmbench.leaderboards.catalog; print([n for n in {heavy} if n in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.strip() == "[]"
