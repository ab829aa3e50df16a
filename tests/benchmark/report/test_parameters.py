"""What the cost table counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmbench.benchmark.core.registry import find
from mmbench.benchmark.launch import run as launch
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.datasets.batch import Spec


@pytest.mark.parametrize("name", ["erm", "cmrf", "mbcd", "miro"])
def test_a_teacher_is_no_parameter(name: str, tmp_path: Path, data_root: Path):
    asked = {"methods": f"{name}(layers=1)", "datasets": "toy", "seeds": "0", "protocol": {"epochs": 1}}
    places = {"data_root": data_root, "store": tmp_path / "runs", "launcher": "debug", "device": "cpu"}
    assert launch.run(Experiment.read({**asked, **places})).ok
    (file,) = (tmp_path / "runs").rglob("fit.json")
    counted = json.loads(file.read_text())["parameters"]

    kind = find("method", name).load()
    torch.manual_seed(0)
    method = kind(
        kind.Params(layers=1),
        Spec({"text": 6, "audio": 3}, "regression", label_range=(-3.0, 3.0), steps={"text": 4, "audio": 4}),
    )
    own = {key: value for key, value in method.named_parameters() if not key.startswith("teacher.")}
    assert counted == sum(value.numel() for value in own.values())
