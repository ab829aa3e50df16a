"""Areas of one class against the rest, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.leaderboards.metrics.base import UndefinedError
from mmbench.leaderboards.metrics.confidence import softmax
from mmbench.leaderboards.metrics.one_vs_rest import log_odds
from mmbench.leaderboards.metrics.registry import METRICS, scores
from mmbench.leaderboards.stats.bootstrap import resample, resample_counts
from mmbench.leaderboards.tables.accuracy import accuracy
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import label_binarize

from ..conftest import make_result

AUROC, AUPRC = METRICS["auroc_ovr"], METRICS["auprc_ovr"]


def planted(classes: int, samples: int, seed: int = 0, steps: float = 4) -> tuple[np.ndarray, np.ndarray]:
    """Unequal classes, each of which occurs, and logits in steps, with ties, that know something of them."""
    draw = np.random.default_rng([classes, samples, seed])
    share = np.arange(1, classes + 1) ** 2.0
    target = draw.choice(classes, samples, p=share / share.sum())
    target[: 2 * classes] = np.tile(np.arange(classes), 2)
    logits = draw.normal(size=(samples, classes)) + np.eye(classes)[target]
    return target, (steps * logits).round() / steps


@pytest.mark.parametrize("samples", [12, 300])
@pytest.mark.parametrize("seed", [0, 1])
def test_two_classes_are_what_scikit_learn_says_of_class_1(samples: int, seed: int) -> None:
    target, logits = planted(2, samples, seed)
    score = softmax(logits)[:, 1].round(12)  # rounding of the softmax parts some ties
    assert AUROC(target, logits) == pytest.approx(roc_auc_score(target, score))
    assert AUPRC(target, logits) == pytest.approx(average_precision_score(target, score))


@pytest.mark.parametrize("classes", [3, 6])
def test_more_classes_are_the_macro_mean_of_scikit_learn(classes: int) -> None:
    target, logits = planted(classes, 200, steps=2.0**30)
    score = softmax(logits)
    assert AUROC(target, logits) == pytest.approx(
        roc_auc_score(target, score, multi_class="ovr", average="macro")
    )
    one_hot = label_binarize(target, classes=range(classes))
    assert AUPRC(target, logits) == pytest.approx(average_precision_score(one_hot, score, average="macro"))
    assert np.argsort(log_odds(logits), axis=0).tolist() == np.argsort(score, axis=0).tolist()


def test_a_class_that_does_not_occur_has_no_say_and_one_class_has_no_value() -> None:
    target, logits = planted(4, 100, steps=2.0**30)
    kept = target != 2
    score, part = softmax(logits[kept]), target[kept]
    expected = np.mean([roc_auc_score(part == c, score[:, c]) for c in (0, 1, 3)])
    assert AUROC(part, logits[kept]) == pytest.approx(expected)
    for one in (np.zeros(5, int), np.full(5, 3)):
        with pytest.raises(UndefinedError, match="one class"):
            AUROC(one, logits[:5])
    assert np.isnan(scores("classification", np.zeros(5, int), logits[:5])["auprc_ovr"])
    with pytest.raises(UndefinedError, match="no logits"):
        AUROC(part, part)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 4), st.integers(10, 40), st.integers(0, 99))
def test_a_resample_is_its_repeated_samples(classes: int, samples: int, seed: int) -> None:
    target, logits = planted(classes, samples, seed)
    metrics = [METRICS["accuracy"], AUROC, AUPRC]
    found = resample(metrics, target, [logits], draws=4, seed=seed)
    counts = resample_counts(samples, 4, seed)
    for m, metric in enumerate(metrics):
        assert found.values[0, m] == pytest.approx(metric(target, logits))
        for draw in range(4):
            again = np.repeat(np.arange(samples), counts[draw])
            try:
                expected = metric(target[again], logits[again])
            except UndefinedError:
                expected = np.nan
            assert found.draws[draw, 0, m] == pytest.approx(expected, nan_ok=True)


def test_extreme_logits_keep_their_order() -> None:
    target = np.array([0, 1, 1, 0])
    logits = np.array([[900.0, 0.0], [-900.0, 0.0], [-950.0, 0.0], [901.0, 0.0]])
    assert AUROC(target, logits) == AUPRC(target, logits) == 1.0
    assert (
        roc_auc_score([0, 1, 0], softmax(np.array([[0.0, 800.0], [0.0, 900.0], [0.0, 850.0]]))[:, 1]) == 0.5
    )
    assert AUROC(np.array([0, 1, 0]), np.array([[0.0, 800.0], [0.0, 900.0], [0.0, 850.0]])) == 1.0


def test_they_stand_in_the_table_of_accuracy_where_accuracy_says_nothing() -> None:
    """9 of 10 samples are of class 0, and the network always says so; its logits know class 1 all the same."""
    import pandas as pd

    draw = np.random.default_rng(0)
    target = (np.arange(200) % 10 == 0).astype(int)
    results = []
    for seed in range(2):
        margin = -5 + 1.5 * target + draw.normal(size=200)
        ids = [f"s{row:03d}" for row in range(200)]
        columns = {"split": "test", "condition": "clean", "sample_id": ids, "domain": "d", "target": target}
        frame = pd.DataFrame({**columns, "logit_0": -margin / 2, "logit_1": margin / 2})
        results.append(make_result("erm", seed, frame, family="classification"))
    table = accuracy(results).set_index("metric")
    assert table.loc["accuracy", "mean"] == pytest.approx(0.9)
    assert table.loc["balanced_accuracy", "mean"] == pytest.approx(0.5)
    assert 0.6 < table.loc["auroc_ovr", "low"] < table.loc["auroc_ovr", "mean"] < 0.95
    assert table.loc["auprc_ovr", "low"] > 0.1
    alone = accuracy(results, ["auroc_ovr"])
    assert alone["mean"].tolist() == [table.loc["auroc_ovr", "mean"]]
