"""Messages against enumeration of all paths, and against hmmlearn."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from mmbench.regimes.shared.gaussians import Values, log_density
from mmbench.regimes.shared.messages import forward, sample_states, smooth, viterbi
from mmbench.regimes.shared.packed import Packed

LENGTHS, STATES = [2, 4, 1, 4], 3


@pytest.fixture(scope="module")
def planted():
    """Two chains with parameters of their own, four conversations of two columns, some of which are missing."""
    rng = np.random.default_rng(3)
    packed = Packed.of(LENGTHS, ["b", "d", "a", "c"])
    array = rng.standard_normal((sum(LENGTHS), 2))
    array[[1, 5], 0] = np.nan
    array[7] = np.nan
    root = rng.standard_normal((2, STATES, 2, 2))
    covariance = root @ root.swapaxes(-1, -2) + np.eye(2)
    density = log_density(Values.of(array), rng.standard_normal((2, STATES, 2)), covariance)
    initial = rng.dirichlet(np.ones(STATES), 2)
    matrix = rng.dirichlet(np.ones(STATES), (2, STATES))
    return packed, density, initial, matrix


def paths(planted, chain: int, place: int):
    """Every path through a conversation with its log-probability."""
    packed, density, initial, matrix = planted
    rows = packed.rows[place]
    for path in product(range(STATES), repeat=len(rows)):
        score = np.log(initial[chain, path[0]])
        score += sum(np.log(matrix[chain, a, b]) for a, b in pairwise(path))
        yield path, score + sum(density[chain, row, state] for row, state in zip(rows, path, strict=True))


def test_packed_steps_come_back_in_the_order_in_which_they_were_given():
    packed = Packed.of(LENGTHS, ["b", "d", "a", "c"])
    arrays = [np.arange(length) + 10 * place for place, length in enumerate(LENGTHS)]
    flat = packed.pack(arrays)
    for one, back in zip(arrays, packed.unpack(flat), strict=True):
        assert np.array_equal(one, back)
    assert packed.sizes == [4, 3, 2, 2]
    assert np.array_equal(flat[packed.previous] + 1, flat[packed.firsts :])


def test_likelihood_posteriors_and_best_paths_are_those_of_all_paths(planted):
    packed, density, initial, matrix = planted
    filtered = forward(density, initial, matrix, packed)
    likelihood = filtered.log_likelihood(packed)
    smoothed = smooth(filtered, matrix, packed)
    moves = np.zeros((2, STATES, STATES))
    for chain in range(2):
        best = viterbi(density[chain], initial[chain], matrix[chain], packed)
        for place, rows in enumerate(packed.rows):
            known = list(paths(planted, chain, place))
            total = np.logaddexp.reduce([score for _, score in known])
            assert likelihood[chain, place] == pytest.approx(total, abs=1e-10)
            posterior = np.zeros((len(rows), STATES))
            for path, score in known:
                posterior[np.arange(len(rows)), path] += np.exp(score - total)
                for a, b in pairwise(path):
                    moves[chain, a, b] += np.exp(score - total)
            assert smoothed.state[chain, rows] == pytest.approx(posterior, abs=1e-10)
            assert tuple(best[rows]) == max(known, key=lambda one: one[1])[0]
    assert smoothed.transitions == pytest.approx(moves, abs=1e-10)


def test_paths_are_drawn_as_often_as_they_are_probable(planted):
    packed, density, initial, matrix = planted
    chains = 20_000
    filtered = forward(
        np.repeat(density[:1], chains, 0),
        np.repeat(initial[:1], chains, 0),
        np.repeat(matrix[:1], chains, 0),
        packed,
    )
    uniform = np.random.default_rng(0).random((chains, packed.total))
    drawn = sample_states(filtered, np.repeat(matrix[:1], chains, 0), packed, uniform)
    known = list(paths(planted, 0, 1))
    score = np.array([score for _, score in known])
    share = np.exp(score - np.logaddexp.reduce(score))
    places = drawn[:, packed.rows[1]] @ (STATES ** np.arange(3, -1, -1))
    often = np.bincount(places, minlength=STATES**4)
    assert np.abs(often / chains - share).max() < 5 * np.sqrt(0.25 / chains)
    seen = share * chains > 5
    chi2 = ((often - share * chains)[seen] ** 2 / (share * chains)[seen]).sum()
    assert chi2 < seen.sum() + 5 * np.sqrt(2 * seen.sum())


def test_likelihood_and_posteriors_are_those_of_hmmlearn():
    hmm = pytest.importorskip("hmmlearn.hmm")
    rng = np.random.default_rng(1)
    lengths, states = [40, 7, 25], 4
    array = rng.standard_normal((sum(lengths), 3))
    root = rng.standard_normal((states, 3, 3))
    model = hmm.GaussianHMM(states, covariance_type="full")
    model.startprob_ = rng.dirichlet(np.ones(states))
    model.transmat_ = rng.dirichlet(np.ones(states), states)
    model.means_ = rng.standard_normal((states, 3))
    covariance = root @ root.swapaxes(-1, -2) + 0.5 * np.eye(3)
    model.covars_, model.n_features = covariance, 3
    packed = Packed.of(lengths, ["0", "1", "2"])
    parts = np.split(array, np.cumsum(lengths)[:-1])
    density = log_density(Values.of(packed.pack(parts)), model.means_[None], covariance[None])
    filtered = forward(density, model.startprob_[None], model.transmat_[None], packed)
    assert filtered.evidence.sum() == pytest.approx(model.score(array, lengths), abs=1e-8)
    smoothed = packed.unpack(smooth(filtered, model.transmat_[None], packed).state[0])
    assert np.concatenate(smoothed) == pytest.approx(model.predict_proba(array, lengths), abs=1e-8)
    path = packed.unpack(viterbi(density[0], model.startprob_, model.transmat_, packed))
    assert np.array_equal(np.concatenate(path), model.predict(array, lengths))


def test_what_no_state_can_explain_is_no_number_that_is_undefined():
    packed = Packed.of([3], ["0"])
    density = np.zeros((1, 3, 2))
    density[0, 1] = [-1e5, 0.0]
    filtered = forward(density, np.array([[1.0, 0.0]]), np.eye(2)[None], packed)
    assert np.isfinite(filtered.evidence).all()
