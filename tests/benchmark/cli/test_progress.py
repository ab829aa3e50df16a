"""What is said of a job that ends: its training, or that it was trained before and has only been tested."""

from __future__ import annotations

import re
from pathlib import Path

from mmbench.benchmark import Experiment, plan, run
from mmbench.benchmark.cli.progress import RunView, _words
from mmbench.benchmark.store.store import Store
from mmbench.benchmark.train.context import Outcome


def test_conditions_for_a_finished_job_do_not_look_like_training(tmp_path: Path, data_root: Path) -> None:
    asked = {
        "methods": "erm(layers=1)",
        "datasets": "toy",
        "seeds": [0],
        "launcher": "debug",
        "device": "cpu",
    }
    where = {"data_root": data_root, "store": tmp_path / "runs", "protocol": {"epochs": 1}}
    experiment = Experiment.read({**asked, **where})
    (job,) = plan(experiment).todo
    view = RunView([job], Store(tmp_path / "runs"))
    assert run(experiment).ok
    assert "epoch 1/1  loss" in view.outcome_line(Outcome(job.id, ok=True)).plain

    more = Experiment.read({**asked, **where, "corruptions": ["drift"]})
    assert plan(more).todo == (job,)
    again = RunView([job], Store(tmp_path / "runs")).outcome_line(Outcome(job.id, ok=True)).plain
    assert "tested under more conditions; trained before" in again
    assert "loss" not in again


def test_an_estimator_has_candidates_and_no_loss(tmp_path: Path, data_root: Path) -> None:
    asked = {"methods": "logistic", "datasets": "toy", "seeds": [0], "launcher": "debug", "device": "cpu"}
    experiment = Experiment.read({**asked, "data_root": data_root, "store": tmp_path / "runs"})
    (job,) = plan(experiment).todo
    view = RunView([job], Store(tmp_path / "runs"))
    assert run(experiment).ok
    said = view.outcome_line(Outcome(job.id, ok=True)).plain
    assert re.search(r"  candidate \d+/11  valid ", said)
    assert "loss" not in said
    assert [word for word in _words({"epoch": 2, "epochs": 6, "metric": 0.5}) if word] == [
        "candidate 2/6",
        "valid 0.500",
    ]
    assert _words({"epoch": 1, "epochs": 6})[0] == "epoch 1/6"  # nothing has ended yet
