"""The table of contributions, which reads several modality sets, where tables are made block by block."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.report import tables
from mmbench.benchmark.report.results import Filter
from mmbench.benchmark.report.tables import tables_of
from rich.console import Console

from ..conftest import write_dataset

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One method on two modalities and on each alone."""
    folder = tmp_path_factory.mktemp("sets")
    write_dataset(folder / "data" / "toy")
    asked = {
        "methods": ["erm(layers=1)"],
        "datasets": ["toy"],
        "modalities": ["text+audio", "text", "audio"],
        "seeds": [0],
        "protocol": {"epochs": 1},
        "launcher": "debug",
        "device": "cpu",
        "data_root": folder / "data",
        "store": folder / "runs",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        assert run(Experiment.read(asked)).ok
    return folder / "runs"


def made(
    store: Path, what: str | None, monkeypatch: pytest.MonkeyPatch, many: int
) -> dict[str, pd.DataFrame]:
    monkeypatch.setattr(tables, "MANY", many)
    return tables_of(store, Filter(), what, QUIET).frames


@pytest.mark.parametrize("what", ["contribution", None])
def test_blocks_read_the_jobs_on_single_modalities(
    store: Path, what: str | None, monkeypatch: pytest.MonkeyPatch
):
    whole = made(store, what, monkeypatch, 1000)
    by_block = made(store, what, monkeypatch, 1)
    assert whole.keys() == by_block.keys()
    frame = by_block["contribution"]
    pd.testing.assert_frame_equal(frame, whole["contribution"], check_exact=True)
    assert set(frame["modalities"]) == {"text+audio"}
    assert set(frame["note"]) == {""}
    again = made(store, what, monkeypatch, 1)["contribution"]
    pd.testing.assert_frame_equal(again, frame, check_exact=True)


def test_published_numbers_in_a_store_stand_beside_ours(store: Path, monkeypatch: pytest.MonkeyPatch):
    folder = store / "published"
    folder.mkdir()
    columns = "dataset,modalities,method,condition,metric,value,sd,seeds,selection,features,source,tag\n"
    try:
        (folder / "mine.csv").write_text(
            columns + "toy,2,erm,clean,mae,0.25,,,last epoch,mine,a paper,published\n"
        )
        frame = made(store, "published", monkeypatch, 1)["published"]
        row = frame.loc[frame["modalities"] == "text+audio"].iloc[0]
        assert (row["published"], row["difference"]) == (0.25, pytest.approx(row["ours"] - 0.25))
        (folder / "mine.csv").write_text(
            columns + "toy,2,erm,clean,mae,0.75,,,last epoch,mine,a paper,published\n"
        )
        changed = made(store, "published", monkeypatch, 1)["published"]
        assert 0.75 in set(changed["published"])
        (folder / "mine.csv").write_text(
            columns + "toy,2,erm,clean,mae,much,,,last epoch,mine,a paper,published\n"
        )
        with pytest.raises(Exception, match="line 2: value 'much'"):
            made(store, "published", monkeypatch, 1000)
    finally:
        for file in folder.glob("*"):
            file.unlink()
        folder.rmdir()
