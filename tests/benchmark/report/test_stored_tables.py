"""A store that version 0.1 wrote gives the tables that 0.1 made of it; ``stored/store-0.1`` says which store that is.

The CSV files are those of 0.1. In tables for people, ``≈`` has since come to ask for an equivalence test (the changelog says
why), and they were printed anew for that.

It holds ``erm`` and ``ebmc`` on stand-ins of MOSI (two epochs; with noise, missing rates and an OOD set) and MOSEI (one
epoch), two seeds each, text and audio, without weights.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from mmbench.leaderboards.labels import WITHIN_MARGIN

from ..conftest import MMBENCH

STORED = Path(__file__).parents[1] / "stored"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the command was asked for all that it says of the store."""
    folder = tmp_path_factory.mktemp("stored")
    shutil.copytree(STORED / "store-0.1", folder / "runs")
    tables = ("leaderboard", "--what", "all", "--format", "terminal,csv,md,latex", "--out", "tables")
    for name, command in {"printed": tables, "findings": ("findings",), "status": ("status",)}.items():
        with open(folder / f"{name}.txt", "w") as stream:
            subprocess.run(
                [MMBENCH, *command, "--store", "runs"],
                cwd=folder,
                env={**os.environ, "COLUMNS": "120", "OMP_NUM_THREADS": "1"},
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=True,
                timeout=240,
            )
    return folder


@pytest.mark.parametrize("name", sorted(file.name for file in (STORED / "tables-0.1").glob("*.csv")))
def test_every_value_is_what_it_was(made: Path, name: str):
    now, then = (pd.read_csv(folder / name) for folder in (made / "tables", STORED / "tables-0.1"))
    now = now.drop(columns=WITHIN_MARGIN, errors="ignore")  # which 0.1 did not have
    # sums differ between processors in their last digits
    pd.testing.assert_frame_equal(_numbers(now), _numbers(then), rtol=1e-9, atol=1e-12)
    pd.testing.assert_frame_equal(
        now.drop(columns="values", errors="ignore"),
        then.drop(columns="values", errors="ignore"),
        rtol=1e-9,
        atol=1e-12,
    )


def _numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The numbers of the column ``values``, which are several in one text, each in a row of its own."""
    if "values" not in frame:
        return pd.DataFrame()
    texts = frame["values"].astype(object).fillna("nan").astype(str)
    texts = (
        texts.str.removeprefix("'").str.split().explode()
    )  # a minus is quoted, so that no program reads a formula
    return texts.astype(float).rename_axis("row").reset_index()


@pytest.mark.parametrize(
    "name", sorted(file.name for file in (STORED / "tables-0.1").iterdir() if file.suffix in (".md", ".tex"))
)
def test_every_table_for_people_is_what_it_was(made: Path, name: str):
    assert (made / "tables" / name).read_text() == (STORED / "tables-0.1" / name).read_text()


@pytest.mark.parametrize("name", ["printed.txt", "findings.txt", "status.txt"])
def test_the_command_says_what_it_said(made: Path, name: str):
    assert (made / name).read_text() == (STORED / "tables-0.1" / name).read_text()
