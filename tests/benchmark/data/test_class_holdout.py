"""Classes held out of training: no network meets them before the test, where they are the semantic OOD set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.data.class_holdout import take_rows
from mmbench.benchmark.data.tensors import TaskRequest, load_task, sample_hash
from mmbench.benchmark.exchange.merge import merge
from mmbench.benchmark.launch.run import plan
from mmbench.benchmark.report.results import results
from mmbench.datasets.dataset import DataError, Samples
from mmbench.datasets.locate import locate
from mmbench.leaderboards.tables.accuracy import accuracy

from ..conftest import Command, make_samples, write_dataset
from .test_ood_split import CLASSES, write_planted

#: A method that writes down which samples, targets and context it was shown, and whether in training.
PLUGIN = '''
import json, os
from dataclasses import dataclass
from mmbench.methods.erm import ERM
from mmbench.methods.method import fixed

METHODS = {"witness": "Witness"}


@dataclass(frozen=True)
class WitnessParams:
    width: int = fixed(40)
    layers: int = fixed(1)


class Witness(ERM):
    """Writes down what it sees."""

    Params = WitnessParams
    uses_context = True

    def forward(self, batch):
        context = batch.context
        there = [any(row) for row in zip(*(flags.tolist() for flags in context.present.values()))]
        seen = {
            "training": self.training,
            "samples": batch.sample_id.tolist(),
            "context": [row for row, known in zip(context.sample_id.tolist(), there) if known],
            "targets": batch.target.tolist(),
            "classes": self.spec.classes,
        }
        with open(os.environ["WITNESS"], "a") as stream:
            stream.write(json.dumps(seen) + "\\n")
        return super().forward(batch)
'''


def asked(root: Path, store: Path, held_out: object = ("west", "east"), **more) -> Experiment:
    values = {
        "methods": ["erm(layers=1)"],
        "datasets": ["square"],
        "seeds": [0],
        "launcher": "debug",
        "device": "cpu",
        "data_root": root,
        "store": store,
        "protocol": {"epochs": 2, "held_out_classes": held_out},
    }
    return Experiment.read({**values, **more})


@pytest.fixture
def square(data_root: Path) -> Path:
    write_planted(data_root / "square", 21)
    return data_root


def with_context(root: Path) -> None:
    """Gives every sample of square the one before it as context."""
    from mmbench.datasets.dataset import Target
    from mmbench.datasets.layout.write import write_open_layout

    splits = locate("square", root).load()
    for split in splits.values():
        split.previous[:] = np.arange(len(split)) - 1
    target = Target("classification", classes=CLASSES, metrics="classification")
    write_open_layout(root / "square", splits, target, overwrite=True)


def test_no_held_out_sample_is_seen_before_the_test(
    square: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_context(square)
    plugin = tmp_path / "witness.py"
    plugin.write_text(PLUGIN)
    monkeypatch.setenv("WITNESS", str(tmp_path / "seen"))
    experiment = asked(square, tmp_path / "runs", methods=["witness"], plugins=[plugin])
    summary = run(experiment)
    assert summary.ok, summary.failed
    seen = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]

    splits = locate("square", square).load()
    held_out = [CLASSES.index("east"), CLASSES.index("west")]
    named = {
        (split, out): {
            sample_hash("square", name) for name in one.sample_id[np.isin(one.target, held_out) == out]
        }
        for split, one in splits.items()
        for out in (False, True)
    }
    assert all(named.values())
    last = max(place for place, call in enumerate(seen) if call["training"])
    fit = seen[: last + 2]  # and the selection after the last epoch
    assert not fit[-1]["training"]
    shown = {
        training: {sample for call in fit if call["training"] == training for sample in call["samples"]}
        for training in (True, False)
    }
    assert shown == {True: named["train", False], False: named["valid", False]}
    context = {sample for call in fit for sample in call["context"]}
    assert context
    assert context < named["train", False] | named["valid", False]
    assert {target for call in fit if call["training"] for target in call["targets"]} == {0, 1}
    assert {call["classes"] for call in seen} == {2}
    # the test data of the job hold the kept classes, numbered anew; the others are the semantic set
    folder = next((tmp_path / "runs" / "jobs").iterdir())
    test = pd.read_parquet(folder / "predictions.parquet").query("split == 'test'")
    original = dict(zip(splits["test"].sample_id, splits["test"].target, strict=True))
    assert {sample_hash("square", name) for name in test.sample_id} == named["test", False]
    assert all(
        CLASSES[original[name]] == ("north", "south")[target]
        for name, target in zip(test.sample_id, test.target, strict=True)
    )
    foreign = pd.read_parquet(folder / "evaluations" / "semantic.parquet")
    assert set(foreign.split) == {"semantic:east+west"}
    assert {sample_hash("square", name) for name in foreign.sample_id} == named["test", True]
    assert "logit_2" not in foreign
    report = merge(tmp_path / "runs", tmp_path / "taken")
    assert report.ok, report
    assert (tmp_path / "taken" / "jobs" / folder.name / "evaluations" / "semantic.parquet").is_file()
    features = pd.read_parquet(folder / "evaluations" / "features.parquet")
    trained = features[features.split == "train"].sample_id
    assert {sample_hash("square", name) for name in trained} == named["train", False]


def test_statistics_are_those_of_the_kept_classes(square: Path) -> None:
    request = TaskRequest("square", ("x",), ("text",), True, "strict", True, "cpu", ("west",))
    data = load_task(request, {"square": locate("square", square)})
    steps = data.train.batch.features["text"].flatten(0, 1).double()
    assert np.allclose(steps.mean(0), 0, atol=1e-5)
    assert np.allclose(steps.std(0, correction=0), 1, atol=1e-4)
    assert data.class_holdout is not None
    assert (
        abs(data.class_holdout.batch.features["text"].mean((0, 1))[0]) > 0.3
    )  # the corner that was left out


def test_only_a_protocol_that_holds_out_gets_another_job_id(square: Path, tmp_path: Path) -> None:
    def job(held_out: object):
        return plan(asked(square, tmp_path / "runs", held_out)).jobs[0]

    plain = job([])
    older = {**plain.to_dict(), "protocol": {k: v for k, v in plain.protocol.items() if "held" not in k}}
    assert type(plain).from_dict(older).id == plain.id  # results of before this rule keep their names
    assert job(["west"]).id not in (plain.id, job(["east"]).id)
    assert job("west,east").id == job(["east", "west"]).id
    again = json.loads(json.dumps(job("west,east").to_dict()))
    assert type(plain).from_dict(again) == job("west,east")


def test_what_cannot_be_held_out_is_said_before_anything_is_written(square: Path, tmp_path: Path) -> None:
    for change, words in (
        ({"held_out": ["wets"]}, "did you mean west"),
        ({"held_out": ["north", "east", "west"]}, "1 of 4 classes would be left"),
        ({"held_out": ["west"], "datasets": ["toy"]}, "a regression has no classes"),
    ):
        with pytest.raises(UsageError, match=words):
            run(asked(square, tmp_path / "runs", **change))
    with pytest.raises(UsageError, match="twice"):
        asked(square, tmp_path / "runs", held_out="west,west")
    assert not (tmp_path / "runs").exists()


def test_a_class_that_the_test_lacks_is_no_ood_set(square: Path) -> None:
    splits = locate("square", square).load()
    splits["test"].target[:] = splits["test"].target % 3

    class Lacking:
        name, target, modalities = "square", locate("square", square).target, ("text", "audio")

        def load(self):
            return splits

    request = TaskRequest("square", ("x",), ("text",), True, "strict", True, "cpu", ("west",))
    with pytest.raises(DataError, match="no test sample is of class west"):
        load_task(request, {"square": Lacking()})  # pyright: ignore[reportArgumentType]


def test_rows_keep_the_previous_that_is_among_them() -> None:
    samples = make_samples(9, 0)
    kept = np.array([0, 1, 4, 5, 8])
    part: Samples = take_rows(samples, kept)
    for row, old in enumerate(kept):
        before = samples.previous[old]
        known = before in kept and before >= 0
        assert part.previous[row] == (kept.tolist().index(before) if known else -1)
        assert part.sample_id[row] == samples.sample_id[old]


def test_rows_that_held_classes_out_are_not_compared_with_others(square: Path, tmp_path: Path) -> None:
    assert run(asked(square, tmp_path / "runs")).ok
    assert run(asked(square, tmp_path / "runs", held_out=[])).ok
    frame = accuracy(results(tmp_path / "runs"), draws=5)
    assert set(frame["protocol"]) == {"fair (epochs=2)", "fair (epochs=2, held_out_classes=east+west)"}


@pytest.mark.slow
def test_a_class_in_yaml_may_be_a_number(mmbench: Command, data_root: Path, tmp_path: Path) -> None:
    write_planted(data_root / "numbered", 21, classes=("0", "1", "2", "3"))
    (tmp_path / "asked.yaml").write_text(
        "methods: [erm]\ndatasets: [numbered]\nprotocol: {held_out_classes: [3]}\n"
    )
    shown = mmbench("plan", "--config", "asked.yaml", "--format", "json")
    assert shown.returncode == 0, shown.stderr
    jobs = json.loads(shown.stdout)["jobs"]
    assert jobs[0]["protocol"]["held_out_classes"] == ["3"]
    write_dataset(data_root / "two", 6, "classification")
    refused = mmbench("plan", "--methods", "erm", "--datasets", "two", "--held-out-classes", "yes")
    assert refused.returncode == 2
    assert "1 of 2 classes would be left" in refused.stderr
