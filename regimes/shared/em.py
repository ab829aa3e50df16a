"""EM of an HMM with Gaussian states and full covariances, for several starts at once (Rabiner 1989, section V), with
observations that have holes (Little and Rubin 2002, section 11.2, in each state)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..segmenter import Conversation, Segmentation, without_gaps
from .clusters import filled, kmeans
from .factors import flat, packing
from .gaussians import FLOOR, Values, conditional, log_density, moments
from .messages import Smoothed, forward, smooth, viterbi
from .packed import Packed

#: The iterations of all starts, and how many starts go on after these.
SHORT, FINALISTS = 6, 2


@dataclass(frozen=True)
class Settings:
    """How models are fitted.

    Attributes:
        counts: numbers of states among which the Bayesian information criterion chooses.
        starts: of EM for each number.
        iterations: at most.
        tolerance: EM ends where no start gains more than this many nats a step.
        even: pseudo-counts of every transition.
        stay: further pseudo-counts of staying in a state.
    """

    counts: range
    starts: int
    iterations: int = 100
    tolerance: float = 1e-4
    even: float = 0.0
    stay: float = 0.0


@dataclass(frozen=True)
class Model:
    """Parameters; every array begins with an axis of starts."""

    initial: np.ndarray
    matrix: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray

    def take(self, starts: np.ndarray) -> Model:
        """Those of some starts."""
        return Model(self.initial[starts], self.matrix[starts], self.mean[starts], self.covariance[starts])


@dataclass(frozen=True)
class FittedHmm:
    """See ``Fitted``."""

    segmentation: Segmentation
    columns: np.ndarray
    model: Model

    def log_likelihood(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """With states summed out."""
        packed = packing(conversations)
        values = Values.of(packed.pack(flat(conversations))[:, self.columns])
        density = log_density(values, self.model.mean, self.model.covariance)
        return forward(density, self.model.initial, self.model.matrix, packed).log_likelihood(packed)[0]


def fit_hmm(
    conversations: Sequence[Conversation],
    columns: np.ndarray,
    settings: Settings,
    rng: np.random.Generator,
) -> FittedHmm:
    """Fits a model for each number of states and keeps the best; states are those of the most probable paths.

    Args:
        conversations: what is fitted.
        columns: that are observed.
        settings: how.
        rng: the source of all draws.
    """
    packed = packing(conversations)
    values = Values.of(packed.pack(flat(conversations))[:, columns])
    steps = int(values.any_known.sum())
    best, least, spent = None, np.inf, 0
    criteria: dict[str, float] = {}
    for count in settings.counts:
        if best is not None and count > steps // 2:
            break
        model, score, iterations = expectation_maximisation(values, packed, count, settings, rng)
        width = len(columns)
        free = count * count - 1 + count * (width + width * (width + 1) / 2)
        criterion = -2 * score + free * np.log(steps)
        criteria[str(count)] = float(criterion)
        if criterion < least:
            best, least, spent = model, criterion, iterations
    assert best is not None  # the first number is always tried
    density = log_density(values, best.mean, best.covariance)
    path = viterbi(density[0], best.initial[0], best.matrix[0], packed)
    smoothed = smooth(forward(density, best.initial, best.matrix, packed), best.matrix, packed)
    states = packed.unpack(path)
    stay = np.diagonal(best.matrix[0])[path].mean()
    found = Segmentation(
        states=tuple(one[:, None] for one in states),
        posterior=(packed.unpack(smoothed.state[0]),),
        regimes=without_gaps(states),
        self_transition=float(stay),
        sweeps=spent,
        about={"bic": criteria},
    )
    return FittedHmm(found, columns, best)


def expectation_maximisation(
    values: Values, packed: Packed, count: int, settings: Settings, rng: np.random.Generator
) -> tuple[Model, float, int]:
    """The best of several starts; after a few iterations the best of them alone go on (Biernacki, Celeux, Govaert 2003,
    Computational Statistics and Data Analysis 41, 561).

    Args:
        values: the observations.
        packed: the order of steps.
        count: of states.
        settings: how.
        rng: the source of the starts.

    Returns:
        The model, its log-likelihood, and the iterations.
    """
    model = start(values, count, settings.starts if count > 1 else 1, rng)
    last = np.full(len(model.mean), -np.inf)
    spent = 0
    while spent < settings.iterations:
        spent += 1
        density = log_density(values, model.mean, model.covariance)
        filtered = forward(density, model.initial, model.matrix, packed)
        score = filtered.evidence.sum(axis=1)
        if (score - last).max() < settings.tolerance * packed.total:
            break
        last = score
        model = maximise(values, smooth(filtered, model.matrix, packed), model, settings)
        if spent == SHORT and len(score) > FINALISTS:
            ahead = np.argsort(-score, kind="stable")[:FINALISTS]
            model, last = model.take(ahead), last[ahead]
    density = log_density(values, model.mean, model.covariance)
    score = forward(density, model.initial, model.matrix, packed).evidence.sum(axis=1)
    best = int(score.argmax())
    return model.take(np.array([best])), float(score[best]), spent


def start(values: Values, count: int, starts: int, rng: np.random.Generator) -> Model:
    """Models around the clusters of k-means, with the covariance of all observations.

    Args:
        values: the observations.
        count: of states.
        starts: how many.
        rng: the source of the clusterings.
    """
    mean, covariance = moments(values)
    points = filled(np.where(values.known, values.array[0], np.nan))
    centres = np.repeat(mean[None, None], starts, axis=0).repeat(count, axis=1)
    for place in range(starts):
        label = kmeans(points, count, rng, starts=1)
        for state in range(count):
            if (label == state).any():
                centres[place, state] = points[label == state].mean(axis=0)
    even = np.full((starts, count), 1 / count)
    matrix = np.broadcast_to(0.5 / count + 0.5 * np.eye(count), (starts, count, count)).copy()
    wide = np.broadcast_to(covariance, (starts, count, *covariance.shape)).copy()
    return Model(even, matrix, centres, wide)


def maximise(values: Values, smoothed: Smoothed, last: Model, settings: Settings) -> Model:
    """The parameters that maximise the expected log-likelihood, or posterior where there are pseudo-counts.

    Args:
        values: the observations.
        smoothed: posteriors of states and transitions under the last parameters.
        last: the last parameters.
        settings: their pseudo-counts.
    """
    count = last.matrix.shape[1]
    counts = smoothed.transitions + settings.even + settings.stay * np.eye(count)
    rows = counts.sum(axis=2, keepdims=True)
    matrix = np.where(rows > 1e-10, counts / np.maximum(rows, 1e-10), last.matrix)
    initial = (smoothed.initial + 1e-10) / (smoothed.initial + 1e-10).sum(axis=1, keepdims=True)
    weights = (smoothed.state * values.any_known[:, None]).transpose(0, 2, 1)
    mass = weights.sum(axis=2)
    safe = np.maximum(mass, 1e-10)[..., None]
    sums, squares = expected(values, weights, last)
    mean = np.where(mass[..., None] > 1e-6, sums / safe, last.mean)
    covariance = squares / safe[..., None] - mean[..., :, None] * mean[..., None, :]
    covariance = (covariance + covariance.swapaxes(-1, -2)) / 2 + FLOOR * np.eye(mean.shape[2])
    covariance = np.where(mass[..., None, None] > 1e-6, covariance, last.covariance)
    return replace(last, initial=initial, matrix=matrix, mean=mean, covariance=covariance)


def expected(values: Values, weights: np.ndarray, last: Model) -> tuple[np.ndarray, np.ndarray]:
    """Expected sums and sums of outer products of each state's observations, holes filled given what there is.

    Args:
        values: the observations.
        weights: [starts, states, total], the posterior of states.
        last: the parameters under which holes are filled.

    Returns:
        [starts, states, columns] and [starts, states, columns, columns].
    """
    starts, count, width = last.mean.shape
    sums, squares = np.zeros((starts, count, width)), np.zeros((starts, count, width, width))
    for known, rows in values.patterns:
        array, mine = values.array[0][rows], weights[..., rows]
        if len(known) == width:
            outer = (array[:, :, None] * array[:, None, :]).reshape(len(rows), -1)
            sums += mine @ array
            squares += (mine @ outer).reshape(squares.shape)
            continue
        gone = np.setdiff1d(np.arange(width), known)
        slope, rest = conditional(last.covariance, known, gone)
        off = array[:, known] - last.mean[:, :, None, known]
        whole = np.empty((starts, count, len(rows), width))
        whole[..., known] = array[:, known]
        whole[..., gone] = last.mean[:, :, None, gone] + off @ slope.swapaxes(-1, -2)
        weighted = whole * mine[..., None]
        sums += weighted.sum(axis=2)
        squares += weighted.swapaxes(-1, -2) @ whole
        squares[..., gone[:, None], gone] += rest * mine.sum(axis=2)[..., None, None]
    return sums, squares
