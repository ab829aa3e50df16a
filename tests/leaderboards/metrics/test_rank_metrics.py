"""Measures that are no means over samples, each against an independent implementation."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.leaderboards.metrics import calibration, confidence, detection, ood_scores, selective
from mmbench.leaderboards.metrics.base import UndefinedError
from scipy import integrate, stats
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score, roc_curve
from torchmetrics.classification import MulticlassCalibrationError

coarse = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40)


def both_kinds(drawn: list[tuple[int, bool]]) -> bool:
    return len({flag for _, flag in drawn}) == 2


def arrays(drawn: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores, flags = zip(*drawn, strict=True)
    return np.array(scores, dtype=float), np.array(flags)


@given(coarse.filter(both_kinds))
def test_areas_are_those_of_scikit_learn_with_ties(drawn: list[tuple[int, bool]]) -> None:
    scores, positive = arrays(drawn)
    pair = scores[positive], scores[~positive]
    assert detection.auroc(*pair) == pytest.approx(roc_auc_score(positive, scores), rel=1e-9, abs=1e-9)
    assert detection.average_precision(*pair) == pytest.approx(
        average_precision_score(positive, scores), rel=1e-9, abs=1e-9
    )


@given(coarse.filter(both_kinds))
def test_fpr_is_read_from_the_roc_curve(drawn: list[tuple[int, bool]]) -> None:
    scores, positive = arrays(drawn)
    fpr, tpr, _ = roc_curve(positive, scores, drop_intermediate=False)
    pair = scores[positive], scores[~positive]
    assert detection.fpr_at_tpr(*pair) == pytest.approx(fpr[np.argmax(tpr >= 0.95)], rel=1e-9, abs=1e-9)
    assert detection.fpr_nearest_tpr(*pair) == pytest.approx(
        fpr[np.argmin(np.abs(tpr - 0.95))], rel=1e-9, abs=1e-9
    )


def test_the_two_conventions_of_fpr95_differ_on_the_same_scores() -> None:
    draw = np.random.default_rng(0)
    own, foreign = draw.normal(1, 1, 400), draw.normal(0, 2, 90)
    found = {name: detection.OOD[name](own, foreign) for name in ("fpr95_id_positive", "fpr95_ood_positive")}
    assert found["fpr95_id_positive"] == pytest.approx(np.mean(foreign >= np.sort(own)[20]))
    assert found["fpr95_ood_positive"] == pytest.approx(np.mean(own <= np.sort(foreign)[85]))
    assert abs(found["fpr95_id_positive"] - found["fpr95_ood_positive"]) > 0.05


def test_aupr_in_and_out_are_not_swapped() -> None:
    own, foreign = np.array([3.0, 2.0, 1.0]), np.array([2.5])
    labels, scores = np.array([1, 1, 1, 0]), np.concatenate([own, foreign])
    assert detection.OOD["aupr_in"](own, foreign) == pytest.approx(average_precision_score(labels, scores))
    assert detection.OOD["aupr_out"](own, foreign) == pytest.approx(
        average_precision_score(1 - labels, -scores)
    )


def brute_force_risks(loss: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Expected summed loss of the n most confident, over all orders of equal confidences."""
    orders = [
        order
        for order in itertools.permutations(range(len(loss)))
        if all(trust[a] >= trust[b] for a, b in itertools.pairwise(order))
    ]
    return np.mean([np.cumsum(loss[list(order)]) for order in orders], axis=0)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=6))
def test_risks_are_the_mean_over_all_orders_of_ties(drawn: list[tuple[int, int]]) -> None:
    trust, loss = (np.array(values, dtype=float) for values in zip(*drawn, strict=True))
    sums = brute_force_risks(loss, trust)
    accepted = np.arange(1, len(loss) + 1)
    assert selective.aurc(loss, trust) == pytest.approx(np.mean(sums / accepted), rel=1e-9, abs=1e-9)
    assert selective.augrc(loss, trust) == pytest.approx(np.mean(sums) / len(loss), rel=1e-9, abs=1e-9)
    best = np.mean(np.cumsum(np.sort(loss)) / accepted)
    assert selective.e_aurc(loss, trust) == pytest.approx(np.mean(sums / accepted) - best, rel=1e-9, abs=1e-9)
    assert selective.e_aurc(loss, trust) >= -1e-12


@given(st.integers(0, 2**31))
def test_selective_measures_do_not_change_with_order_or_a_rising_function(seed: int) -> None:
    draw = np.random.default_rng(seed)
    trust, loss = draw.normal(size=50).round(1), draw.integers(0, 2, 50)
    loss[:2] = 0, 1
    order = draw.permutation(50)
    for metric in selective.CLASSIFICATION.values():
        value = metric(loss, trust)
        assert metric(loss[order], np.exp(trust[order])) == pytest.approx(value, rel=1e-9, abs=1e-9)
        assert metric.range[0] <= value <= metric.range[1]


def test_accuracy_at_full_order() -> None:
    loss, trust = np.array([0, 0, 1, 0, 1.0]), np.array([5, 4, 3, 2, 1.0])
    assert selective.CLASSIFICATION["accuracy_at_80"](loss, trust) == pytest.approx(3 / 4)
    assert selective.REGRESSION["mae_at_100"](loss, trust) == pytest.approx(0.4)
    assert selective.REGRESSION["mae_at_50"](loss, trust) == pytest.approx(1 / 3)


@pytest.mark.parametrize("loss", [np.zeros(4), np.ones(4), np.zeros(1)])
def test_one_kind_of_answer_has_no_value_but_a_reason(loss: np.ndarray) -> None:
    for name in ("misd_auroc", "aupr_success", "aupr_error", "misd_fpr95_correct_positive"):
        with pytest.raises(UndefinedError, match="every answer is"):
            selective.CLASSIFICATION[name](loss, np.arange(len(loss)))
    assert selective.aurc(loss, np.arange(len(loss))) == loss[0]
    with pytest.raises(UndefinedError, match="only one kind"):
        detection.OOD["ood_auroc"](np.ones(3), np.empty(0))
    with pytest.raises(UndefinedError, match="no sample"):
        selective.aurc(np.empty(0), np.empty(0))


def planted_logits(seed: int, count: int = 300, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    logits = 2 * draw.normal(size=(count, classes))
    probability = confidence.softmax(0.5 * logits)
    target = (draw.random((count, 1)) > probability.cumsum(axis=1)).sum(axis=1).clip(max=classes - 1)
    return target, logits


@pytest.mark.parametrize("seed", range(3))
def test_calibration_against_torchmetrics_and_scikit_learn(seed: int) -> None:
    target, logits = planted_logits(seed)
    metrics = calibration.CLASSIFICATION
    probability = torch.softmax(torch.from_numpy(logits), 1)
    reference = MulticlassCalibrationError(num_classes=4, n_bins=15, norm="l1").double()
    reference.set_dtype(torch.float64)
    assert metrics["ece_equal_width_15"](target, logits) == pytest.approx(
        float(reference(probability, torch.from_numpy(target))), rel=1e-6
    )
    assert metrics["nll"](target, logits) == pytest.approx(
        log_loss(target, probability.numpy()), rel=1e-9, abs=1e-9
    )
    one_hot = np.eye(4)[target]
    assert metrics["brier"](target, logits) == pytest.approx(
        ((probability.numpy() - one_hot) ** 2).sum(1).mean(), rel=1e-9, abs=1e-9
    )
    assert metrics["ece_equal_mass_15"](target, logits) == pytest.approx(
        by_rank(target, logits), rel=1e-9, abs=1e-9
    )
    assert 0 < metrics["ace_15"](target, logits) < 1


def by_rank(target: np.ndarray, logits: np.ndarray) -> float:
    """300 samples in 15 bins of 20, by hand."""
    probability = confidence.softmax(logits)
    trust, right = probability.max(1), probability.argmax(1) == target
    order = np.argsort(trust)
    return float(np.mean([abs(trust[rows].mean() - right[rows].mean()) for rows in order.reshape(15, 20)]))


def test_a_calibrated_network_has_a_smaller_error_than_an_overconfident_one() -> None:
    target, logits = planted_logits(0, 4000)  # calibrated at half the logits
    for metric in calibration.CLASSIFICATION.values():
        assert metric(target, 0.5 * logits) < metric(target, logits) < metric(target, 3 * logits), metric.name


def test_crps_is_the_integral_it_stands_for() -> None:
    for target, mean, variance in ((0.3, 0.0, 1.0), (-2.0, 1.0, 0.25), (5.0, 1.0, 4.0)):
        law = stats.norm(mean, variance**0.5)
        below, _ = integrate.quad(lambda x, law=law: law.cdf(x) ** 2, -40, target, epsabs=1e-12)
        above, _ = integrate.quad(lambda x, law=law: law.sf(x) ** 2, target, 40, epsabs=1e-12)
        values = [np.array([value]) for value in (target, mean, variance)]
        assert calibration.crps_gaussian(*values) == pytest.approx(below + above, rel=1e-9, abs=1e-9)
        assert calibration.gaussian_nll(*values) == pytest.approx(
            -stats.norm.logpdf(target, mean, variance**0.5), rel=1e-9, abs=1e-9
        )


def test_intervals_of_a_true_variance_cover_what_they_say() -> None:
    draw = np.random.default_rng(0)
    variance = draw.uniform(0.1, 4, 20000)
    target = draw.normal(0, np.sqrt(variance))
    for level in (0.5, 0.9, 0.95):
        assert calibration.interval_coverage(target, 0 * target, variance, level) == pytest.approx(
            level, abs=0.01
        )
    right = calibration.interval_calibration_error(target, 0 * target, variance)
    by_hand = np.mean(
        [
            abs(calibration.interval_coverage(target, 0 * target, variance, k / 20) - k / 20)
            for k in range(1, 20)
        ]
    )
    assert right == pytest.approx(by_hand, abs=1e-4)
    assert right < 0.01 < calibration.interval_calibration_error(target, 0 * target, variance / 9)


def test_confidences_of_huge_logits_are_finite_and_ordered() -> None:
    logits = np.array([[1e4, 0.0, 0.0], [1.0, 0.9, 0.0], [0.0, 0.0, 0.0]])
    for function in confidence.LOGITS.values():
        values = function(logits)
        assert np.isfinite(values).all()
        assert values[0] > values[1] > values[2]
    spread = confidence.ensemble(np.array([[0.0, 1.0], [0.0, 3.0]]))
    assert spread.tolist() == [[0.0, -1.0], [0.0, -1.0]]


def test_logit_scores_are_their_formulas() -> None:
    logits = np.random.default_rng(0).normal(size=(20, 5))
    tensor = torch.from_numpy(logits)
    probability = torch.softmax(tensor, 1)
    expected = {
        "msp": probability.max(1).values,
        "max_logit": tensor.max(1).values,
        "energy": torch.logsumexp(tensor, 1),
        "gen": -((probability * (1 - probability)) ** 0.1).sum(1),
    }
    for name, value in expected.items():
        scorer = ood_scores.SCORES[name].fit(None, np.zeros(3, int), logits)
        assert np.allclose(scorer(None, logits), value.numpy(), rtol=1e-9, atol=1e-12), name


def planted_features(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two classes in a plane of ten dimensions, with little noise out of it; and their logits."""
    draw = np.random.default_rng(seed)
    target = draw.integers(0, 2, 400)
    features = 0.05 * draw.normal(size=(400, 10))
    features[:, 0] += 4 * target - 2
    features[:, :2] += draw.normal(size=(400, 2))
    return features, target, np.stack([-features[:, 0], features[:, 0]], axis=1)


@pytest.mark.parametrize("name", ["mahalanobis", "knn", "residual", "vim"])
def test_feature_scores_find_what_leaves_the_training_space(name: str) -> None:
    features, target, logits = planted_features()
    more, _, more_logits = planted_features(1)
    foreign = more.copy()
    foreign[:, 5] += 3.0  # invisible to the logits
    scorer = ood_scores.SCORES[name].fit(features, target, logits)
    found = detection.auroc(scorer(more, more_logits), scorer(foreign, more_logits))
    assert found > 0.95
    assert detection.auroc(ood_scores.energy(more_logits), ood_scores.energy(more_logits)) == 0.5


def test_mahalanobis_and_knn_against_slow_ones() -> None:
    features, target, logits = planted_features()
    values = planted_features(2)[0][:15]
    means = [features[target == k].mean(0) for k in (0, 1)]
    centred = np.concatenate([features[target == k] - means[k] for k in (0, 1)])
    inverse = np.linalg.inv(centred.T @ centred / len(centred))
    slow = [max(-(v - m) @ inverse @ (v - m) for m in means) for v in values]
    scorer = ood_scores.SCORES["mahalanobis"].fit(features, target, logits)
    assert np.allclose(scorer(values, None), slow, rtol=1e-8)
    bank = [f / np.linalg.norm(f) for f in features]
    slow = [-sorted(np.linalg.norm(v / np.linalg.norm(v) - b) for b in bank)[39] for v in values]
    scorer = ood_scores.SCORES["knn"].fit(features, target, logits)
    assert np.allclose(scorer(values, None), slow, rtol=1e-7)


@pytest.mark.parametrize("make", [np.zeros, np.ones])
def test_features_without_variance_or_logits_have_a_reason(make: Callable[..., np.ndarray]) -> None:
    constant, target = make((10, 3)), np.zeros(10, int)
    for name in ("mahalanobis", "residual", "vim"):
        with pytest.raises(UndefinedError, match="vary"):
            ood_scores.SCORES[name].fit(constant, target, make((10, 2)))
    for name in ("msp", "vim"):
        with pytest.raises(UndefinedError, match="no logits"):
            ood_scores.SCORES[name].fit(constant, target, None)
    with pytest.raises(UndefinedError, match="no fused feature"):
        ood_scores.SCORES["knn"].fit(None, target, None)


def test_more_dimensions_than_samples_are_no_obstacle() -> None:
    draw = np.random.default_rng(0)
    features, logits = draw.normal(size=(8, 20)), draw.normal(size=(8, 3))
    for score in ood_scores.SCORES.values():
        scorer = score.fit(features, np.arange(8) % 3, logits)
        assert np.isfinite(scorer(features + 1, logits)).all(), score.name
