"""A validation part that was drawn is said wherever a reader would take it for a published one, and a part of one label."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import yaml
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.report.results import results
from mmbench.leaderboards.tables.cost import audit

from ..conftest import Call, write_dataset

WORDS = "25 % of the training samples, single ones drawn by seed 8"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset that states no validation part."""
    folder = tmp_path / "data" / "own"
    write_dataset(folder)
    about = yaml.safe_load((folder / "dataset.yaml").read_text())
    assert set(about["file"]) == {"train", "valid", "test"}
    test = folder / about["file"]["test"]
    arrays = dict(np.load(test))
    arrays[about["label"]] = np.full_like(arrays[about["label"]], 0.5)
    np.savez(test, **arrays)  # all test samples have one score
    del about["file"]["valid"]
    about["valid"] = {"share": 0.25}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(about))
    return tmp_path / "data"


def test_the_data_commands_say_share_and_seed(root: Path, call: Call) -> None:
    for command in ("info", "verify"):
        code, said = call("data", command, "own", "--data-root", root)
        assert code == 0
        assert WORDS in said
    assert "all samples are of score 0.5" in said  # of data verify


def test_the_audit_says_so_and_a_run_from_python_tells_its_progress(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"methods": ["erm(layers=1)"], "datasets": ["own"], "seeds": [0], "protocol": {"epochs": 1}}
    asked |= {"launcher": "debug", "device": "cpu", "data_root": root, "store": tmp_path / "runs"}
    with caplog.at_level(logging.INFO, "mmbench.run"):
        assert run(Experiment.read(asked)).ok
    (line,) = [record.getMessage() for record in caplog.records if record.name == "mmbench.run"]
    assert line.startswith("1 of 1: own-erm-")
    assert line.endswith(" done")
    found = results(tmp_path / "runs")
    assert audit(found)["drawn_validation"].tolist() == [f"own: {WORDS}"]
    assert audit(found)["single_labels"].tolist() == ["all samples of test are of score 0.5"]
