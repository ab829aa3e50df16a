"""Tasks of several labels a sample, from the file to the tables: each of two labels is told by another modality."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.exchange.merge import merge
from mmbench.benchmark.launch.run import run
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.report.results import results
from mmbench.benchmark.train.network import load_network
from mmbench.benchmark.train.new_samples import predict
from mmbench.benchmark.train.validate import validate
from mmbench.datasets.dataset import SPLITS, DataError, Samples, Target
from mmbench.datasets.layout.open_layout import locate_open
from mmbench.datasets.layout.write import write_open_layout
from mmbench.datasets.locate import locate
from mmbench.leaderboards.metrics.registry import METRICS
from mmbench.leaderboards.tables.accuracy import accuracy, missing
from mmbench.leaderboards.tables.by_label import by_label
from mmbench.leaderboards.tables.results import read_outputs
from mmbench.leaderboards.tables.robustness import robustness
from mmbench.leaderboards.tables.trust import calibration, misclassification

LABELS = ("drama", "comedy")
TARGET = Target("multi-label", classes=LABELS, metrics="multi-label")


def samples(count: int, seed: int) -> Samples:
    """The plot tells whether it is a drama, the poster whether it is a comedy; some are both, some neither."""
    draw = np.random.default_rng(seed)
    target = (draw.random((count, 2)) < [0.5, 0.3]).astype(np.float32)
    names = ("plot", "poster")
    features = {
        name: (4 * target[:, place, None, None] - 2 + draw.normal(size=(count, 2, 3))).astype(np.float32)
        for place, name in enumerate(names)
    }
    return Samples(
        features=features,
        mask={name: np.ones((count, 2), bool) for name in names},
        present={name: np.ones(count, bool) for name in names},
        target=target,
        sample_id=np.array([f"{seed}-{row}" for row in range(count)]),
        domain=np.full(count, ""),
        previous=np.full(count, -1),
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    splits = {
        split: samples(count, seed)
        for seed, (split, count) in enumerate(zip(SPLITS, (120, 30, 60), strict=True))
    }
    write_open_layout(folder / "films", splits, TARGET)
    return folder


@pytest.fixture(scope="module")
def store(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """ERM, late concatenation and the estimators, trained, and tested at unequal missing rates."""
    place = tmp_path_factory.mktemp("store") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        assert run(asked(root, place)).ok
        yield place


def asked(root: Path, store: Path, methods: str = "", **more: object) -> Experiment:
    named = methods or "erm(layers=1),late_concat(layers=1),majority,logistic,random_forest(trees=20)"
    rules = {"epochs": 5, "learning_rate": 0.003, **more}
    return Experiment.read(
        {
            "methods": named,
            "datasets": "films",
            "seeds": "0",
            "data_root": root,
            "store": store,
            "protocol": rules,
            "launcher": "debug",
            "device": "cpu",
            "corruptions": "imbalanced-rates",
        }
    )


def test_what_is_written_is_read(root: Path):
    located = locate("films", root)
    assert located.target == TARGET
    read = located.load()["train"]
    assert read.target.dtype == np.float32
    assert np.array_equal(read.target, samples(120, 0).target)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (np.array([[0, 1], [2, 0]]), r"2 \(sample 1, class drama\); expected 0 or 1"),
        (np.array([[0, 1], [0, np.nan]]), r"nan \(sample 1, class comedy\); expected 0 or 1"),
        (np.array([[0, 1, 1], [1, 1, 0]]), "shape 2x3; expected samples x 2"),
        (np.array([0, 1]), "shape 2; expected samples x 2"),
    ],
)
def test_labels_that_are_none_are_one_line(label: np.ndarray, said: str, tmp_path: Path):
    for split in SPLITS:
        np.savez(tmp_path / f"{split}.npz", x=np.zeros((2, 1, 1), np.float32), y=label)
    text = """
file: {train: train.npz, valid: valid.npz, test: test.npz}
modalities: {x: {array: x}}
task: {kind: multi-label, classes: [drama, comedy]}
label: y
"""
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(DataError, match=said):
        locate_open(tmp_path / "dataset.yaml").load()


def test_each_modality_tells_its_own_label_and_no_other(store: Path):
    frame = accuracy(results(store), draws=50).set_index(["method", "metric"])["mean"].to_dict()
    for method in ("erm(layers=1)", "late_concat(layers=1)", "logistic", "random_forest(trees=20)"):
        assert frame[method, "f1_macro_labels"] > 0.9
        assert frame[method, "map_labels"] > frame["majority", "map_labels"] + 0.3
    (erm,) = (one for one in results(store) if one.method.startswith("erm"))
    outputs = read_outputs(erm)

    def right(condition: str) -> np.ndarray:
        one = outputs[condition]
        return ((one.prediction > 0) == (one.target > 0)).mean(axis=0)

    clean, plot, poster = right("clean"), right("missing:plot"), right("missing:poster")
    assert (clean > 0.9).all()
    assert plot[1] > 0.9 > 0.8 > plot[0]  # without the plot, comedies are known and dramas are not
    assert poster[0] > 0.9
    assert poster[1] < clean[1] - 0.1


def test_labels_have_scores_and_probabilities_of_their_own(root: Path, store: Path):
    frame = by_label(results(store), draws=20).set_index(["method", "label"])
    assert set(frame.index.get_level_values("label")) == set(LABELS)
    assert (frame.loc["erm(layers=1)"]["f1"] > 0.9).all()
    (job,) = store.glob("jobs/films-erm-*")
    found = predict(job.name, root / "films", store, part="test")
    assert list(found) == ["sample_id", "labels", "p_drama", "p_comedy", "modalities"]
    both = (found["p_drama"] >= 0.5) & (found["p_comedy"] >= 0.5)
    assert set(found.loc[both, "labels"]) == {"drama+comedy"}


def test_the_tables_have_every_metric_with_its_interval(store: Path):
    frame = accuracy(results(store), draws=50)
    assert set(frame["metric"]) == {
        "f1_macro_labels", "f1_micro_labels", "f1_weighted_labels", "f1_samples", "map_labels", "subset_accuracy",
    }  # fmt: skip
    erm = frame[frame["method"] == "erm(layers=1)"].set_index("metric")
    (one,) = (one for one in results(store) if one.method.startswith("erm"))
    outputs = read_outputs(one)["clean"]
    for name, low, mean, high in zip(erm.index, erm["low"], erm["mean"], erm["high"], strict=True):
        assert mean == pytest.approx(METRICS[str(name)](outputs.target, outputs.prediction))
        assert low - 1e-9 <= mean <= high + 1e-9
    assert np.isfinite(missing(results(store), draws=20)["mean"].to_numpy(float)).any()
    damaged = robustness(results(store), draws=20)
    means = damaged.set_index(["method", "condition"])["mean"].to_dict()
    assert np.isfinite(means["erm(layers=1)", "mean:imbalanced-rates"])
    for table in (misclassification, calibration):
        with pytest.raises(ValueError, match="does not apply to several labels"):
            table(results(store))


def test_the_epoch_is_selected_by_the_metric_of_the_table(store: Path, root: Path):
    (erm,) = (one for one in results(store) if one.method.startswith("erm"))
    network = load_network(store, erm.job, root)
    loss, metric = validate(network.method, network.data.valid.batch)
    network.method.eval()
    with torch.no_grad():
        logits = network.method(network.data.valid.batch).prediction
    target = network.data.valid.batch.target
    assert metric == pytest.approx(METRICS["f1_macro_labels"](target.numpy(), logits.numpy()))
    expected = -(target * logits.sigmoid().log() + (1 - target) * (1 - logits.sigmoid()).log()).mean()
    assert loss == pytest.approx(float(expected), rel=1e-4)
    assert network.method.spec.class_counts == tuple(samples(120, 0).target.sum(0).astype(int))


def test_a_store_of_such_jobs_is_taken_over(store: Path, tmp_path: Path):
    report = merge(store, tmp_path / "other")
    assert len(results(tmp_path / "other")) == 5, report


@pytest.mark.parametrize(
    ("methods", "more", "said"),
    [
        ("erm,ebmc", {}, "method ebmc has no loss for films, which is multi-label"),
        ("gradient_boosting", {}, "has no loss for films"),
        ("erm,majority", {"class_weights": "balanced"}, "does not reach the method majority"),
        ("erm", {"held_out_classes": ["drama"]}, "no classes to hold out"),
    ],
)
def test_what_needs_one_class_is_refused_when_jobs_are_planned(
    methods: str, more: dict[str, object], said: str, root: Path, tmp_path: Path
):
    with pytest.raises(UsageError, match=said):
        jobs_of(asked(root, tmp_path, methods, **more))


def test_foreign_data_are_refused(root: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="--ood does not apply to films"):
        jobs_of(asked(root, tmp_path, "erm").model_copy(update={"ood": ["films"]}))
