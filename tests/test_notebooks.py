"""The notebooks of docs/examples run as they are, and show what they say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def shown(notebook: Any) -> str:
    """All text that the cells of a notebook show."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = ["".join(output.get("text", "")) for output in outputs]
    return "\n".join(texts + [str(output.get("data", {}).get("text/plain", "")) for output in outputs])


@pytest.mark.slow
def test_every_notebook_runs_and_shows_tables_tex_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("nbclient", reason="nbclient is not installed: pip install 'mmbench[test]'")
    monkeypatch.syspath_prepend(str(FOLDER.parent))
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    monkeypatch.delenv("MMBENCH_DATA", raising=False)
    from notebooks import execute  # pyright: ignore[reportMissingImports]

    done = dict(zip([file.stem for file in NOTEBOOKS], execute(NOTEBOOKS, tmp_path), strict=True))
    assert set(done) == {"own_data", "own_method", "paper_table", "read_store"}
    assert "[4/4] done speech late_concat" in shown(done["own_data"])
    assert "missing:text" in shown(done["own_data"])
    assert "[3/3] done mosi mine(width=64)" in shown(done["own_method"])
    assert "Linear(in_features" in shown(done["own_method"])
    assert r"\begin{tabular}" in shown(done["paper_table"])
    images = [
        output for cell in done["paper_table"].cells for output in cell.get("outputs", []) if "data" in output
    ]
    assert any("image/png" in output["data"] for output in images)
    assert "float32" in shown(done["read_store"])
    assert not any(
        "\x1b[" in shown(notebook) for notebook in done.values()
    )  # lines, and no bars of a terminal


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_what_is_stored_was_run_and_names_no_machine(file: Path):
    nbformat = pytest.importorskip(
        "nbformat", reason="nbformat is not installed: pip install 'mmbench[test]'"
    )
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    text = file.read_text(encoding="utf-8")
    assert "/home/" not in text
    assert "/tmp/" not in text
    assert file.stat().st_size < 100_000
