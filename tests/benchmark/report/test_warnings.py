"""What the splits of the data share, and a validation score that is too good, from the run to what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from mmbench.benchmark import Experiment, results, run
from mmbench.benchmark.exchange.merge import merge
from mmbench.benchmark.store.store import Store
from mmbench.leaderboards.catalog import TABLES

from ..conftest import Call

DESCRIPTION = """
file: x.npz
modalities: {tone: tone, shape: shape}
task: {kind: classification, classes: ['no', 'yes']}
label: label
split: split
"""


def write(folder: Path, copies: int) -> None:
    """Noise with random labels; so many validation samples are copies of training samples, with their labels."""
    draw = np.random.default_rng(0)
    label = draw.integers(0, 2, 400)
    tone, shape = draw.normal(size=(400, 40)), draw.normal(size=(400, 20))
    for values in (label, tone, shape):
        values[200 : 200 + copies] = values[:copies]
    tone[200:300] += 0.05 * draw.normal(size=(100, 40))
    split = np.array(["train"] * 200 + ["valid"] * 100 + ["test"] * 100)
    folder.mkdir(parents=True)
    np.savez(folder / "x.npz", tone=tone, shape=shape, label=label, split=split)
    (folder / "dataset.yaml").write_text(DESCRIPTION)


def test_a_leak_is_in_the_audit_the_findings_and_a_merged_store(tmp_path: Path, call: Call) -> None:
    write(tmp_path / "leaky", copies=100)
    write(tmp_path / "clean", copies=0)
    asked = {"methods": "erm(layers=1)", "datasets": ["clean", "leaky"], "seeds": [0], "launcher": "debug"}
    rules = {"device": "cpu", "protocol": {"epochs": 12, "learning_rate": 0.01}}
    store = tmp_path / "runs"
    assert run(Experiment.read({**asked, **rules, "data_root": tmp_path, "store": store})).ok
    noted = {
        record.job.task: json.loads((store / "jobs" / record.job.id / "environment.json").read_text())[
            "leaks"
        ]
        for record in Store(store)
    }
    words = "100 of 100 valid samples have a near-duplicate in train"
    assert noted == {"leaky": {"leaky": [words]}, "clean": {"clean": []}}
    frame = TABLES["audit"].make(results(store)).set_index("task")
    assert frame["leaks"].to_dict() == {"clean": "none found", "leaky": f"leaky: {words}"}
    assert frame.loc["clean", "warnings"] == ""
    assert frame.loc["leaky", "warnings"].startswith(f"leaky: {words}. accuracy ")

    status, printed = call("leaderboard", "--store", store, "--what", "audit")
    assert status == 0
    assert f"warning: leaky: {words}" in printed.replace("\n", " ")
    status, printed = call("findings", "--store", store)
    assert f"warning: leaky: {words}" in printed.replace("\n", " ")
    assert "## Warnings" in next((store / "leaderboards").glob("findings*.md")).read_text()
    status, printed = call("data", "verify", "leaky", "--data-root", tmp_path)
    assert status == 0
    assert "near-duplicates in train and valid" in printed

    merge(store, tmp_path / "other")
    again = TABLES["audit"].make(results(tmp_path / "other")).set_index("task")
    assert again["warnings"].to_dict() == frame["warnings"].to_dict()
