"""Missing rates of single modalities, from what is typed to the table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.launch.run import run
from mmbench.benchmark.planning.evaluations import evaluations_of, own_rates
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.report.results import results
from mmbench.leaderboards.tables.robustness import is_summary, robustness

ASKED = "missing-rates(text=0.2,audio=0.5)"


def experiment(data_root: Path, missing: Any = "off", **more: Any) -> Experiment:
    rules = {"epochs": 1, "train_with_missing": missing}
    asked = {"methods": "erm(layers=1)", "datasets": "toy", "seeds": "0", "data_root": data_root}
    return Experiment.read({**asked, "protocol": rules, "launcher": "debug", "device": "cpu", **more})


def test_rates_in_training_are_one_rule_however_they_are_written(data_root: Path):
    forms = ["text=0.3,audio=0.7", " audio=0.70, text=.3", {"audio": 0.7, "text": 0.3}]
    jobs = [job for form in forms for job in jobs_of(experiment(data_root, form))]
    assert {job.protocol["train_with_missing"] for job in jobs} == {"audio=0.7,text=0.3"}
    assert len({job.id for job in jobs}) == 1
    (plain,) = jobs_of(experiment(data_root))
    assert plain.id != jobs[0].id
    (none,) = jobs_of(experiment(data_root, "text=0"))
    assert none.id == plain.id


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("pattern", "none of off, patterns, spectrum, and no rates"),
        ("text=1.5", "no missing rates"),
        ("smell=0.3", "no modality 'smell'"),
        ("text=0.6,audio=0.6", "sum to 1.2"),
    ],
)
def test_rates_in_training_that_cannot_be_are_refused(missing: str, said: str, data_root: Path):
    with pytest.raises(UsageError, match=said):
        jobs_of(experiment(data_root, missing))


def test_a_single_modality_keeps_what_it_has(data_root: Path):
    assert len(jobs_of(experiment(data_root, "text=0.5", modalities="all,T"))) == 2


def test_a_name_of_rates_in_the_test_does_not_depend_on_their_order():
    one, other = own_rates([ASKED]), own_rates(["missing-rates(audio=0.50, text=0.2, vision=0)"])
    assert one == other
    assert one[0].name.startswith("missing-rates~")
    for text, said in (("text=2", "no missing rates"), ("text=0", "no rate is above 0")):
        with pytest.raises(UsageError, match=said):
            own_rates([f"missing-rates({text})"])


def test_rates_in_the_test_that_cannot_be_are_refused(data_root: Path, tmp_path: Path):
    asked = experiment(data_root, corruptions="missing-rates(text=0.9,audio=0.9)", store=tmp_path / "runs")
    with pytest.raises(UsageError, match=r"--corruptions missing-rates: the rates of text\+audio sum to 1.8"):
        run(asked)


def test_the_table_has_every_rate_and_their_mean(data_root: Path, tmp_path: Path):
    asked = experiment(
        data_root,
        "text=0.3,audio=0.7",
        corruptions=f"imbalanced-rates,{ASKED}",
        store=tmp_path / "runs",
        modalities="all,T",
    )
    assert [one.subject for one in evaluations_of(asked)] == ["imbalanced-rates", "missing-rates"]
    run(asked)
    frame = robustness(results(tmp_path / "runs"), draws=20)
    both = frame[frame["modalities"] == "text+audio"].set_index("condition")["mean"]
    steps = ["imbalanced-rates:text=0.3+audio=0.7", "imbalanced-rates:text=0.7+audio=0.3"]
    own = "missing-rates:text=0.2+audio=0.5"
    for name in (*steps, own, "mean:imbalanced-rates"):
        assert is_summary(name)
        assert math.isfinite(float(both.loc[name]))
    assert float(both.loc["mean:imbalanced-rates"]) == pytest.approx(np.mean(np.asarray(both[steps])))
    assert len(set(both[[*steps, own, "clean"]])) == 4
    alone = frame[frame["modalities"] == "text"]
    assert not set(alone["condition"]) & {*steps, own}
    assert set(frame["audit_train_missing"]) == {"audio=0.7,text=0.3 (protocol)"}


def test_the_rule_is_in_the_label_of_its_rows():
    rules = Protocol.model_validate({"train_with_missing": "text=0.3,audio=0.7"})
    assert rules.label({}) == "fair (train_with_missing=audio=0.7,text=0.3)"
