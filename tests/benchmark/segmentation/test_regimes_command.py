"""``mmbench regimes`` from a dataset to tables and pictures, without torch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.job import canonical_json
from mmbench.benchmark.planning.segmenters import resolve
from mmbench.benchmark.segmentation.corpus import read_corpus
from mmbench.benchmark.segmentation.judging import cases_of, local_model
from mmbench.benchmark.segmentation.pictures import write_arcs
from mmbench.benchmark.segmentation.results import fit_of, forget, records, results_and_holes
from mmbench.benchmark.segmentation.run import plan_regimes, run_regimes
from mmbench.benchmark.segmentation.runner import folds_of
from mmbench.benchmark.store.locks import hold
from mmbench.benchmark.store.names import StoreError
from mmbench.regimes.judge import count_words, judge

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
YAML = """
file: talks.npz
modalities: {text: words}
task: {kind: classification, classes: [one, two]}
label: label
split: none
synthetic: true
conversation: {id: talk, order: turn, speaker: who}
regimes:
  face: {valence: v, arousal: a}
  voice: {arousal: loud}
"""
SEGMENTERS = ["constant", "kmeans(states=2)", "sticky-hdp-hmm(sweeps=20,chains=2,states=3)"]
#: Runs the command and fails if anything imported torch.
WITHOUT_TORCH = """
import sys
from mmbench.benchmark.cli.main import main
try:
    main()
finally:
    assert "torch" not in sys.modules, "torch was imported"
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six conversations of 20 steps, whose label changes in the middle, with the valence and arousal of it."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "talks").mkdir()
    rng = np.random.default_rng(0)
    label = np.tile(np.repeat([0, 1], 10), 6)
    values = np.where(label[:, None] == 1, 1.0, -1.0) + rng.normal(0, 0.5, (120, 3))
    values[rng.random((120, 3)) < 0.1] = np.nan
    order = rng.permutation(120)
    arrays = {
        "words": np.ones((120, 1), np.float32),
        "label": np.array(["one", "two"])[label],
        "talk": np.repeat([f"talk{n}" for n in range(6)], 20),
        "turn": np.tile(np.arange(20), 6),
        "who": np.tile(["x", "y"], 60),
        "v": values[:, 0],
        "a": values[:, 1],
        "loud": values[:, 2],
    }
    np.savez(folder / "talks" / "talks.npz", **{name: array[order] for name, array in arrays.items()})
    (folder / "talks" / "dataset.yaml").write_text(YAML)
    return folder


def command(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", WITHOUT_TORCH, "regimes", *map(str, words)]
    environment = {**os.environ, "COLUMNS": "250"}
    return subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def store(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of finished jobs: the command runs two, and a second call of it the others, in this process."""
    path = tmp_path_factory.mktemp("store")
    done = command(
        "run", "--datasets", "talks", "--segmenters", "constant", "--seeds", "0-1", "--folds", "3", "--data-root", root,
        "--store", path, folder=root,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[2/2] done talks  constant  seed 1  1 regime" in done.stdout
    planned = plan_regimes(SEGMENTERS, ["talks"], [0, 1], 3, "", root, path)
    assert len(planned.jobs) == 6
    assert len(planned.remaining) == 4
    assert [one.reason for one in run_regimes(planned, 1)] == [""] * 4
    assert planned.remaining == []
    return path


def test_the_leaderboard_holds_every_metric_and_says_that_data_are_synthetic(root: Path, store: Path):
    shown = command("leaderboard", "--store", store, folder=root)
    assert shown.returncode == 0, shown.stderr
    frame = pd.read_csv(next((store / "leaderboards").glob("regimes-synthetic-stand-in.csv")))
    of = frame.set_index(["segmenter", "metric"])
    sticky = SEGMENTERS[2]
    assert of.loc[(sticky, "v_measure"), "mean"] > 0.8
    assert of.loc[(sticky, "boundary_f1"), "mean"] > 0.8
    assert of.loc[(sticky, "held_out"), "low"] > of.loc[("constant", "held_out"), "high"]
    assert of.loc[("kmeans(states=2)", "held_out"), "hole"] == "has no density"
    assert of.loc[("constant", "silhouette"), "hole"] == "one regime alone"
    assert of.loc[("constant", "switches"), "mean"] == 0
    assert set(frame["data"]) == {"synthetic stand-in"}
    assert "kmeans(states=2): has no density (held_out)" in shown.stdout


def test_jobs_are_listed_and_drawn(root: Path, store: Path, tmp_path: Path):
    listed = command("list", "--store", store, "--format", "json", folder=root)
    assert {one["state"] for one in json.loads(listed.stdout)} == {"done"}
    drawn = command(
        "plot", "--store", store, "--segmenters", "sticky-hdp-hmm", "--seeds", "0", "--conversations", "talk3", "--out", tmp_path,
        folder=root,
    )  # fmt: skip
    assert drawn.returncode == 0, drawn.stderr
    files = sorted(tmp_path.iterdir())
    assert [file.suffix for file in files] == [".pdf", ".png"]
    assert "talk3" in files[1].name
    assert "synthetic" in files[1].name


def test_two_segmentations_are_judged(store: Path, tmp_path: Path):
    first, second = (
        next(one for one in records(store, [], [name], [0])) for name in ("constant", "kmeans(states=2)")
    )
    cases = cases_of(first, second, 4)
    assert len(cases) == 4
    assert judge(cases, count_words).first == 4  # one regime takes the fewest words
    with pytest.raises(UsageError, match="alike"):
        cases_of(first, first, 4)
    with pytest.raises(UsageError, match="holds no language model"):
        local_model(tmp_path)


def test_what_a_job_depends_on_is_in_its_id(root: Path, store: Path):
    def ids(*more: str, folds: int = 3, observe: str = "") -> set[str]:
        return {job.id for job, _ in plan_regimes([*more], ["talks"], [0], folds, observe, root, store).jobs}

    base = ids("kmeans(states=2)")
    assert base == ids("kmeans(states=2)")
    assert base.isdisjoint(ids("kmeans(states=3)") | ids("kmeans(states=2)", folds=2))
    assert base.isdisjoint(ids("kmeans(states=2)", observe="face=given"))


def test_jobs_that_differ_in_more_than_seeds_are_no_repetitions_of_each_other(root: Path, tmp_path: Path):
    """Other folds, other data and another way of observing each have a row and pictures of their own."""
    shutil.copytree(root / "talks", tmp_path / "talks")
    store = tmp_path / "store"

    def run(folds: int, observe: str = "face=given") -> None:
        planned = plan_regimes(["constant"], ["talks"], [0], folds, observe, tmp_path, store)
        assert [one.reason for one in run_regimes(planned, 1)] == [""]

    run(3)
    assert [one.segmenter for one in results_and_holes(records(store))[0]] == ["constant"]
    run(2)
    run(2, "voice=given")
    rows = {(one.observe, one.segmenter) for one in results_and_holes(records(store))[0]}
    assert rows == {
        ("face=given", "constant, 3 folds"),
        ("face=given", "constant, 2 folds"),
        ("voice=given", "constant"),
    }
    assert len(records(store, observe="face=given")) == 2
    with pytest.raises(UsageError, match="face=given and as voice=given: say which one with --observe"):
        fit_of(store, "talks", "constant", 0)
    assert fit_of(store, "talks", "constant", 0, "face=given").job.observe == "face=given"
    with pytest.raises(UsageError, match="no such job is finished"):
        fit_of(store, "talks", "kmeans", 0)

    two = records(store, observe="face=given")
    pictures = {file for one in two for file in write_arcs(one, ["talk1"], 1, tmp_path / "pictures")}
    assert len(pictures) == 2 * 2

    arrays = dict(np.load(tmp_path / "talks" / "talks.npz"))
    np.savez(tmp_path / "talks" / "talks.npz", **{**arrays, "v": arrays["v"][::-1]})
    run(3)
    before, after = (
        one.job.fingerprint[:6] for one in records(store, observe="face=given") if one.job.folds == 3
    )
    rows = {one.segmenter for one in results_and_holes(records(store, observe="face=given"))[0]}
    assert before != after
    assert {f"constant, 3 folds, observations {one}" for one in (before, after)} < rows
    assert len(rows) == 3
    with pytest.raises(UsageError, match="have changed between"):
        fit_of(store, "talks", "constant", 0, "face=given")


def test_a_segmenter_of_a_file_is_run_by_workers_and_known_by_its_content(
    root: Path, store: Path, tmp_path: Path
):
    """It finds the planted regimes, its jobs have other ids when the file changes, and tables do without the file."""
    file = tmp_path / "segmenter.py"
    shutil.copy(EXAMPLES / "segmenter.py", file)
    names = ["hysteresis(threshold=0.1,memory=0.3)", "constant"]

    def plan():
        return plan_regimes(names, ["talks"], [0], 0, "face=given", root, tmp_path / "runs", (file,))

    assert [one.reason for one in run_regimes(plan(), 2)] == ["", ""]
    assert plan().remaining == []
    shown = command("leaderboard", "--store", tmp_path / "runs", "--metrics", "v_measure", folder=root)
    assert shown.returncode == 0, shown.stderr
    (table,) = (tmp_path / "runs" / "leaderboards").glob("*.csv")
    of = pd.read_csv(table).set_index(["segmenter", "metric"])
    assert of.loc[(names[0], "v_measure"), "mean"] > 0.5 > of.loc[("constant", "v_measure"), "mean"]

    before = plan()
    file.write_text(file.read_text() + "# changed\n")
    after = plan()
    assert [one.segmenter for one, _ in after.remaining] == ["hysteresis"]
    assert before.jobs[1][0].id == after.jobs[1][0].id
    listed = command("list", "--plugin", file, "--format", "json", folder=root)
    assert json.loads(listed.stdout)[-1]["parameters"] == "threshold=0.5, memory=0.5"


def test_ids_of_jobs_are_those_of_before(root: Path, store: Path):
    """Where a segmenter is from is no part of the id of one of mmbench's own."""
    (job, _), *_ = plan_regimes(["constant"], ["talks"], [0], 3, "", root, store).jobs
    identity = {
        "schema": 1, "dataset": "talks", "fingerprint": job.fingerprint, "observe": "face=given+voice=given",
        "segmenter": "constant", "params": {}, "version": 1, "seed": 0, "folds": 3,
    }  # fmt: skip
    assert job.id == f"talks-constant-s0-{hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:12]}"


def test_left_out_conversations_are_not_those_that_were_fitted(root: Path, store: Path):
    """Each conversation lies in one fold, and folds do not depend on the order of names."""
    names = [f"talk{n}" for n in range(6)]
    fold = folds_of(names, 3)
    assert sorted(np.bincount(fold)) == [2, 2, 2]
    assert np.array_equal(folds_of(names[::-1], 3)[::-1], fold)
    assert len(set(folds_of(names, 99))) == 6


def test_a_changed_file_is_a_hole_with_its_reason(store: Path, tmp_path: Path):
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    folder = next((copy / "regimes").glob("talks-constant-s0-*"))
    content = bytearray((folder / "states.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "states.parquet").write_bytes(content)
    results, holes, faults = results_and_holes(records(copy))
    assert len(results) == 5
    assert "has changed" in next(iter(holes.values()))
    assert len(faults) == 1
    (folder / "states.parquet").unlink()
    assert [one.state for one in records(copy)].count("planned") == 1
    (folder / "job.json").write_text("{}")
    with pytest.raises(StoreError):
        records(copy)


def test_a_job_that_fails_says_why_and_costs_no_other(root: Path, tmp_path: Path):
    planned = plan_regimes(
        ["sticky-hdp-hmm(factorization=additive,states=200)", "constant"],
        ["talks"],
        [0],
        0,
        "",
        root,
        tmp_path,
    )
    reasons = [one.reason for one in run_regimes(planned, 1)]
    assert "joint states" in reasons[0]
    assert reasons[1] == ""
    failed = next(one for one in records(tmp_path) if one.state == "failed")
    assert "joint states" in failed.reason
    assert len(planned.remaining) == 1


def test_jobs_without_results_are_forgotten_and_others_are_not(store: Path, tmp_path: Path):
    copy = tmp_path / "store"
    shutil.copytree(store, copy)
    known = {one.job.id: one for one in records(copy)}
    planned, failed, done, *_ = known
    for one in (planned, failed):
        (known[one].folder.path / "done.json").unlink()
    known[failed].folder.fail("it could not")
    with hold(known[planned].folder.path), pytest.raises(UsageError, match=r"1 job of .* runs"):
        forget(copy)
    with pytest.raises(UsageError, match="is done: results are not forgotten"):
        forget(copy, [done])
    with pytest.raises(UsageError, match="no job 'nothing' of a segmenter"):
        forget(copy, ["nothing"])
    assert [one.job.id for one in forget(copy)] == [planned]  # and not what failed, which has to be named
    assert [one.job.id for one in forget(copy, [failed])] == [failed]
    assert not forget(copy)
    assert {one.name for one in (copy / "set-aside").iterdir()} == {planned, failed}
    assert {one.job.id for one in records(copy)} == known.keys() - {planned, failed}


def test_two_workers_do_the_same_as_one(root: Path, store: Path, tmp_path: Path):
    planned = plan_regimes(SEGMENTERS[:2], ["talks"], [0], 3, "", root, tmp_path)
    assert sorted(one.reason for one in run_regimes(planned, 2)) == ["", ""]
    for job, _ in planned.jobs:
        ours, theirs = (path / "regimes" / job.id / "states.parquet" for path in (tmp_path, store))
        assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kmens", "did you mean kmeans"),
        ("kmeans(state=2)", "no parameter 'state'"),
        ("kmeans(states=two)", "not of type int"),
        ("kmeans(states=-1)", "0 or more"),
        ("sticky-hdp-hmm(factorization=both)", "none of its values"),
        ("changepoint(penalty=nan)", "no number"),
        ("hdp-hmm(sweeps=1)", "4 or more"),
        ("sticky-map-hmm(stay=-1)", "0 or more"),
    ],
)
def test_a_segmenter_that_cannot_be_is_one_line(text: str, message: str):
    with pytest.raises(UsageError, match=message) as raised:
        resolve(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("observe", "message"),
    [
        ({"nose": "given"}, "no such modality"),
        ({"face": "vader"}, "vader reads transcript"),
        ({"voice": "energy"}, "energy reads waveform"),
    ],
)
def test_an_observation_that_cannot_be_is_one_line(root: Path, observe: dict, message: str):
    with pytest.raises(UsageError, match=message):
        read_corpus("talks", root, observe)


def test_observations_are_standardised_and_constants_are_zero(root: Path, tmp_path: Path):
    corpus = read_corpus("talks", root, {})
    assert corpus.observe == "face=given+voice=given"
    columns = np.concatenate([one.observed.reshape(20, -1) for one in corpus.conversations])
    assert np.nanmean(columns[:, [0, 1, 3]], axis=0) == pytest.approx(0, abs=1e-9)
    assert np.nanstd(columns[:, [0, 1, 3]], axis=0) == pytest.approx(1)
    assert np.isnan(columns[:, 2]).all()
    shutil.copytree(root / "talks", tmp_path / "talks")
    arrays = dict(np.load(tmp_path / "talks" / "talks.npz"))
    np.savez(tmp_path / "talks" / "talks.npz", **{**arrays, "v": np.full(120, 3.3)})
    constant = read_corpus("talks", tmp_path, {"face": "given"})
    assert all((one.observed[:, 0, 0] == 0).all() for one in constant.conversations)
    np.savez(tmp_path / "talks" / "talks.npz", **{**arrays, "v": 1e200 * arrays["v"]})
    large = read_corpus("talks", tmp_path, {"face": "given"})
    whole = read_corpus("talks", root, {"face": "given"})
    for one, other in zip(large.conversations, whole.conversations, strict=True):
        assert one.observed == pytest.approx(other.observed, nan_ok=True)
    np.savez(tmp_path / "talks" / "talks.npz", **{**arrays, "loud": np.full(120, np.nan)})
    with pytest.raises(UsageError, match="nothing was observed"):
        read_corpus("talks", tmp_path, {"voice": "given"})


def test_wrong_words_end_with_one_line(root: Path, tmp_path: Path):
    wrong = command(
        "run", "--datasets", "talks", "--folds", "1", "--data-root", root, "--store", tmp_path, folder=root
    )
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "--folds 1" in wrong.stderr
