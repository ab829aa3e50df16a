"""Estimators: what they read, what they have learned, and what each of them can and cannot tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.train.estimation import fit_estimator
from mmbench.benchmark.train.lightning_module import SelectionData
from mmbench.benchmark.train.weights import load_weights, save_weights
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.controls.gradient_boosting import GradientBoosting, GradientBoostingParams
from mmbench.methods.controls.logistic import Logistic, LogisticParams
from mmbench.methods.controls.majority import Majority
from mmbench.methods.controls.random_forest import RandomForest, RandomForestParams
from mmbench.methods.estimator import Estimator
from mmbench.methods.method import NoParams
from mmbench.methods.shared.summary import summary
from mmbench.methods.shared.trees import Tree, as_tensors, sum_of_trees
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor

CLASSES = Spec({"text": 3, "audio": 2}, "classification", classes=3)
SCORES = Spec({"text": 3, "audio": 2}, "regression", label_range=(-3.0, 3.0))


def batch(spec: Spec, count: int = 90, steps: int = 4, seed: int = 0) -> Batch:
    """Sequences of one to ``steps`` steps; audio is missing in one sample of three."""
    draw = torch.Generator().manual_seed(seed)
    features = {
        name: torch.randn(count, steps, width, generator=draw) for name, width in spec.modalities.items()
    }
    lengths = torch.randint(1, steps + 1, (count,), generator=draw)
    mask = torch.arange(steps).expand(count, steps) < lengths[:, None]
    latent = features["text"][:, 0].sum(1)
    target = latent if spec.kind == "regression" else torch.bucketize(latent, torch.tensor([-1.0, 1.0]))
    return Batch(
        features=features,
        mask=dict.fromkeys(features, mask),
        present={"text": torch.ones(count).bool(), "audio": torch.arange(count) % 3 > 0},
        target=target,
        domain=torch.zeros(count).long(),
        sample_id=torch.arange(count),
    )


def fitted(method: Estimator, train: Batch, candidate: object) -> Estimator:
    method.learned.replace(method.fit(train, candidate, seed=3))
    return method


def test_the_summary_by_hand():
    samples = batch(CLASSES, count=12)
    columns = summary(samples).numpy()
    place = 0
    for name in samples.modalities:
        width = samples.features[name].shape[2]
        for row in range(len(samples)):
            steps = samples.features[name][row][samples.mask[name][row]].numpy().astype(np.float64)
            expected = np.concatenate(
                [steps.mean(0), steps.std(0), steps.min(0), steps.max(0), steps[-1], [len(steps), 1]]
            )
            if not samples.present[name][row]:
                expected = np.zeros_like(expected)
            np.testing.assert_allclose(columns[row, place : place + 5 * width + 2], expected, atol=1e-5)
        place += 5 * width + 2
    assert columns.shape[1] == place


def test_of_one_step_the_summary_is_its_values():
    samples = batch(CLASSES, count=6, steps=1)
    columns = summary(samples)
    assert columns.shape == (6, 3 + 1 + 2 + 1)
    assert torch.equal(columns[:, :3], samples.features["text"][:, 0])


@pytest.mark.parametrize("spec", [CLASSES, SCORES], ids=["classes", "scores"])
def test_a_forest_as_tensors_predicts_what_scikit_learn_predicts(spec: Spec):
    train, test = batch(spec), batch(spec, seed=1)
    ours = fitted(RandomForest(RandomForestParams(trees=20), spec), train, 3)(test).prediction
    columns, labels = summary(train).numpy(), train.target.numpy()
    if spec.kind == "regression":
        theirs = RandomForestRegressor(20, min_samples_leaf=3, max_features=1 / 3, random_state=3)
        np.testing.assert_allclose(
            ours, theirs.fit(columns, labels).predict(summary(test).numpy()), atol=1e-5
        )
    else:
        forest = RandomForestClassifier(20, min_samples_leaf=3, random_state=3).fit(columns, labels)
        np.testing.assert_allclose(ours.softmax(1), forest.predict_proba(summary(test).numpy()), atol=1e-5)


def test_boosting_as_tensors_predicts_what_scikit_learn_predicts():
    train, test = batch(CLASSES), batch(CLASSES, seed=1)
    ours = fitted(GradientBoosting(GradientBoostingParams(), CLASSES), train, 25)(test).prediction
    model = HistGradientBoostingClassifier(max_iter=25, random_state=3).set_params(early_stopping=False)
    model.fit(summary(train).numpy(), train.target.numpy())
    np.testing.assert_allclose(ours.softmax(1), model.predict_proba(summary(test).numpy()), atol=1e-4)


def test_a_tree_by_hand():
    tree = Tree(
        feature=np.array([0, -1, 1, -1, -1]),
        threshold=np.array([0.0, 0, 2.0, 0, 0]),
        left=np.array([1, -1, 3, -1, -1]),
        right=np.array([2, -1, 4, -1, -1]),
        value=np.array([[0.0], [10.0], [0.0], [20.0], [30.0]]),
    )
    columns = torch.tensor([[0.0, 5.0], [0.1, 2.0], [1.0, 2.1]])
    assert sum_of_trees(columns, as_tensors([tree, tree])).flatten().tolist() == [20.0, 40.0, 60.0]


def test_majority_by_hand():
    train = batch(CLASSES)
    said = fitted(Majority(NoParams(), CLASSES), train, None)(train.take(slice(0, 2))).prediction
    shares = np.bincount(train.target, minlength=3) / len(train)
    np.testing.assert_allclose(said.softmax(1), [shares, shares], atol=1e-6)
    scores = batch(SCORES)
    said = fitted(Majority(NoParams(), SCORES), scores, None)(scores.take(slice(0, 2))).prediction
    np.testing.assert_allclose(said, [np.median(scores.target)] * 2, atol=1e-6)


def exclusive_or(count: int, seed: int) -> Batch:
    """The class is whether the signs of two values, one of each modality, differ."""
    samples = batch(CLASSES, count, steps=1, seed=seed)
    signs = [samples.features[name][:, 0, 0] > 0 for name in ("text", "audio")]
    return replace(
        samples,
        present=dict.fromkeys(samples.features, torch.ones(count).bool()),
        target=(signs[0] ^ signs[1]).long(),
    )


def test_trees_tell_an_interaction_that_a_linear_model_does_not():
    train, test = exclusive_or(400, 0), exclusive_or(400, 1)
    two = replace(CLASSES, classes=2)

    def accuracy(method: Estimator, candidate: object) -> float:
        return float(
            (fitted(method, train, candidate)(test).prediction.argmax(1) == test.target).float().mean()
        )

    assert accuracy(Logistic(LogisticParams(), two), 1.0) < 0.62
    assert accuracy(RandomForest(RandomForestParams(trees=50), two), 1) > 0.85
    assert accuracy(GradientBoosting(GradientBoostingParams(), two), 25) > 0.9


def test_a_class_that_no_training_sample_has_is_never_predicted():
    whole = batch(CLASSES)
    train = whole.take(torch.nonzero(whole.target != 1)[:, 0])
    for method, candidate in (
        (Logistic(LogisticParams(), CLASSES), 1.0),
        (RandomForest(RandomForestParams(trees=5), CLASSES), 1),
        (GradientBoosting(GradientBoostingParams(), CLASSES), 25),
    ):
        said = fitted(method, train, candidate)(whole).prediction.softmax(1)
        assert float(said[:, 1].max()) < 1e-6
        assert torch.isfinite(said).all()


def test_the_candidate_that_validates_best_is_kept_and_stored():
    method = Logistic(LogisticParams(), SCORES)
    train, valid = batch(SCORES, 60), batch(SCORES, 60, seed=1)
    asked: list[int] = []
    protocol = Protocol.model_validate({"selection": "source-validation"})
    made = fit_estimator(
        method, protocol, train, valid, 0, lambda epoch, share, record: asked.append(epoch), SelectionData()
    )
    assert asked == list(range(len(method.candidates())))
    errors = [
        float(
            (fitted(Logistic(LogisticParams(), SCORES), train, one)(valid).prediction - valid.target)
            .abs()
            .mean()
        )
        for one in method.candidates()
    ]
    assert [epoch.metric for epoch in made.record] == pytest.approx(errors, rel=1e-5)
    assert made.selected_epoch == int(np.argmin(errors))
    other = Logistic(LogisticParams(), SCORES)
    load_weights(other, save_weights(method))
    assert torch.equal(other(valid).prediction, method(valid).prediction)


def weak(spec: Spec, count: int, seed: int) -> Batch:
    """A signal of 60 columns of which each says little, of a tenth of the variance of the score."""
    draw = torch.Generator().manual_seed(seed)
    columns = torch.randn(count, 60, generator=draw)
    score = columns.sum(1) / 60**0.5 + 3 * torch.randn(count, generator=draw)
    return Batch(
        features={"text": columns[:, None, :]},
        mask={"text": torch.ones(count, 1).bool()},
        present={"text": torch.ones(count).bool()},
        target=score if spec.kind == "regression" else (score > 0).long(),
        domain=torch.zeros(count).long(),
        sample_id=torch.arange(count),
    )


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_a_weak_signal_is_not_met_at_an_end_of_the_penalties(kind: str):
    """Neither of few samples nor of many, where an absolute penalty would have to be another one."""
    spec = Spec({"text": 60}, kind, classes=2 if kind == "classification" else 1)  # type: ignore[arg-type]
    protocol = Protocol.model_validate({"selection": "source-validation"})
    for count in (120, 1200):
        method = Logistic(LogisticParams(), spec)
        train, valid = weak(spec, count, 0), weak(spec, 4000, 1)
        made = fit_estimator(method, protocol, train, valid, 0, lambda *_: None, SelectionData())
        assert 0 < made.selected_epoch < len(method.candidates()) - 1
        best, *ends = (made.record[place].metric for place in (made.selected_epoch, 0, -1))
        assert best < min(ends) if kind == "regression" else best > max(ends)


@pytest.mark.parametrize("spec", [CLASSES, SCORES], ids=["classes", "scores"])
def test_a_penalty_means_the_same_for_any_number_of_samples(spec: Spec):
    train = batch(spec)
    thrice = train.take(torch.arange(len(train)).repeat(3))
    for candidate in (10.0, 0.1, 0.001):
        one, other = (fitted(Logistic(LogisticParams(), spec), part, candidate) for part in (train, thrice))
        torch.testing.assert_close(one(train).prediction, other(train).prediction, rtol=0.01, atol=0.003)
