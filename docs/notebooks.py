"""Runs the notebooks of docs/examples in a folder of their own, and writes them back with what they show.

.venv/bin/python docs/notebooks.py
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent / "examples"


def execute(files: Iterable[Path], folder: Path) -> list[nbformat.NotebookNode]:
    """Runs notebooks one after the other in one kernel, whose names are cleared in between: torch is imported once.

    Args:
        files: the notebooks.
        folder: the working folder.

    Returns:
        The notebooks with their outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebooks = [nbformat.read(file, as_version=4) for file in files]
    whole = nbformat.v4.new_notebook(metadata=notebooks[0].metadata)
    clear = [nbformat.v4.new_code_cell("%reset -f")]
    whole.cells = [cell for notebook in notebooks for cell in (*clear, *notebook.cells)]
    NotebookClient(
        whole, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    for notebook in notebooks:
        for place, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
            cell.execution_count = place + 1
            cell.metadata.pop("execution", None)  # when it ran
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = place + 1
    return notebooks


def main(names: Sequence[str]) -> None:
    """Runs the notebooks that are named, or all, and writes them back."""
    files = [file for file in sorted(FOLDER.glob("*.ipynb")) if not names or file.stem in names]
    with tempfile.TemporaryDirectory() as folder:
        for file, notebook in zip(files, execute(files, Path(folder)), strict=True):
            nbformat.write(notebook, file)
            print(file)


if __name__ == "__main__":
    main(sys.argv[1:])
