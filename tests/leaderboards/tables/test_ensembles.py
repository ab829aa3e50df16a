"""Ensembles from stored predictions: votes computed here once more, members that share their training data, bad input."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.tables.accuracy import accuracy
from mmbench.leaderboards.tables.ensemble_members import with_ensembles
from mmbench.leaderboards.tables.ensembles import ensembles, notes_of_ensembles
from mmbench.leaderboards.tables.trust import calibration, misclassification, ood
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, matthews_corrcoef
from sklearn.tree import DecisionTreeClassifier

N, TEST, FOLDS = 200, 600, 5


def table_of(logits: np.ndarray, target: np.ndarray, split: str, first: int = 0, condition: str = "clean"):
    """A prediction table of two classes or more."""
    ids = [f"{split}{first + row:04d}" for row in range(len(target))]
    head = {"split": split, "condition": condition, "sample_id": ids, "domain": "d", "target": target}
    return pd.DataFrame({**head, **{f"logit_{c}": logits[:, c] for c in range(logits.shape[1])}})


def planted(draw: int):
    """Training, test: 20 inputs, of which two decide the class, with a tenth of the labels turned."""
    rng = np.random.default_rng(draw)
    x = rng.normal(size=(N + TEST, 20))
    y = ((x[:, 0] + x[:, 1] > 0) ^ (rng.random(N + TEST) < 0.1)).astype(int)
    return (x[:N], y[:N]), (x[N:], y[N:])


def logsumexp(logits: np.ndarray) -> np.ndarray:
    return np.log(np.exp(logits).sum(axis=1))


def log_of(probability: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probability, 1e-3, 1))


@pytest.fixture(scope="module")
def fold_frames():
    """Method -> the table of each fold: it learns from four fifths of 200 samples and is tested on the same 600."""
    (x, y), (x_test, y_test) = planted(0)
    fold = np.arange(N) % FOLDS
    makers = {
        "linear": lambda: LogisticRegression(C=100),
        "tree": lambda: DecisionTreeClassifier(random_state=0),
    }
    frames = {}
    for name, make in makers.items():
        frames[name] = []
        for index in range(FOLDS):
            model = make().fit(x[fold != index], y[fold != index])
            valid = fold == index
            frames[name].append(
                pd.concat(
                    [
                        table_of(log_of(model.predict_proba(x_test)), y_test, "test"),
                        table_of(log_of(model.predict_proba(x[valid])), y[valid], "valid", 1000 * index),
                    ],
                    ignore_index=True,
                )
            )
    return frames


@pytest.fixture
def folds(fold_frames, result):
    """The results of both methods, one a fold."""
    fields = {"family": "classification", "folds": FOLDS, "held_out_test": True, "protocol": "fair [5 folds]"}

    def make(names=("linear", "tree"), without=()):
        return [
            result(name, 0, frame, job=f"{name}-{index}", fold=index, **fields)
            for name in names
            for index, frame in enumerate(fold_frames[name], start=1)
            if index not in without
        ]

    return make


@pytest.fixture(scope="module")
def seed_frames():
    """Three networks on three classes, with validation samples; the third knows nothing."""
    rng = np.random.default_rng(1)
    frames = []
    for seed, signal in enumerate((2.0, 1.5, 0.0)):
        parts = []
        for split, count in (("test", 300), ("valid", 200)):
            target = np.random.default_rng([7, count]).integers(0, 3, count)
            logits = signal * np.eye(3)[target] + rng.normal(size=(count, 3))
            parts.append(table_of(logits, target, split))
        frames.append(
            pd.concat(parts, ignore_index=True).sample(frac=1, random_state=seed, ignore_index=True)
        )
    return frames


@pytest.fixture
def seeds(seed_frames, result):
    return [result("erm", seed, frame, family="classification") for seed, frame in enumerate(seed_frames)]


def logits_of(frame: pd.DataFrame, split: str = "test") -> tuple[np.ndarray, np.ndarray]:
    own = frame.loc[frame["split"] == split].sort_values(by="sample_id")
    return own[["logit_0", "logit_1", "logit_2"]].to_numpy(), own["target"].to_numpy()


def answers_of(results, how: str) -> pd.DataFrame:
    (one,) = [result for result in results if how in result.method]
    return one.predictions()


def row(frame: pd.DataFrame, how: str, metric: str) -> Any:
    return frame[frame["method"].str.contains(how, regex=False) & (frame["metric"] == metric)].iloc[0]


def test_networks_that_share_their_training_data_do_not_lose_by_a_vote(folds):
    frame = ensembles(with_ensembles(folds(), "folds"))
    rows = frame[frame["metric"] == "accuracy"].set_index("ensemble")
    linear, tree = rows.loc["soft vote of 5 folds of linear"], rows.loc["soft vote of 5 folds of tree"]
    for one in (linear, tree):
        assert one["vote"] >= one["mean_member"] - 0.01
        assert one["gain"] == pytest.approx(one["vote"] - one["mean_member"])
        assert one["gain_low"] < one["gain"] < one["gain_high"]
        assert one["interval"] == "samples"
    # stable learners repeat each other's errors and gain little; unstable ones differ and gain
    assert linear["error_correlation"] > tree["error_correlation"] + 0.15
    assert tree["gain"] > linear["gain"] + 0.01
    assert tree["verdict"] == "better"


def test_the_vote_is_the_mean_of_probabilities_in_every_table(seeds, seed_frames):
    results = with_ensembles(seeds, "seeds")
    logits = [logits_of(frame)[0] for frame in seed_frames]
    target = logits_of(seed_frames[0])[1]
    mean = np.mean([softmax(one, axis=1) for one in logits], axis=0)
    judged = row(accuracy(results), "soft vote of 3 seeds", "accuracy")
    assert judged["mean"] == pytest.approx((mean.argmax(axis=1) == target).mean())
    onehot = np.eye(3)[target]
    own = row(calibration(results), "soft vote", "brier")
    assert own["mean"] == pytest.approx(((mean - onehot) ** 2).sum(axis=1).mean())
    trust = misclassification(results)
    assert {"erm", "erm [soft vote of 3 seeds]", "erm [stacking of 3 seeds]"} == set(trust["method"])
    found = ensembles(results).set_index("metric").loc["accuracy"]
    accuracies = [(one.argmax(axis=1) == target).mean() for one in logits]
    assert found["mean_member"] == pytest.approx(np.mean(accuracies))
    assert found["best_single"] == pytest.approx(accuracies[0])
    pairs = [(0, 1), (0, 2), (1, 2)]
    wrong = [one.argmax(axis=1) != target for one in logits]
    phi = [matthews_corrcoef(wrong[a], wrong[b]) for a, b in pairs]
    assert found["error_correlation"] == pytest.approx(np.mean(phi))
    assert brier_score_loss(onehot[:, 0], mean[:, 0]) < brier_score_loss(
        onehot[:, 0], softmax(logits[2], axis=1)[:, 0]
    )


def test_stacking_leaves_out_who_knows_nothing_and_never_sees_the_test(seeds, seed_frames, result):
    before = row(accuracy(with_ensembles(seeds, "seeds")), "stacking", "accuracy")["mean"]
    frame = ensembles(with_ensembles(seeds, "seeds")).set_index("metric").loc["accuracy"]
    assert frame["stacking"] == pytest.approx(before)
    assert frame["stacking"] > frame["vote"] - 0.005
    assert frame["stacking"] > frame["mean_member"] + 0.1
    # with other targets of the test samples its answers are the same
    turned = []
    for seed, own in enumerate(seed_frames):
        test = own["split"] == "test"
        turned.append(
            result("erm", seed, own.assign(target=own["target"].where(~test, 0)), family="classification")
        )
    one, other = (answers_of(with_ensembles(rows, "seeds"), "stacking") for rows in (seeds, turned))
    columns = ["logit_0", "logit_1", "logit_2"]
    np.testing.assert_array_equal(one[columns], other[columns])


def test_why_there_is_no_stacking_is_said_in_its_own_words(seed_frames, result):
    tested = [
        result("erm", seed, own[own["split"] == "test"], family="classification")
        for seed, own in enumerate(seed_frames)
    ]
    said = " ".join(notes_of_ensembles(ensembles(with_ensembles(tested, "seeds"))))
    assert "no stacking: stacking needs predictions for validation samples, and there are none" in said


def test_scores_are_averaged_and_their_variances_are_those_of_the_mixture(table, result):
    target = np.arange(8.0) - 4
    frames = []
    for shift, spread in ((0.5, 0.0), (-0.25, 1.0)):
        frame = table({"clean": target + shift, "missing:text": target + 2 * shift}, target)
        frames.append(frame.assign(log_variance=spread))
    rows = [result("erm", seed, frame) for seed, frame in enumerate(frames)]
    voted = with_ensembles(rows, "seeds")[2]
    out = answers_of([voted], "[mean of 2 seeds]")
    clean, gone = (out[out["condition"] == name] for name in ("clean", "missing:text"))
    np.testing.assert_allclose(clean["score"], target + 0.125)
    np.testing.assert_allclose(gone["score"], target + 0.25)
    mixture = (1 + np.e) / 2 + (0.5**2 + 0.25**2) / 2 - 0.125**2
    np.testing.assert_allclose(np.exp(clean["log_variance"]), mixture)
    assert row(accuracy([voted], ["mae"]), "mean", "mae")["mean"] == pytest.approx(0.125)


def test_energies_of_a_vote_are_the_mean_of_the_members_energies(seeds, seed_frames):
    def features(frame, shift):
        test = frame[frame["split"] == "test"]
        logits = test[["logit_0", "logit_1", "logit_2"]].to_numpy()
        parts = {"test": logits, "train": logits, "near:other": logits - shift}
        return {
            name: test.assign(
                split=name, **{f"logit_{c}": values[:, c] for c in range(3)}, fused=list(values)
            )
            for name, values in parts.items()
        }

    rows = [
        replace(one, features=lambda frame=frame: features(frame, 5.0))
        for one, frame in zip(seeds, seed_frames, strict=True)
    ]
    results = with_ensembles(rows, "seeds")
    voted = next(one for one in results if "soft vote" in one.method)
    assert voted.features is not None
    sets = voted.features()
    own = sets["test"].sort_values("sample_id")
    members = [logits_of(frame)[0] for frame in seed_frames]
    energy = np.mean([logsumexp(one) for one in members], axis=0)
    found = own[["logit_0", "logit_1", "logit_2"]].to_numpy()
    np.testing.assert_allclose(logsumexp(found), energy)
    np.testing.assert_allclose(
        log_softmax(found, axis=1), np.log(np.mean([softmax(one, axis=1) for one in members], axis=0))
    )
    np.testing.assert_allclose(np.stack(list(own["fused"])), np.concatenate(members, axis=1))
    frame = ood(results)
    judged = row(frame.loc[frame["condition"] == "near:other/energy"], "soft vote", "ood_auroc")
    assert judged["mean"] > 0.95


def test_an_ensemble_of_methods_is_paired_with_its_members_seed_by_seed(seeds, seed_frames, result):
    others = [result("ebmc", seed, seed_frames[2 - seed], family="classification") for seed in range(3)]
    frame = accuracy(with_ensembles([*seeds, *others], "methods"))
    voted = row(frame, "ensemble [soft vote of 2 methods]", "accuracy")
    assert (voted["n"], voted["seeds"]) == (3, "0 1 2")
    one = row(frame, "erm", "accuracy")
    assert np.isfinite(one["p_vs_best"]) or bool(one["best"])
    assert voted["audit_ensemble"] == "soft vote of 2 networks of erm, ebmc; equal weights"


def test_the_variance_of_networks_is_not_taken_for_that_of_a_vote(seeds):
    alone = [one for one in with_ensembles(seeds, "seeds") if one.ensemble]
    beside = accuracy(with_ensembles(seeds, "seeds"))
    for how in ("soft vote", "stacking"):
        ends = [
            tuple(row(frame, how, "accuracy")[["low", "high", "interval"]])
            for frame in (accuracy(alone), beside)
        ]
        assert ends[0] == ends[1]
        assert ends[0][2] == "samples"
    own = row(accuracy(seeds), "erm", "accuracy")[["low", "high"]]
    with_votes = beside[(beside["method"] == "erm") & (beside["metric"] == "accuracy")].iloc[0][
        ["low", "high"]
    ]
    assert tuple(own) == tuple(with_votes)


def test_what_lacks_is_said_in_one_line(folds, seeds, seed_frames, result):
    with pytest.raises(
        ValueError, match="an ensemble needs two members, and no row has more than one: run sev"
    ):
        with_ensembles(seeds[:1], "seeds")
    with pytest.raises(ValueError, match=r"--ensemble folds: .*two members"):
        with_ensembles(seeds, "folds")
    with pytest.raises(ValueError, match="write folds, seeds or methods"):
        with_ensembles(seeds, "votes")
    lacking = accuracy(with_ensembles(folds(without=(3,)), "folds"))
    hole = row(lacking, "linear [soft vote", "accuracy")["hole"]
    assert "a member is missing: fold 3/5 of seed 0 of linear is not in the store" in hole
    failed = [*seeds, result("erm", 3, None, reason="out of memory", family="classification")]
    hole = row(accuracy(with_ensembles(failed, "seeds")), "soft vote", "accuracy")["hole"]
    assert "a member is failed: seed 3 of erm: out of memory" in hole
    shorter = result("erm", 3, seed_frames[0].iloc[10:], family="classification")
    results = with_ensembles([*seeds, shorter], "seeds")
    frame = ensembles(results)
    assert not np.isfinite(frame["vote"].to_numpy()).any()
    (line,) = notes_of_ensembles(frame)[1:]
    assert "erm, seed 3, was tested on other samples than erm, seed 0, and an ensemble needs the same" in line
    other = seed_frames[0].assign(target=0)
    moved = with_ensembles([*seeds, result("erm", 3, other, family="classification")], "seeds")
    assert "other targets than erm, seed 0," in row(accuracy(moved), "soft vote", "accuracy")["hole"]
    apart = [result("erm", 0, frame, job=str(k), fold=k + 1, folds=3, family="classification")
             for k, frame in enumerate(seed_frames)]  # fmt: skip
    with pytest.raises(ValueError, match=r"every fold tests other samples.*--fold-parts train.valid/test"):
        with_ensembles(apart, "folds")
