"""Weights of single classes as people write them, to jobs; and what is refused in one line."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.cli.flags import experiment_from
from mmbench.benchmark.core.class_weights import GREATEST, LEAST, as_class_weights, class_weights_text
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.job import Job
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.strings import as_list
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.store.job_folder import SCHEMA
from mmbench.benchmark.store.job_schema import RefusedError, parse_job

NAMES = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8) | st.sampled_from(
    ["happy, excited", 'so-called "joy", or not', "a=b", '"', "(,"]
)
WEIGHTS = st.dictionaries(NAMES, st.floats(LEAST, GREATEST), min_size=1, max_size=6)


def planned(data_root: Path, weights: Any, dataset: str = "toyc", **more: Any) -> list[Job]:
    asked = {"methods": "erm,logistic", "datasets": dataset, "seeds": "0", "data_root": data_root}
    return jobs_of(Experiment.read({**asked, "protocol": {"class_weights": weights, **more}}))


@given(WEIGHTS, st.randoms(use_true_random=False))
def test_what_is_written_is_read_back_in_whatever_order(weights: dict[str, float], draw: Any):
    items = list(weights.items())
    draw.shuffle(items)
    read = Protocol.model_validate({"class_weights": class_weights_text(dict(items))}).class_weights
    assert read == weights
    assert list(read) == sorted(weights)
    assert read == as_class_weights(dict(items)) == as_class_weights(read)


@given(st.one_of(st.text(), st.dictionaries(st.text(max_size=3), st.floats() | st.text(max_size=3))))
def test_whatever_is_written_is_a_rule_or_one_line(written: Any):
    said = ""
    try:
        read = as_class_weights(written)
    except ValueError as error:
        read, said = "off", str(error)
    assert len(said.splitlines()) <= 1
    assert read in ("off", "balanced") or all(LEAST <= one <= GREATEST for one in read.values())


def test_names_with_commas_stand_in_quotes_in_every_list_of_names():
    assert as_class_weights('"happy, excited"=2,a=b=0.5') == {"happy, excited": 2.0, "a=b": 0.5}
    held_out = Protocol.model_validate({"held_out_classes": '"happy, excited",sad'}).held_out_classes
    assert held_out == ["happy, excited", "sad"]
    assert as_list('one(a=1,b=2),"two, and (", 5" disk') == ["one(a=1,b=2)", "two, and (", '5" disk']


def test_the_order_makes_no_other_job_and_other_numbers_do(data_root: Path):
    forms = ["no=2,yes=0.5", " yes=.50, no=2.0", {"yes": 0.5, "no": "2"}]
    ids = [{job.id for job in planned(data_root, form)} for form in forms]
    assert ids[0] == ids[1] == ids[2]
    others = ("off", "balanced", "no=2", "no=2,yes=0.25")
    assert len({job.id for form in (forms[0], *others) for job in planned(data_root, form)}) == 10


def test_a_file_and_a_flag_say_the_same(tmp_path: Path, data_root: Path):
    common = f"methods: [erm]\ndatasets: [toyc]\nseeds: [0]\ndata_root: {data_root}\n"
    file = tmp_path / "experiment.yaml"
    file.write_text(common + "protocol: {class_weights: {'no': 2, 'yes': 0.5}}\n")
    (job,) = jobs_of(experiment_from(file, {}))
    flags = {"methods": ["erm"], "datasets": ["toyc"], "seeds": ["0"], "data_root": str(data_root)}
    (typed,) = jobs_of(experiment_from(None, {**flags, "class_weights": "no=2,yes=0.5"}))
    assert job.id == typed.id
    assert job.rules == "fair (class_weights=no=2,yes=0.5)"
    experiment_from(file, {}).save(tmp_path / "saved.yaml")
    assert jobs_of(Experiment.load(tmp_path / "saved.yaml"))[0].id == job.id
    (other,) = jobs_of(experiment_from(file, {"class_weights": "yes=3"}))  # a flag takes its place as a whole
    assert other.protocol["class_weights"] == {"yes": 3.0}
    file.write_text(common + "protocol: {class_weights: off, impute: off, train_with_missing: off}\n")
    (plain,) = jobs_of(experiment_from(file, {}))
    assert plain.id == jobs_of(experiment_from(None, flags))[0].id


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("yess=2", r"--class-weights: toyc has no class 'yess': did you mean yes\?"),
        ("balance", "'balance' is none of off, balanced, and no weights as happy=2,sad=1"),
        ("yes=-1", "the weight '-1' of the class 'yes' is no number from 1e-06 to 1e"),
        ("yes=0", "--held-out-classes leaves a class out"),
        ({"yes": math.nan}, "the weight 'nan' of the class 'yes'"),
        ({"yes": math.inf}, "the weight 'inf' of the class 'yes'"),
        ({"yes": True}, "the weight 'True' of the class 'yes'"),
        ("yes=1,yes=2", "the class 'yes' has two weights"),
        ({True: 2}, "put these names into quotes"),
        ({}, "none of off, balanced"),
    ],
)
def test_bad_weights_are_one_line(data_root: Path, weights: Any, said: str):
    with pytest.raises(UsageError, match=said) as refused:
        planned(data_root, weights)
    assert len(str(refused.value).splitlines()) == 1


def test_weights_are_of_classes_that_are_trained_on(data_root: Path):
    with pytest.raises(
        UsageError, match="--class-weights no=2 needs classes or labels, and toy is regression"
    ):
        planned(data_root, "no=2", "toy")
    with pytest.raises(UsageError, match="--class-weights yes=2 does not reach the method majority"):
        jobs_of(
            Experiment.read(
                {
                    "methods": "majority",
                    "datasets": "toyc",
                    "data_root": data_root,
                    "protocol": {"class_weights": "yes=2"},
                }
            )
        )


def test_a_stored_job_has_them_as_mmbench_writes_them(data_root: Path):
    values = {"schema": SCHEMA, **planned(data_root, "no=2,yes=0.5")[0].to_dict()}
    assert parse_job(values).protocol["class_weights"] == {"no": 2.0, "yes": 0.5}
    odd = {**values, "protocol": {**values["protocol"], "class_weights": "no=2,yes=0.5"}}
    with pytest.raises(RefusedError, match=r"protocol\.class_weights is not written as mmbench writes it"):
        parse_job(odd)
