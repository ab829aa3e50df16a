"""Messages of hidden Markov models, for many chains and conversations at once: filtering, sampling, smoothing, Viterbi.

Rabiner 1989 (Proceedings of the IEEE 77, 257) with scaled messages. All arrays begin with an axis of chains, which have
their own parameters; steps are packed (``packed.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .packed import Packed


@dataclass(frozen=True)
class Filtered:
    """Forward messages.

    Attributes:
        state: [chains, total, states]: p(state | observations up to the step).
        predicted: [chains, total, states]: p(state | observations before the step).
        evidence: [chains, total]: log p(observation | those before it).
    """

    state: np.ndarray
    predicted: np.ndarray
    evidence: np.ndarray

    def log_likelihood(self, packed: Packed) -> np.ndarray:
        """[chains, conversations], in the order in which they were given."""
        return np.stack([self.evidence[:, rows].sum(axis=1) for rows in packed.rows], axis=1)


def forward(log_density: np.ndarray, initial: np.ndarray, transition: np.ndarray, packed: Packed) -> Filtered:
    """Filters.

    Args:
        log_density: [chains, total, states]: log p(observation | state); 0 where nothing was observed.
        initial: [chains, states]: of the first step.
        transition: [chains, states, states]: from the row's state to the column's.
        packed: the order of steps.
    """
    most = log_density.max(axis=2, keepdims=True)
    state = np.exp(log_density - most)
    predicted = np.empty_like(state)
    scale = np.empty((*state.shape[:2], 1))
    before = state[:, :0]
    for t, (start, size) in enumerate(zip(packed.starts, packed.sizes, strict=True)):
        end = start + size
        now = state[:, start:end]
        ahead = predicted[:, start:end]
        if t == 0:
            ahead[:] = initial[:, None]
        else:
            np.matmul(before[:, :size], transition, out=ahead)
        now *= ahead
        total = np.add.reduce(now, axis=2, keepdims=True, out=scale[:, start:end])
        if not total.all():  # the density underflows under every state that can be reached
            np.maximum(total, np.finfo(float).tiny, out=total)
        now /= total
        before = now
    return Filtered(state, predicted, np.log(scale[..., 0]) + most[..., 0])


def sample_states(
    filtered: Filtered, transition: np.ndarray, packed: Packed, uniform: np.ndarray
) -> np.ndarray:
    """Draws the states of all steps from their posterior, from the last step back to the first.

    Args:
        filtered: forward messages.
        transition: as in ``forward``.
        packed: the order of steps.
        uniform: [chains, total], numbers from 0 to 1.

    Returns:
        [chains, total], int64.
    """
    chains, total, count = filtered.state.shape
    states = np.empty((chains, total), np.int64)
    into = np.ascontiguousarray(transition.transpose(0, 2, 1)).reshape(chains * count, count)
    offset = (np.arange(chains) * count)[:, None]
    size = after = 0
    for start, now in zip(reversed(packed.starts), reversed(packed.sizes), strict=True):
        weight = filtered.state[:, start : start + now]
        if size:  # those that go on
            follow = into[states[:, after : after + size] + offset]
            if size == now:
                weight = weight * follow
            else:
                weight = np.concatenate([weight[:, :size] * follow, weight[:, size:]], axis=1)
        heap = np.add.accumulate(weight, axis=2)
        bar = uniform[:, start : start + now, None] * heap[:, :, -1:]
        np.add.reduce(heap[:, :, :-1] <= bar, axis=2, out=states[:, start : start + now])
        size, after = now, start
    return states


@dataclass(frozen=True)
class Smoothed:
    """Posteriors given whole conversations.

    Attributes:
        state: [chains, total, states].
        transitions: [chains, states, states]: the expected number of each.
        initial: [chains, states]: the expected number of first steps.
    """

    state: np.ndarray
    transitions: np.ndarray
    initial: np.ndarray


def smooth(filtered: Filtered, transition: np.ndarray, packed: Packed) -> Smoothed:
    """Posteriors of states and transitions.

    Args:
        filtered: forward messages.
        transition: as in ``forward``.
        packed: the order of steps.
    """
    back = np.ascontiguousarray(transition.transpose(0, 2, 1))
    state = filtered.state.copy()
    ratio = np.empty_like(state)
    size = after = 0
    for start, now in zip(reversed(packed.starts), reversed(packed.sizes), strict=True):
        if size:
            state[:, start : start + size] *= ratio[:, after : after + size] @ back
        np.divide(
            state[:, start : start + now],
            np.maximum(filtered.predicted[:, start : start + now], 1e-300),
            out=ratio[:, start : start + now],
        )
        size, after = now, start
    firsts = packed.firsts
    pairs = filtered.state[:, packed.previous].transpose(0, 2, 1) @ ratio[:, firsts:]
    return Smoothed(state, pairs * transition, state[:, :firsts].sum(axis=1))


def viterbi(
    log_density: np.ndarray, initial: np.ndarray, transition: np.ndarray, packed: Packed
) -> np.ndarray:
    """The most probable path of each conversation.

    Args:
        log_density: [total, states], of one chain; as in ``forward``.
        initial: [states].
        transition: [states, states].
        packed: the order of steps.

    Returns:
        [total], int64.
    """
    with np.errstate(divide="ignore"):
        first, move = np.log(initial), np.log(transition)
    best = np.zeros(log_density.shape, np.int64)  # the state before, on the best path into each state
    score = log_density.copy()
    score[: packed.firsts] += first
    for t in range(1, len(packed.sizes)):
        start, size, before = packed.starts[t], packed.sizes[t], packed.starts[t - 1]
        paths = score[before : before + size, :, None] + move
        best[start : start + size] = paths.argmax(axis=1)
        score[start : start + size] += paths.max(axis=1)
    states = np.empty(len(score), np.int64)
    size = after = 0
    for start, now in zip(reversed(packed.starts), reversed(packed.sizes), strict=True):
        if size:
            following = after + np.arange(size)
            states[start : start + size] = best[following, states[following]]
        states[start + size : start + now] = score[start + size : start + now].argmax(axis=1)
        size, after = now, start
    return states
