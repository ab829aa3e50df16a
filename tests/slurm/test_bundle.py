"""An array task's work without SLURM around it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.report.chosen_tables import frames
from mmbench.benchmark.report.results import results
from mmbench.benchmark.store.job_folder import Submission
from mmbench.benchmark.store.store import Store
from mmbench.benchmark.train.context import Context
from mmbench.slurm.bundle import BundleTask


@pytest.mark.slow
def test_a_bundle_runs_what_has_not_ended_and_marks_what_other_code_asked_for(
    tmp_path: Path, data_root: Path
):
    asked = {"methods": "erm(layers=1)", "datasets": "toy", "seeds": "0-2", "protocol": {"epochs": 2}}
    experiment = Experiment.read({**asked, "store": tmp_path / "runs", "data_root": data_root})
    jobs = jobs_of(experiment)
    store = Store(tmp_path / "runs")
    store.add(jobs)
    store.job(jobs[1].id).fail("cancelled")
    names = tuple(job.id for job in jobs)
    context = Context(tmp_path / "runs", data_root, code="an older version")
    assert BundleTask(names, context)() == {jobs[0].id: True, jobs[2].id: True}
    assert [store.record(job).state for job in jobs] == ["done", "failed", "done"]
    environment = json.loads((store.job(jobs[0].id).path / "environment.json").read_text())
    assert environment["code_asked"] == "an older version"
    assert environment["code_changed"] is True
    assert (
        environment.get("origin", {}).get("launcher", "slurm") == "slurm"
    )  # where it was none, it says none
    ((_, audit),) = frames(["audit"], results(store.path))
    assert "changed between asking and running" in audit["code"].item()
    store.job(jobs[1].id).set_aside_failure()
    store.submit({jobs[1].id: Submission("slurm", "7_1")})
    assert store.record(jobs[1]).state == "queued"
    again = BundleTask(names, context).checkpoint().function
    assert again() == dict.fromkeys(names, True)  # those that were done are left as they are
