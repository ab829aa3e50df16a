"""Other datasets as OOD sets: near ones stay as they are, far ones are resized to fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.task import Task
from mmbench.benchmark.data.ood_split import (
    ood_split,
    pair_modalities,
    resize_features,
    resize_samples,
    shorten_sequences,
)
from mmbench.benchmark.data.tensors import TaskRequest, load_task
from mmbench.benchmark.launch.run import plan
from mmbench.benchmark.report.results import results
from mmbench.datasets.dataset import SPLITS, Samples, Target
from mmbench.datasets.layout.write import write_open_layout
from mmbench.datasets.locate import locate
from mmbench.leaderboards.tables.trust import ood

from ..conftest import Command, make_samples, write_dataset

CLASSES = ("north", "east", "south", "west")
CORNERS = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])


def planted(
    count: int,
    seed: int,
    shift: float = 0.0,
    widths: tuple[int, ...] = (6, 3),
    names: tuple[str, ...] = ("text", "audio"),
    steps: int = 4,
) -> Samples:
    """Four classes at the corners of a square; the shift moves features away from all of them, by turns up and
    down."""
    draw = np.random.default_rng(seed)
    target = draw.integers(4, size=count)
    features = {}
    for name, width in zip(names, widths, strict=True):
        values = draw.normal(scale=0.3, size=(count, steps, width))
        values[:, :, :2] += CORNERS[target][:, None, : min(2, width)]
        features[name] = (values + shift * (-1.0) ** np.arange(width)).astype(np.float32)
    return Samples(
        features=features,
        mask={name: np.ones((count, steps), bool) for name in names},
        present={name: np.ones(count, bool) for name in names},
        target=target,
        sample_id=np.array([f"{seed}-{row}" for row in range(count)]),
        domain=np.full(count, ""),
        previous=np.full(count, -1),
    )


def write_planted(folder: Path, seed: int, classes: tuple[str, ...] = CLASSES, **how) -> None:
    splits = {
        split: planted(count, 10 * seed + place, **how)
        for place, (split, count) in enumerate(zip(SPLITS, (160, 40, 80), strict=True))
    }
    write_open_layout(folder, splits, Target("classification", classes=classes, metrics="classification"))


@pytest.fixture
def square(data_root: Path) -> Path:
    """Adds square (four classes), moved (the same, a little elsewhere) and other (nothing in common)."""
    write_planted(data_root / "square", 21)
    write_planted(data_root / "moved", 22, shift=0.25)
    write_planted(data_root / "other", 23, shift=4.0, widths=(11, 2), names=("sound", "touch"), steps=9)
    return data_root


def auroc(frame: pd.DataFrame, condition: str) -> float:
    rows = frame[(frame["condition"] == condition) & (frame["metric"] == "ood_auroc")]
    assert len(rows) == 1, condition
    return float(next(iter(rows["mean"])))


@pytest.mark.slow
def test_the_command_tells_a_far_set_from_a_near_one(mmbench: Command, square: Path, tmp_path: Path) -> None:
    asked = ("--methods", "erm(layers=1)", "--datasets", "square", "--seeds", "0,1", "--device", "cpu")
    asked += ("--launcher", "debug")
    ran = mmbench("run", *asked, "--epochs", "20", "--ood", "moved,other", "--held-out-classes", "west")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    shown = mmbench("leaderboard", "--what", "ood", "--format", "terminal,csv", "--out", "tables")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "near:moved/" in shown.stdout  # a heading may be broken
    frame = pd.read_csv(next((tmp_path / "tables").glob("ood*.csv")))
    assert {name.partition("/")[0] for name in frame["condition"]} == {
        "near:moved",
        "far:other",
        "semantic:west",
    }
    for score in ("mahalanobis", "knn", "residual", "vim"):
        assert auroc(frame, f"far:other/{score}") > 0.98, score
        assert 0.5 < auroc(frame, f"near:moved/{score}") < 0.9, score
    for score in ("mahalanobis", "knn"):
        assert auroc(frame, f"semantic:west/{score}") > 0.9, score


def asked(root: Path, store: Path, **more) -> Experiment:
    values = {
        "methods": ["erm(layers=1)"],
        "datasets": ["square"],
        "seeds": [0],
        "ood": ["moved"],
        "data_root": root,
        "store": store,
        "launcher": "debug",
        "device": "cpu",
        "protocol": {"epochs": 1},
    }
    return Experiment.read({**values, **more})


def test_all_pairs_are_asked_for_at_once(square: Path, tmp_path: Path) -> None:
    names = ["square", "moved"]
    experiment = asked(square, tmp_path / "runs", datasets=names, ood=names)
    assert run(experiment).ok
    assert not plan(experiment).todo
    frame = ood(results(tmp_path / "runs"), draws=2)
    sets = set(zip(frame["task"], frame["condition"].str.partition("/")[0], strict=True))
    assert sets == {("square", "near:moved"), ("moved", "near:square")}  # no set is its own OOD set


def test_another_domain_of_the_same_data_is_near(tmp_path: Path) -> None:
    root = tmp_path / "data"
    splits = {
        split: planted(count, 50 + place)
        for place, (split, count) in enumerate(zip(SPLITS, (160, 40, 80), strict=True))
    }
    for samples in splits.values():  # the third domain lies elsewhere
        samples.domain[:] = np.array(["a", "b", "c"])[np.arange(len(samples)) % 3]
        for values in samples.features.values():
            values[samples.domain == "c"] += 4.0 * (-1.0) ** np.arange(values.shape[2])
    target = Target("classification", classes=CLASSES, metrics="classification")
    write_open_layout(root / "multi", splits, target)
    experiment = asked(root, tmp_path / "runs", datasets=["multi/a->multi/b", "multi/a->multi/c"])
    experiment = experiment.model_copy(update={"ood": ["multi/c"]})
    assert run(experiment).ok
    assert not plan(experiment).todo
    frame = ood(results(tmp_path / "runs"), draws=2)
    found = frame[frame["condition"].str.startswith("near:")]
    assert set(found["task"]) == {"multi/a->multi/b"}  # no set is its own OOD set
    assert auroc(frame, "near:multi.c/mahalanobis") > 0.9
    files = [
        pd.read_parquet(file) for file in (tmp_path / "runs").glob("jobs/*/evaluations/ood-multi.c*.parquet")
    ]
    assert [set(file["domain"]) for file in files] == [{"c"}]
    with pytest.raises(UsageError, match="multi/d: no such domain"):
        plan(experiment.model_copy(update={"ood": ["multi/d"]}))
    with pytest.raises(UsageError, match="--ood multi/a: it is among the data of every task here"):
        run(experiment.model_copy(update={"ood": ["multi/a"]}))


def test_two_contents_of_one_set_are_never_shown_as_one(square: Path, tmp_path: Path) -> None:
    experiment = asked(square, tmp_path / "runs")
    assert run(experiment).ok
    before = auroc(ood(results(tmp_path / "runs"), draws=2), "near:moved/knn")
    old = locate("moved", square).fingerprint()[:8]
    for file in (square / "moved").iterdir():
        file.unlink()
    write_planted(square / "moved", 24, shift=3.0)
    new = locate("moved", square).fingerprint()[:8]
    assert run(experiment).ok
    frame = ood(results(tmp_path / "runs"), draws=2)
    assert auroc(frame, f"near:moved [data {old}]/knn") == before
    assert auroc(frame, f"near:moved [data {new}]/knn") > before
    assert not any(name.startswith("near:moved/") for name in frame["condition"])


def split_of(root: Path, name: str, task: str = "square", **change):
    parsed = Task.parse(task)
    found = {key: locate(key, root) for key in parsed.datasets}
    request = TaskRequest(task, ("x",), ("text", "audio"), True, "strict", True, "cpu")
    data = load_task(replace(request, **change), found)
    return data, *ood_split(
        locate(name, root), parsed, {key: item.target for key, item in found.items()}, data
    )


def test_near_is_what_could_be_a_domain_of_the_task(square: Path) -> None:
    write_planted(square / "named", 25, classes=("a", "b", "c", "d"))
    kinds = {
        name: split_of(square, name)[1]
        for name in ("moved", "other", "named", "toy")  # toy is a regression of the same widths
    }
    assert kinds == {"moved": "near", "other": "far", "named": "far", "toy": "far"}
    # labels on another scale can be joined; another width of audio cannot, unless audio is not read
    assert split_of(square, "toys", "toy")[1] == "near"
    assert split_of(square, "toyw", "toy")[1] == "far"
    assert split_of(square, "toyw", "toy", modalities=("text",))[1] == "near"


def test_a_near_set_is_treated_as_the_target_is(square: Path) -> None:
    for change in ({}, {"standardize": False}, {"mask_padding": False}):
        _, _, split = split_of(square, "toys", "toy", **change)
        request = TaskRequest("toy->toys", ("x",), ("text", "audio"), True, "strict", True, "cpu")
        names = ("toy", "toys")
        target = load_task(replace(request, **change), {name: locate(name, square) for name in names}).test
        for name in ("text", "audio"):
            assert split.batch.features[name].equal(target.batch.features[name])
            assert split.batch.mask[name].equal(target.batch.mask[name])
        assert split.batch.sample_id.equal(target.batch.sample_id)


def test_a_far_set_has_the_sizes_and_scale_of_the_network(square: Path) -> None:
    data, kind, split = split_of(square, "other")
    raw = locate("other", square).load()["test"].features
    trained = locate("square", square).load()["train"]
    assert kind == "far"
    for name, theirs in (("text", "sound"), ("audio", "touch")):
        ours = data.train.batch.features[name]
        assert split.batch.features[name].shape == (80, *ours.shape[1:])
        steps = trained.features[name].reshape(-1, ours.shape[2]).astype(np.float64)
        expected = np.empty((80, *ours.shape[1:]))
        for row in range(80):  # along the features, then in time
            old, new = raw[theirs].shape[2], ours.shape[2]
            wide = [np.interp(np.linspace(0, old - 1, new), np.arange(old), v) for v in raw[theirs][row]]
            for column, values in enumerate(np.transpose(wide)):
                places = np.linspace(0, len(values) - 1, ours.shape[1])
                expected[row, :, column] = np.interp(places, np.arange(len(values)), values)
        expected = np.clip((expected - steps.mean(0)) / steps.std(0), -5, 5)
        assert split.batch.features[name].numpy() == pytest.approx(expected, abs=1e-4)
    assert split.batch.present["text"].all()


def test_a_projected_task_reads_the_set_in_a_place_of_a_source(square: Path) -> None:
    write_dataset(square / "toyw2", 5, widths=(6, 5))
    data, kind, split = split_of(square, "toyw2", "toy+toyw->toys", widths="project")
    filled = split.batch.features["audio"].abs().sum((0, 1)) > 0
    start, width = data.recipe.blocks["audio"]["toyw"]
    assert kind == "near"
    assert filled.tolist() == [start <= column < start + width for column in range(3 + 5)]


def test_modalities_go_by_name_and_else_in_order() -> None:
    assert pair_modalities(("text", "audio"), ("audio", "vision")) == {"text": None, "audio": "audio"}
    assert pair_modalities(("text", "audio"), ("x", "y", "z")) == {"text": "x", "audio": "y"}
    assert pair_modalities(("text", "audio"), ("x",)) == {"text": "x", "audio": None}
    lacking = resize_samples(
        make_samples(3, 0, widths=(6,)), {"text": 6, "audio": 3}, {"text": 4, "audio": 4}
    )
    assert lacking.present["text"].all()
    assert not lacking.present["audio"].any()
    assert lacking.features["audio"].shape[2] == 3


@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 99))
def test_stretching_is_linear_interpolation(old: int, new: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(2, 3, old)).astype(np.float32)
    got = resize_features(values, new)
    for row, step in np.ndindex(2, 3):
        expected = np.interp(np.linspace(0, old - 1, new), np.arange(old), values[row, step])
        assert got[row, step] == pytest.approx(expected, abs=1e-6)


@given(st.integers(1, 6), st.integers(0, 99))
def test_only_what_is_longer_is_resampled_in_time(steps: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(5, 6, 2)).astype(np.float32)
    mask = draw.random((5, 6)) < 0.6
    got, valid = shorten_sequences(values, mask, steps)
    for row in range(5):
        kept = values[row, mask[row]]
        length = min(len(kept), steps)
        if steps == 6:  # nothing to do
            assert np.array_equal(got[row], values[row])
            assert np.array_equal(valid[row], mask[row])
            continue
        assert valid[row].tolist() == [place < length for place in range(steps)]
        places = np.linspace(0, len(kept) - 1, length) if length else []
        for column in range(2):
            expected = np.interp(places, np.arange(len(kept)), kept[:, column]) if length else []
            assert got[row, :length, column] == pytest.approx(expected, abs=1e-6)
