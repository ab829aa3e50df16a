"""What a segmenter is: it reads whole conversations, and says of every step in which regime it is.

It is given observations and nothing else: no label, no prediction, no name of a speaker that it could learn by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np

#: The dimensions of an observation, in this order.
DIMENSIONS = ("valence", "arousal")


class SegmenterError(Exception):
    """Observations or parameters that a segmenter cannot work with. The message is one line."""


@dataclass(frozen=True)
class Conversation:
    """The observations of one conversation.

    Attributes:
        id: its name, unique among those that are fitted together.
        observed: [steps, modalities, dimensions], float64, standardised on the corpus; NaN where nothing was observed.
        time: [steps], float64, seconds, where known.
        speaker: [steps], str, who speaks, where known.
    """

    id: str
    observed: np.ndarray
    time: np.ndarray | None = None
    speaker: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.observed)

    @property
    def known(self) -> np.ndarray:
        """[steps, modalities], bool: where anything of a modality was observed."""
        return np.asarray(np.isfinite(self.observed).any(axis=2))

    def first_step_left_out(self) -> Conversation:
        """The same conversation without its first step."""
        return Conversation(
            self.id,
            self.observed[1:],
            None if self.time is None else self.time[1:],
            None if self.speaker is None else self.speaker[1:],
        )


@dataclass(frozen=True)
class Segmentation:
    """What a fit says of the conversations that it was fitted to, in their order.

    Attributes:
        states: one [steps, factors] int64 a conversation: the state of every factor. Most segmenters have one factor.
        posterior: one a factor: one [steps, states] float64 a conversation, each row a distribution over its states; of a
            segmenter without probabilities ones and zeros.
        regimes: one [steps] int64 a conversation: the regime, in which the states of all factors are joined; from 0,
            without gaps.
        self_transition: the mean probability of staying in a state, weighted by steps; NaN without probabilities.
        trace: name -> [chains, sweeps], of a sampler: the statistics by which its convergence is judged.
        rhat: the largest split R-hat of the traces after burn-in; NaN of anything but a sampler.
        sweeps: of the sampler, or iterations; 0 without.
        about: further facts, as JSON can hold them.
    """

    states: tuple[np.ndarray, ...]
    posterior: tuple[tuple[np.ndarray, ...], ...]
    regimes: tuple[np.ndarray, ...]
    self_transition: float = float("nan")
    trace: dict[str, np.ndarray] = field(default_factory=dict)
    rhat: float = float("nan")
    sweeps: int = 0
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """The number of regimes."""
        return 1 + max(int(one.max()) for one in self.regimes)

    @cached_property
    def probability(self) -> tuple[np.ndarray, ...]:
        """One [steps, factors] a conversation: the probability of the state that is stated."""
        return tuple(
            np.stack(
                [
                    np.take_along_axis(posterior[place], states[:, [f]], axis=1)[:, 0]
                    for f, posterior in enumerate(self.posterior)
                ],
                axis=1,
            )
            for place, states in enumerate(self.states)
        )

    @cached_property
    def uncertainty(self) -> tuple[np.ndarray, ...]:
        """One [steps] a conversation: the entropy of the posterior over that of ignorance, from 0 to 1; 0 for one state."""
        most = sum(np.log(posterior[0].shape[1]) for posterior in self.posterior)
        found = []
        for place in range(len(self.states)):
            entropy = np.zeros(len(self.states[place]))
            for posterior in self.posterior:
                p = posterior[place]
                entropy -= np.where(p > 0, p * np.log(np.maximum(p, 1e-300)), 0).sum(axis=1)
            found.append(np.clip(entropy / most, 0, 1) if most > 0 else np.zeros(len(entropy)))
        return tuple(found)


class Fitted(Protocol):
    """A segmenter that was fitted."""

    @property
    def segmentation(self) -> Segmentation:
        """What it says of the conversations that it was fitted to."""
        ...

    def log_likelihood(self, conversations: Sequence[Conversation]) -> np.ndarray:
        """The log predictive density of conversations that were not fitted.

        Returns:
            [conversations], float64, nats: of all that was observed of each.
        """
        ...


class Segmenter(Protocol):
    """A segmenter; it is made of its parameters.

    Class attributes:
        version: raised with every change of its results.
        probabilistic: whether ``log_likelihood`` means anything; where it does not, held-out likelihoods are a hole.
    """

    version: ClassVar[int]
    probabilistic: ClassVar[bool]

    def fit(self, conversations: Sequence[Conversation], seed: int) -> Fitted:
        """Fits conversations together.

        Args:
            conversations: one or more, of one step or more, with the same modalities and dimensions. Their order changes
                nothing.
            seed: names all randomness.

        Raises:
            SegmenterError: nothing at all was observed.
        """
        ...


def from_labels(labels: Sequence[np.ndarray], **more: Any) -> Segmentation:
    """The segmentation of a segmenter that has one factor and no probabilities.

    Args:
        labels: one [steps] int a conversation; any numbers.
        more: further fields of the segmentation.
    """
    regimes = without_gaps(labels)
    count = 1 + max(int(one.max()) for one in regimes)
    certain = tuple(np.eye(count)[one] for one in regimes)
    return Segmentation(tuple(one[:, None] for one in regimes), (certain,), regimes, **more)


def without_gaps(labels: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Labels, one [steps] a conversation, as int64 from 0 on without gaps, in the order of the numbers."""
    inverse = np.unique(np.concatenate(labels), return_inverse=True)[1].astype(np.int64)
    return tuple(np.split(inverse, np.cumsum([len(one) for one in labels])[:-1]))
