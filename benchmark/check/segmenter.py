"""What a segmenter must do to take part."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...leaderboards.metrics.segmentation import adjusted_rand_index
from ...regimes.segmenter import Conversation, Fitted, SegmenterError

#: How far two log-likelihoods of the same conversation may lie apart, relative to their size.
TOLERANCE = 1e-6
SEED = 3


@dataclass(frozen=True)
class Segmented:
    """A segmenter that is checked.

    Attributes:
        segmenter_class: its class.
        params: its parameters.
    """

    segmenter_class: Any
    params: Any

    def fit(self, conversations: Sequence[Conversation], seed: int = SEED) -> Fitted:
        """It, made anew and fitted."""
        return self.segmenter_class(self.params).fit(conversations, seed)


def planted_conversations() -> list[Conversation]:
    """Four conversations of two modalities in two regimes, with entries, steps and a modality of one of them that were not
    observed; the last has one step."""
    rng = np.random.default_rng(7)
    found = []
    for place, steps in enumerate((24, 17, 30, 1)):
        regime = np.arange(steps) // 8 % 2
        observed = np.where(regime[:, None, None] == 1, 1.0, -1.0) + rng.normal(0, 0.5, (steps, 2, 2))
        observed[rng.random(observed.shape) < 0.1] = np.nan
        found.append(Conversation(f"c{place}", observed, speaker=np.array(["x", "y"])[np.arange(steps) % 2]))
    found[0].observed[5] = np.nan
    found[1].observed[:, 1] = np.nan
    found[3].observed[0, 0] = (0.5, -0.5)
    return found


def is_made_of_its_parameters(subject: Segmented) -> None:
    """It has Params, a frozen dataclass with defaults; a version from 1 on; and says whether it has densities."""
    params = subject.segmenter_class.Params
    assert dataclasses.is_dataclass(params), "Params is no dataclass"
    assert params.__dataclass_params__.frozen, "Params is not frozen"  # type: ignore[attr-defined]
    version, probabilistic = subject.segmenter_class.version, subject.segmenter_class.probabilistic
    assert type(version) is int, f"version is {version!r}, not a whole number"
    assert version >= 1, f"version is {version}"
    assert type(probabilistic) is bool, f"probabilistic is {probabilistic!r}, neither True nor False"


def every_step_has_a_regime(subject: Segmented) -> None:
    """Every step has a regime, numbered from 0 without gaps, a state of every factor, and a distribution over its states."""
    conversations = planted_conversations()
    found = subject.fit(conversations).segmentation
    assert len(found.regimes) == len(found.states) == len(conversations), "conversations are missing"
    for place, one in enumerate(conversations):
        regimes, states = found.regimes[place], found.states[place]
        assert regimes.shape == (len(one),), f"regimes of {len(one)} steps have the shape {regimes.shape}"
        assert regimes.dtype == np.int64, f"regimes are {regimes.dtype}, not int64"
        assert states.shape == (len(one), len(found.posterior)), (
            f"states have the shape {states.shape}, not ({len(one)}, {len(found.posterior)})"
        )
        for factor, posterior in enumerate(found.posterior):
            rows = posterior[place]
            assert rows.ndim == 2, f"a posterior has {rows.ndim} axes, not 2"
            assert len(rows) == len(one), f"a posterior of {len(one)} steps has {len(rows)} rows"
            assert (rows >= 0).all(), "a probability is negative or NaN"
            assert np.allclose(rows.sum(axis=1), 1), "a posterior does not add up to 1"
            inside = (states[:, factor] >= 0) & (states[:, factor] < rows.shape[1])
            assert inside.all(), f"a state of factor {factor} has no probability"
    numbers = np.unique(np.concatenate(found.regimes))
    assert np.array_equal(numbers, np.arange(len(numbers))), f"regimes are numbered {numbers.tolist()}"


def a_seed_names_all_randomness(subject: Segmented) -> None:
    """Two fits with one seed are the same."""
    one, other = (subject.fit(planted_conversations()).segmentation.regimes for _ in range(2))
    assert all(map(np.array_equal, one, other)), "a second fit with the same seed differs"


def order_changes_nothing(subject: Segmented) -> None:
    """The order in which conversations are given changes nothing but the numbers of regimes."""
    conversations = planted_conversations()
    first = subject.fit(conversations).segmentation.regimes
    turned = subject.fit(conversations[::-1]).segmentation.regimes[::-1]
    agreement = adjusted_rand_index(np.concatenate(first), np.concatenate(turned))
    assert agreement == 1, f"in another order, regimes agree with an adjusted Rand index of {agreement:.3f}"


def observations_are_left_alone(subject: Segmented) -> None:
    """Fitting leaves the observations as they were."""
    conversations, copies = planted_conversations(), planted_conversations()
    fitted = subject.fit(conversations)
    fitted.log_likelihood(conversations)
    for one, copy in zip(conversations, copies, strict=True):
        assert np.array_equal(one.observed, copy.observed, equal_nan=True), f"it changed {one.id}"


def speakers_are_not_needed(subject: Segmented) -> None:
    """Conversations without times and speakers are fitted."""
    subject.fit([replace(one, speaker=None) for one in planted_conversations()])


def nothing_observed_is_told(subject: Segmented) -> None:
    """Where nothing at all was observed, it raises SegmenterError."""
    nothing = [Conversation("silence", np.full((4, 2, 2), np.nan))]
    try:
        subject.fit(nothing)
    except SegmenterError:
        return
    raise AssertionError("it was fitted to nothing")


def densities_are_those_of_conversations(subject: Segmented) -> None:
    """With densities, conversations that were not fitted have finite ones, each its own, and steps without an observation add
    nothing."""
    if not subject.segmenter_class.probabilistic:
        return
    conversations = planted_conversations()
    fitted = subject.fit(conversations[:2])
    rest = conversations[2:]
    found = np.asarray(fitted.log_likelihood(rest))
    assert found.shape == (2,), f"log-likelihoods of 2 conversations have the shape {found.shape}"
    assert np.isfinite(found).all(), f"log-likelihoods are {found.tolist()}"
    alone = [float(fitted.log_likelihood([one])[0]) for one in rest]
    assert np.allclose(found, alone, rtol=TOLERANCE), "beside another conversation, a log-likelihood differs"
    silence = np.full((3, 2, 2), np.nan)
    longer = [replace(one, observed=np.concatenate([one.observed, silence]), speaker=None) for one in rest]
    after = fitted.log_likelihood(longer)
    assert np.allclose(found, after, rtol=TOLERANCE), (
        "three steps of which nothing was observed change a log-likelihood"
    )


SEGMENTER_CHECKS = (
    is_made_of_its_parameters,
    every_step_has_a_regime,
    a_seed_names_all_randomness,
    order_changes_nothing,
    observations_are_left_alone,
    speakers_are_not_needed,
    nothing_observed_is_told,
    densities_are_those_of_conversations,
)
