"""Cross-validation from the command to the tables, on planted data whose groups leak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.job import Job
from mmbench.benchmark.launch.run import run
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.report.results import leaderboard, results
from mmbench.benchmark.store.job_folder import SCHEMA, Record
from mmbench.benchmark.store.job_schema import parse_job
from mmbench.benchmark.store.store import Store
from mmbench.leaderboards.catalog import TABLES

DESCRIPTION = """
file: arrays.npz
modalities: {voice: voice}
task: {kind: classification, classes: [calm, loud]}
label: label
indices: true
split: none
group: speaker
"""
SPEAKERS, EACH, WIDTH = 48, 6, 64


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """Speakers with a label drawn by chance and a voice of their own, which tells nothing of others' labels."""
    rng = np.random.default_rng(0)
    speaker = np.repeat(np.arange(SPEAKERS), EACH)
    voice = rng.normal(size=(SPEAKERS, WIDTH))[speaker] + 0.05 * rng.normal(size=(len(speaker), WIDTH))
    folder = tmp_path / "data" / "voices"
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text(DESCRIPTION)
    np.savez(
        folder / "arrays.npz",
        voice=voice.astype(np.float32),
        label=rng.permutation(SPEAKERS)[speaker] % 2,
        speaker=np.array([f"p{one:02}" for one in speaker]),
    )
    return tmp_path / "data"


def asked(root: Path, **change) -> Experiment:
    values = {
        "methods": ["logistic"],
        "datasets": ["voices"],
        "folds": 2,
        "seeds": [0],
        "data_root": root,
        "store": root.parent / "runs",
        "launcher": "debug",
    }
    values |= change
    return Experiment.read({name: value for name, value in values.items() if value is not None})


def test_grouped_folds_give_chance_where_groups_leak_and_single_samples_do_not(
    voices: Path, call: Callable[..., tuple[int, str]]
):
    for group in ("auto", "none"):
        assert run(asked(voices, fold_group=group)).ok
    store = voices.parent / "runs"
    frame = leaderboard(store)
    accuracy = frame.loc[frame["metric"] == "accuracy"].set_index("protocol")
    grouped, single = accuracy.loc["fair [2 folds by speaker]"], accuracy.loc["fair [2 folds]"]
    assert grouped["mean"] < 0.7
    assert single["mean"] > 0.85
    assert grouped["low"] < 0.5 < grouped["high"]
    assert "44 of 48 groups (speaker) lie in several folds" in single["audit_leaks"]
    assert grouped["audit_leaks"] == "none found"

    own = TABLES["folds"].make(results(store)).set_index(["protocol", "metric"])
    whole = own.loc[("fair [2 folds by speaker]", "accuracy")]
    assert (whole["mean"], whole["out_of_fold"]) == (
        grouped["mean"],
        pytest.approx(grouped["mean"], abs=0.02),
    )
    code, said = call("status", "--store", store)
    assert "voices [2 folds by speaker]" in said
    code, said = call("merge", store, "--store", store.parent / "other")
    assert code == 0, said
    assert leaderboard(store.parent / "other")["mean"].tolist() == frame["mean"].tolist()


def test_the_plan_says_how_data_are_divided(voices: Path, call: Callable[..., tuple[int, str]]):
    code, said = call("plan", "--methods", "majority", "--datasets", "voices", "--data-root", voices, "--folds", "5",
                      "--seeds", "0,1")  # fmt: skip
    assert code == 0
    assert "5 folds by speaker (10)" in said
    assert "all samples are divided, whatever parts the dataset states" in said


def test_every_fold_has_a_search_of_its_own_and_one_row_pools_them(voices: Path):
    search = {"draws": 3, "repeats": 1}
    experiment = asked(
        voices, methods=["nel(layers=1,width=8)"], seeds=None, search=search, protocol={"epochs": 1}
    )
    assert run(experiment).ok
    store = Store(voices.parent / "runs")
    by_fold: dict[int, dict[int, Record]] = {}
    repeats: dict[int, Record] = {}
    for record in store:
        assert record.job.fold is not None
        assert record.job.search is not None
        if record.job.search.role == "trial":
            by_fold.setdefault(record.job.fold.index, {})[record.job.search.index] = record
        else:
            repeats[record.job.fold.index] = record
    chosen = {}
    for fold, trials in by_fold.items():
        assert sorted(trials) == [0, 1, 2, 3]
        seen = {index: store.job(one.job.id).fit()["selected_by"] for index, one in trials.items()}
        best = min(seen, key=lambda index: (-seen[index]["metric"], seen[index]["loss"], index))
        assert repeats[fold].job.params == trials[best].job.params
        chosen[fold] = {trials[best].job.id, repeats[fold].job.id}
    assert sorted(chosen) == [1, 2]
    frame = leaderboard(store.path)
    (row,) = frame.loc[frame["metric"] == "accuracy"].to_dict("records")
    assert row["method"] == "nel(layers=1,width=8)"
    assert row["protocol"].endswith("[2 folds by speaker], search 1+3+1")
    assert {one.job for one in results(store.path)} == set.union(*chosen.values())
    means = []
    for ids in chosen.values():
        tables = [pd.read_parquet(store.job(one).path / "predictions.parquet") for one in ids]
        clean = [one[(one["split"] == "test") & (one["condition"] == "clean")] for one in tables]
        means.append(np.mean([(one["logit_1"] > one["logit_0"]) == one["target"] for one in clean]))
    assert row["mean"] == pytest.approx(np.mean(means), abs=1e-6)


def test_a_job_is_known_by_its_fold(voices: Path):
    jobs = jobs_of(asked(voices, folds="leave-one-out"))
    assert len({job.id for job in jobs}) == len(jobs) == SPEAKERS
    first = jobs[0]
    assert "-f1of48-" in first.id
    again = Job.from_dict(first.to_dict())
    assert (again, again.id) == (first, first.id)
    assert parse_job({"schema": SCHEMA, **first.to_dict()}) == first
    whole = replace(first, fold=None)
    assert "fold" not in whole.to_dict()
    assert first.fold is not None
    other = replace(first, fold=replace(first.fold, division="f" * 16))
    assert len({first.id, whole.id, other.id}) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": 1}, "1 is no number of folds: write 2 or more, or leave-one-out"),
        ({"folds": "five"}, "'five' is no number of folds"),
        ({"folds": 0, "fold_group": "speaker"}, "--fold-group speaker says nothing without --folds"),
        ({"folds": 0, "fold_parts": "train+valid"}, "--fold-parts train.valid says nothing without --folds"),
        ({"fold_parts": "train+valid"}, "voices: --fold-parts train.valid leaves the test part alone"),
        ({"fold_parts": "valid"}, "fold_parts .*'valid' is not allowed"),
        ({"folds": 49}, "there are 48 groups for 49 folds"),
        ({"datasets": ["toy->toys"]}, "folds divide one dataset"),
    ],
)
def test_folds_that_cannot_be_had_are_one_line(voices: Path, data_root: Path, change: dict, message: str):
    root = data_root if "datasets" in change else voices
    with pytest.raises(UsageError, match=message) as caught:
        jobs_of(asked(root, **change))
    assert "\n" not in str(caught.value)


PARTED = DESCRIPTION.replace("split: none\n", "split: part\n").replace("group: speaker\n", "")


@pytest.fixture
def parted(voices: Path) -> Path:
    """As ``voices``, in parts of its own: half of the speakers train, a fourth each validates and tests."""
    folder = voices / "voices"
    with np.load(folder / "arrays.npz") as arrays:
        known = dict(arrays)
    part = np.array(["train", "train", "valid", "test"])[np.arange(len(known["label"])) // EACH % 4]
    np.savez(folder / "arrays.npz", **known, part=part)
    (folder / "dataset.yaml").write_text(PARTED)
    return voices


def test_folds_that_validate_are_tested_on_the_test_part_and_vote(
    parted: Path, call: Callable[..., tuple[int, str]]
):
    outcome = run(asked(parted, folds=3, fold_parts="train+valid/test", methods=["logistic", "nel(layers=1,width=8)"],
                        protocol={"epochs": 1}))  # fmt: skip
    assert outcome.ok
    store = parted.parent / "runs"
    done = results(store)
    tables = {one.fold: one.predictions() for one in done if one.method == "logistic"}  # pyright: ignore[reportOptionalCall]
    tested = {fold: set(own.loc[own["split"] == "test", "sample_id"]) for fold, own in tables.items()}
    validated = {fold: set(own.loc[own["split"] == "valid", "sample_id"]) for fold, own in tables.items()}
    assert tested[1] == tested[2] == tested[3]
    assert len(tested[1]) == SPEAKERS // 4 * EACH
    assert sum(map(len, validated.values())) == len(set.union(*validated.values())) == 3 * len(tested[1])
    assert not tested[1] & set.union(*validated.values())
    frame = leaderboard(store)
    (row,) = frame.loc[(frame["method"] == "logistic") & (frame["metric"] == "accuracy")].to_dict("records")
    assert row["protocol"].endswith("[3 folds of train+valid, tested on test]")
    assert (row["interval"], row["samples"], row["n"]) == ("folds+samples", len(tested[1]), 3)
    folds_table = TABLES["folds"].make(done).set_index(["method", "metric"]).loc[("logistic", "accuracy")]
    pooled = pd.concat(
        [own[(own["split"] == "valid") & (own["condition"] == "clean")] for own in tables.values()]
    )
    right = (pooled["logit_1"] > pooled["logit_0"]) == pooled["target"]
    assert folds_table["out_of_fold"] == pytest.approx(right.mean())
    code, said = call("leaderboard", "--store", store, "--ensemble", "folds", "--what", "accuracy,ensembles")
    assert code == 0, said
    assert "logistic [soft vote of 3 folds]" in said
    assert "folds+samples: every network validates on a fold of its own" in said
    code, said = call(
        "leaderboard", "--store", store, "--ensemble", "methods", "--what", "accuracy,ensembles,misd"
    )
    assert code == 0, said
    assert "ensemble [stacking of 2 methods]" in said
    code, said = call("findings", "--store", store, "--ensemble", "folds", "--format", "terminal")
    assert code == 0, said
    assert "7  Do ensembles degrade" in said
    assert "soft vote of 3 folds of logistic on voices" in said
    code, said = call("leaderboard", "--store", store, "--ensemble", "seeds")
    assert code == 2
    assert "an ensemble needs two members, and no row has more than one" in said
