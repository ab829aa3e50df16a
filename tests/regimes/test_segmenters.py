"""What each segmenter is for, on conversations whose regimes are known, beside its control; and inputs that are hard."""

from __future__ import annotations

import importlib
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from mmbench.leaderboards.metrics.segmentation import adjusted_rand_index
from mmbench.regimes import CONTROLS, SEGMENTERS
from mmbench.regimes.changepoint import cut
from mmbench.regimes.segmenter import Conversation, SegmenterError
from mmbench.regimes.shared.em import Settings, expectation_maximisation
from mmbench.regimes.shared.gaussians import Values
from mmbench.regimes.shared.packed import Packed
from mmbench.regimes.shared.partition import consensus, join_factors

#: Small settings, where what is found does not matter.
SMALL = {
    "sticky-hdp-hmm": {"sweeps": 8, "chains": 2, "states": 3},
    "hdp-hmm": {"sweeps": 8, "chains": 2, "states": 3},
    "gaussian-hmm": {"most": 3, "starts": 2},
    "sticky-map-hmm": {"most": 3, "starts": 2},
    "kmeans": {"most": 3},
    "changepoint": {"most": 3},
}
FACTORIZATIONS = ("modality", "dimension", "additive", "joint")
EVERY = [(name, {}) for name in SEGMENTERS] + [
    ("sticky-hdp-hmm", {"factorization": name}) for name in FACTORIZATIONS[1:]
]
IDS = [f"{name}-{'-'.join(more.values())}".strip("-") for name, more in EVERY]


def build(name: str, **params: Any):
    module, _, attribute = SEGMENTERS[name].partition(":")
    segmenter = getattr(importlib.import_module(module), attribute)
    return segmenter(segmenter.Params(**params))


def small(name: str, **more: Any):
    return build(name, **{**SMALL.get(name, {}), **more})


def agreement(truth, found) -> float:
    return adjusted_rand_index(np.concatenate(truth), np.concatenate(found))


def switches(labels) -> int:
    return sum(int((np.diff(one) != 0).sum()) for one in labels)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_stickiness_finds_regimes_that_persist(planted, seed: int):
    """Noise of .45 around three centres: the control without stickiness switches three times as often, draw by draw."""
    conversations, truth = planted(seed, count=4)
    found, raw = {}, {}
    for name in ("sticky-hdp-hmm", "hdp-hmm"):
        found[name] = build(name, sweeps=100, chains=2, states=8).fit(conversations, seed).segmentation
        raw[name] = found[name].trace["switches"][:, 50:].mean()
    sticky = found["sticky-hdp-hmm"]
    assert agreement(truth, sticky.regimes) >= 0.85
    assert 0.5 <= switches(sticky.regimes) / switches(truth) <= 1.5
    assert raw["hdp-hmm"] >= 3 * raw["sticky-hdp-hmm"]
    assert np.mean(sticky.about["rho"]) > 0.8


def test_one_regime_is_found_to_be_one(planted):
    conversations, _ = planted(0, count=2, means=((0.0, 0.0),))
    found = build("sticky-hdp-hmm", sweeps=80, chains=2).fit(conversations, 0).segmentation
    assert np.bincount(np.concatenate(found.regimes)).max() >= 0.9 * 340


def test_stickiness_is_given_up_where_regimes_are_fast(planted):
    conversations, truth = planted(0, noise=(0.15,), dwell=2, count=2)
    found = build("sticky-hdp-hmm", sweeps=80, chains=2, states=6).fit(conversations, 0).segmentation
    assert np.mean(found.about["rho"]) < 0.5
    assert agreement(truth, found.regimes) > 0.8


def test_conversations_left_out_tell_who_knows_time(planted):
    """The likelihood of a conversation left out is higher than that of one Gaussian, for all that have one."""
    conversations, _ = planted(3, count=4)
    held_out = {}
    for name, params in (
        ("constant", {}),
        ("sticky-hdp-hmm", {"sweeps": 60, "chains": 2, "states": 6}),
        ("gaussian-hmm", {"most": 3, "starts": 2}),
        ("sticky-map-hmm", {"most": 3, "starts": 2}),
    ):
        held_out[name] = build(name, **params).fit(conversations[:3], 0).log_likelihood(conversations[3:])[0]
    assert min(value for name, value in held_out.items() if name != "constant") > held_out["constant"] + 20


@pytest.mark.parametrize("factorization", FACTORIZATIONS)
def test_every_factorisation_finds_regimes_in_noisy_modalities_with_holes(planted, factorization: str):
    conversations, truth = planted(1, noise=(0.3, 0.3, 0.6), missing=0.2, count=2)
    states = 4 if factorization == "additive" else 6
    segmenter = build("sticky-hdp-hmm", factorization=factorization, sweeps=60, chains=2, states=states)
    found = segmenter.fit(conversations, 0).segmentation
    control = build("per-utterance").fit(conversations, 0).segmentation
    assert agreement(truth, found.regimes) > 0.8 > agreement(truth, control.regimes)


@pytest.mark.parametrize("name", ["gaussian-hmm", "sticky-map-hmm", "changepoint"])
def test_baselines_find_what_persists_better_than_clusters_do(planted, name: str):
    conversations, truth = planted(2, count=3)
    found = build(name, **{**SMALL[name], "most": 4}).fit(conversations, 0).segmentation
    clusters = build("kmeans").fit(conversations, 0).segmentation
    assert agreement(truth, found.regimes) > agreement(truth, clusters.regimes) + 0.2


@pytest.mark.parametrize(("name", "more"), EVERY, ids=IDS)
def test_the_same_seed_gives_the_same_whatever_the_order(planted, name: str, more: dict):
    conversations, _ = planted(4, noise=(0.4, 0.6), missing=0.2, steps=25, count=3)
    first = small(name, **more).fit(conversations, 7)
    again = small(name, **more).fit(conversations[::-1], 7)
    for one, other in zip(first.segmentation.states, again.segmentation.states[::-1], strict=True):
        assert np.array_equal(one, other)
    likelihood = first.log_likelihood(conversations)
    assert np.array_equal(likelihood, again.log_likelihood(conversations), equal_nan=True)
    assert np.isfinite(likelihood).all() == type(small(name)).probabilistic
    for place, one in enumerate(first.segmentation.regimes):
        assert one.shape == (25,)
        for posterior in first.segmentation.posterior:
            assert posterior[place].sum(axis=1) == pytest.approx(1)
    assert all(((one >= 0) & (one <= 1 + 1e-9)).all() for one in first.segmentation.uncertainty)


def hard_cases() -> dict[str, list[Conversation]]:
    rng = np.random.default_rng(0)

    def some(steps: int) -> np.ndarray:
        return rng.standard_normal((steps, 2, 2))

    holes = some(12)
    holes[:, 1] = np.nan
    half = some(12)
    half[::2, :, 0] = np.nan
    half[3] = np.nan
    return {
        "one to three steps": [Conversation(f"c{n}", some(n)) for n in (1, 2, 3)],
        "one step alone": [Conversation("c", some(1))],
        "one conversation": [Conversation("c", some(20))],
        "a modality missing": [Conversation("a", holes), Conversation("b", some(9))],
        "a modality missing everywhere": [Conversation("a", holes), Conversation("b", holes[:5])],
        "dimensions missing at times": [Conversation("a", half), Conversation("b", some(4))],
        "constant": [Conversation("a", np.zeros((15, 2, 2))), Conversation("b", np.zeros((4, 2, 2)))],
        "duplicates": [Conversation("a", np.repeat(some(3), 8, axis=0))],
        "far away": [Conversation("a", np.concatenate([some(9), some(3) + 1e4]))],
    }


@pytest.mark.parametrize("case", hard_cases())
@pytest.mark.parametrize(("name", "more"), EVERY, ids=IDS)
def test_hard_conversations_are_segmented(case: str, name: str, more: dict):
    conversations = hard_cases()[case]
    fitted = small(name, **more).fit(conversations, 0)
    for one, regimes in zip(conversations, fitted.segmentation.regimes, strict=True):
        assert regimes.shape == (len(one),)
    if type(small(name)).probabilistic:
        assert np.isfinite(fitted.log_likelihood(conversations)).all()


@pytest.mark.parametrize("name", SEGMENTERS)
def test_what_was_nowhere_observed_is_refused(name: str):
    with pytest.raises(SegmenterError, match="nothing was observed"):
        small(name).fit([Conversation("a", np.full((5, 1, 2), np.nan))], 0)


def test_one_state_and_parameters_that_cannot_be(planted):
    conversations, _ = planted(0, steps=20, count=2)
    assert small("sticky-hdp-hmm", states=1).fit(conversations, 0).segmentation.count == 1
    assert small("gaussian-hmm", fewest=1, most=1).fit(conversations, 0).segmentation.count == 1
    for name, wrong in (("hdp-hmm", {"states": 0}), ("kmeans", {"most": 1}), ("gaussian-hmm", {"starts": 0})):
        with pytest.raises(SegmenterError):
            small(name, **wrong)
    wide, additive = (
        [Conversation("a", np.zeros((4, 5, 2)))],
        build("sticky-hdp-hmm", factorization="additive"),
    )
    with pytest.raises(SegmenterError, match="joint states"):
        additive.fit(wide, 0)


def test_a_long_conversation_takes_no_more_than_its_steps(planted):
    conversations, _ = planted(0, steps=3000, count=1)
    found = small("sticky-hdp-hmm", sweeps=4).fit(conversations, 0).segmentation
    assert found.regimes[0].shape == (3000,)
    assert build("changepoint").fit(conversations, 0).segmentation.count > 1


@pytest.mark.parametrize("factorization", FACTORIZATIONS)
def test_a_missing_modality_is_a_factor_of_one(planted, factorization: str):
    """A modality that is nowhere observed changes nothing; where it is missing at a step, its value there is not read."""
    if factorization == "additive":
        pytest.skip("has a factor for each modality")
    conversations, _ = planted(0, steps=30, count=2)
    wider = [
        replace(one, observed=np.concatenate([one.observed, np.full((30, 1, 2), np.nan)], axis=1))
        for one in conversations
    ]
    params = {"factorization": factorization}
    first, other = (small("sticky-hdp-hmm", **params).fit(these, 0) for these in (conversations, wider))
    assert np.array_equal(first.log_likelihood(conversations), other.log_likelihood(wider))
    known = np.array([[True, False], [True, True]])
    values = Values(np.array([[[0.3, 7.0], [0.1, 0.2]]]), known)
    assert [rows.tolist() for _, rows in values.patterns] == [[0], [1]]


def test_labels_of_draws_are_matched():
    """Draws of one partition under other names are one partition; and a draw that differs is outvoted."""
    truth = np.repeat([0, 1, 2, 0], 10)
    rng = np.random.default_rng(0)
    draws = np.stack([rng.permutation(5)[truth] for _ in range(8)])
    draws[0, :5] = draws[0, 15]
    states, posterior = consensus(draws)
    assert adjusted_rand_index(states, truth) == 1
    assert posterior.sum(axis=1) == pytest.approx(1)
    assert posterior[np.arange(40), states].min() >= 7 / 8


def test_rare_tuples_of_states_join_the_nearest():
    states = np.array([[0, 0]] * 8 + [[1, 1]] * 8 + [[0, 1]] + [[1, 0]])
    values = np.concatenate([np.zeros(8), np.ones(8), [0.9], [0.1]])[:, None]
    joined = join_factors(states, values, 3)
    assert joined.tolist() == [0] * 8 + [1] * 8 + [1, 0]


def test_em_never_loses_likelihood_with_holes(planted):
    conversations, _ = planted(1, noise=(0.4, 0.8), steps=40, count=2)
    array = np.concatenate([one.observed.reshape(40, -1) for one in conversations])
    array[np.random.default_rng(0).random(array.shape) < 0.2] = np.nan
    packed = Packed.of([40, 40], ["a", "b"])
    values = Values.of(packed.pack(np.split(array, 2)))
    scores = []
    for iterations in (1, 2, 4, 8, 16):
        settings = Settings(range(3, 4), 2, iterations, tolerance=-np.inf)
        scores.append(expectation_maximisation(values, packed, 3, settings, np.random.default_rng(0))[1])
    assert all(later > earlier - 1e-6 for earlier, later in pairwise(scores))
    assert scores[-1] > scores[0] + 5


def test_cuts_are_the_best_of_all():
    rng = np.random.default_rng(0)
    array = rng.standard_normal((9, 1)) + np.repeat([0.0, 4.0, 0.0], 3)[:, None]
    price = 2 * np.log(9)

    def cost(mask: int) -> float:
        bounds = [0, *(t for t in range(1, 9) if mask >> (t - 1) & 1), 9]
        parts = [array[a:b] for a, b in pairwise(bounds)]
        return sum(float(((one - one.mean()) ** 2).sum()) for one in parts) + price * (len(parts) - 1)

    best = min(range(256), key=cost)
    found = cut(array, 1.0)
    assert [bool(best >> (t - 1) & 1) for t in range(1, 9)] == (np.diff(found) != 0).tolist()
    assert found.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_controls_are_segmenters():
    assert set(CONTROLS) <= set(SEGMENTERS)
