"""Regimes in words: their names by the circumplex of valence and arousal (Russell 1980), and a paragraph about a step that can be
put before a question to a language model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: The distance from the corpus mean, in standard deviations, within which a regime is neutral.
NEUTRAL = 0.25
#: A step is unstable where the regime changed within so many steps, or its uncertainty is above this share of ignorance.
RECENT, UNSURE = 3, 0.5
#: (valence is positive, arousal is high) -> name.
QUADRANTS = {(True, True): "excited", (False, True): "tense", (False, False): "low", (True, False): "calm"}


def regime_names(regime: np.ndarray, values: np.ndarray) -> dict[int, str]:
    """Regime -> name: the quadrant of its centre; ``neutral`` near the corpus mean; ``positive`` and ``negative`` where no
    arousal was observed, ``aroused`` and ``subdued`` where no valence was; ``unknown`` where nothing was. Names that occur twice
    are numbered.

    Args:
        regime: [steps], int.
        values: [steps, 2], valence and arousal, standardised on the corpus, a mean over modalities; NaN where nothing was
            observed.
    """
    names: dict[int, str] = {}
    for one in np.unique(regime).tolist():
        inside = values[regime == one]
        seen = np.isfinite(inside)
        centre = np.where(seen, inside, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        known = np.asarray(seen.any(axis=0))
        if not known.any():
            name = "unknown"
        elif np.hypot(*centre) < NEUTRAL:
            name = "neutral"
        elif known.all():
            name = QUADRANTS[bool(centre[0] >= 0), bool(centre[1] >= 0)]
        elif known[0]:
            name = "positive" if centre[0] >= 0 else "negative"
        else:
            name = "aroused" if centre[1] >= 0 else "subdued"
        taken = sum(other.partition(" ")[0] == name for other in names.values())
        names[one] = f"{name} {taken + 1}" if taken else name
    return names


@dataclass(frozen=True)
class Context:
    """What is known of a step.

    Attributes:
        text: one paragraph.
        unstable: whether the regime changed lately, or is in doubt.
    """

    text: str
    unstable: bool


def describe(
    regime: np.ndarray, uncertainty: np.ndarray, values: np.ndarray, step: int, names: dict[int, str]
) -> Context:
    """One step of a conversation in words: the regime, since when, the one before, and where valence and arousal go. Nothing
    after the step is read but the segmentation itself, which saw the whole conversation.

    Args:
        regime: [steps] of the conversation, int.
        uncertainty: [steps], from 0 to 1.
        values: [steps, 2]; as in ``regime_names``.
        step: which.
        names: regime -> name.

    Raises:
        IndexError: there is no such step.
    """
    if not 0 <= step < len(regime):
        raise IndexError(f"step {step} of a conversation of {len(regime)}")
    changes = np.flatnonzero(np.diff(regime[: step + 1])) + 1
    since = int(changes[-1]) if len(changes) else 0
    dwell = step - since + 1
    unstable = bool((len(changes) and step - changes[-1] < RECENT) or uncertainty[step] > UNSURE)
    words = [f"The speakers are in the emotional regime '{names[int(regime[step])]}', for {_steps(dwell)}."]
    if len(changes):
        words.append(f"Before that it was '{names[int(regime[since - 1])]}'.")
    words += [
        f"{name} is {_trend(values[max(0, step - 4) : step + 1, column])}."
        for column, name in enumerate(("Valence", "Arousal"))
        if np.isfinite(values[max(0, step - 4) : step + 1, column]).sum() > 1
    ]
    words.append("The regime is unstable." if unstable else "The regime is stable.")
    return Context(" ".join(words), unstable)


def _steps(count: int) -> str:
    return f"{count} utterance{'' if count == 1 else 's'}"


def _trend(values: np.ndarray) -> str:
    """``rising``, ``falling`` or ``steady``: by the slope of the last values, half a deviation over all of them."""
    seen = np.flatnonzero(np.isfinite(values))
    slope = np.polyfit(seen, values[seen], 1)[0] * (seen[-1] - seen[0])
    return "rising" if slope > 0.5 else "falling" if slope < -0.5 else "steady"
