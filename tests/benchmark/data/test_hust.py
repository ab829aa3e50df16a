"""HUST motor on its way through the harness."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmbench.benchmark.check.conformance import check_entry
from mmbench.benchmark.core.task import Task
from mmbench.benchmark.data.compatibility import common_encoders
from mmbench.benchmark.data.tensors import TaskRequest, load_task
from mmbench.datasets.dataset import DataError
from mmbench.datasets.hust import Hust
from mmbench.datasets.locate import locate
from mmbench.methods.erm import ERM, ERMParams

from ..conftest import Command, make_samples
from .test_domains import TARGET

LEFT_OUT = "hust/10hz+hust/20hz+hust/30hz->hust/5hz"


def test_the_contract_is_kept():
    results = list(check_entry("dataset", "hust"))
    assert results
    assert [result.reason for result in results if not result.ok] == []


def test_a_method_is_built_with_the_published_network(tmp_path: Path):
    Hust().synthesize(tmp_path / "hust")
    request = TaskRequest(LEFT_OUT, ("x",), ("vibration", "acoustic"), True, "strict", True, "cpu")
    data = load_task(request, {"hust": Hust().locate(tmp_path)})
    spec = data.only(("vibration", "acoustic")).spec("fair")
    assert sum(item.numel() for item in ERM(ERMParams(), spec).parameters()) == 13_846
    assert data.only(("acoustic",)).spec("fair").encoders == {"acoustic": "cnn1d"}
    assert set(data.test.domain) == {"5hz"}
    assert set(data.train.domain) == set(data.valid.domain) == {"10hz", "20hz", "30hz"}


def test_datasets_that_ask_for_different_encoders_do_not_meet(tmp_path: Path):
    from mmbench.datasets.dataset import SPLITS
    from mmbench.datasets.layout.write import write_open_layout

    for name, encoders in (("plain", {}), ("waves", {"audio": "cnn1d"})):
        splits = {split: make_samples(6, place, "classification") for place, split in enumerate(SPLITS)}
        write_open_layout(tmp_path / name, splits, TARGET, encoders=encoders)
    found = {name: locate(name, tmp_path) for name in ("plain", "waves")}
    with pytest.raises(
        DataError, match=r"audio is read by different encoders .cnn1d in waves, sequence in plain"
    ):
        common_encoders(Task.parse("waves->plain"), found)
    assert common_encoders(Task.parse("waves"), found) == {"audio": "cnn1d"}


@pytest.mark.slow
def test_recordings_become_a_result(mmbench: Command, tmp_path: Path):
    for command in (
        "data synth hust --format txt --data-root raw",
        "data prepare hust --from raw/hust --data-root ready",
        f"run --datasets {LEFT_OUT} --methods erm --seeds 0 --epochs 2 --data-root ready --launcher debug --device cpu",
    ):
        ended = mmbench(*command.split())
        assert ended.returncode == 0, ended.stdout + ended.stderr
    (file,) = (tmp_path / "runs").rglob("fit.json")
    record = json.loads(file.read_text())
    assert record["parameters"] == 13_846
    assert record["test_domains"] == ["5hz"]
    assert max(epoch["metric"] for epoch in record["epochs"]) > 2 / 6  # twice chance, on source validation
    ended = mmbench("data", "prepare", "mosi")
    assert ended.returncode == 2
    assert "nothing to prepare" in ended.stderr
