"""The conformance tests of segmenters: mmbench's own pass, and each fault is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from mmbench.benchmark.check.conformance import check_segmenter
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.planning.segmenters import load, resolve
from mmbench.regimes.constant import Constant
from mmbench.regimes.segmenter import Conversation, from_labels
from mmbench.regimes.shared.labelled import Labelled

SMALL = {
    "constant": {},
    "per-utterance": {},
    "kmeans": {"states": 2},
    "changepoint": {"most": 2},
    "gaussian-hmm": {"most": 2, "starts": 1},
    "sticky-map-hmm": {"most": 2, "starts": 1},
    "sticky-hdp-hmm": {"sweeps": 4, "chains": 1, "states": 2},
    "hdp-hmm": {"sweeps": 4, "chains": 1, "states": 2},
}


def failures(segmenter: Any, **params: Any) -> list[str]:
    return [
        f"{result.what} {result.reason}" for result in check_segmenter(segmenter, **params) if not result.ok
    ]


@pytest.mark.parametrize("name", SMALL)
def test_segmenters_of_mmbench_keep_the_contract(name: str) -> None:
    assert not failures(load(name), **SMALL[name])


class Signs(Constant):
    """Regimes by the sign of what was observed of a step, to which each fault adds one thing."""

    def fit(self, conversations: Sequence[Conversation], seed: int) -> Any:
        if not any(np.isfinite(one.observed).any() for one in conversations):
            return super().fit(conversations, seed)  # raises
        fitted: Any = super().fit(conversations, seed)
        return replace(fitted, segmentation=from_labels(self.labels(conversations)))

    def labels(self, conversations: Sequence[Conversation]) -> list[np.ndarray]:
        return [(np.nansum(one.observed, axis=(1, 2)) > 0).astype(int) for one in conversations]


class Random(Signs):
    def labels(self, conversations: Sequence[Conversation]) -> list[np.ndarray]:
        return [np.random.default_rng().integers(0, 2, len(one)) for one in conversations]


class First(Signs):
    def labels(self, conversations: Sequence[Conversation]) -> list[np.ndarray]:
        return [np.full(len(one), place == 0) for place, one in enumerate(conversations)]


class Fills(Signs):
    def labels(self, conversations: Sequence[Conversation]) -> list[np.ndarray]:
        for one in conversations:
            np.nan_to_num(one.observed, copy=False)
        return super().labels(conversations)


class Speakers(Signs):
    def labels(self, conversations: Sequence[Conversation]) -> list[np.ndarray]:
        return [(np.asarray(one.speaker) == "x").astype(int).reshape(len(one)) for one in conversations]


class Anything(Signs):
    def fit(self, conversations: Sequence[Conversation], seed: int) -> Any:
        return Labelled(from_labels(self.labels(conversations)))

    probabilistic: ClassVar[bool] = False


class Gaps(Signs):
    def fit(self, conversations: Sequence[Conversation], seed: int) -> Any:
        fitted = super().fit(conversations, seed)
        regimes = tuple(2 * one for one in fitted.segmentation.regimes)
        return replace(fitted, segmentation=replace(fitted.segmentation, regimes=regimes))


@dataclass(frozen=True)
class OfSteps:
    """A density that counts steps, of which some were not observed."""

    segmentation: Any

    def log_likelihood(self, conversations: Sequence[Conversation]) -> np.ndarray:
        return np.array([-float(len(one)) for one in conversations])


class Steps(Signs):
    def fit(self, conversations: Sequence[Conversation], seed: int) -> Any:
        return OfSteps(super().fit(conversations, seed).segmentation)


@dataclass
class LooseParams:
    states: int = 2


class Loose(Signs):
    Params = LooseParams  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("segmenter", "reason"),
    [
        (Random, "a second fit with the same seed differs"),
        (First, "in another order, regimes agree with"),
        (Fills, "it changed c0"),
        (Speakers, "without times and speakers"),
        (Anything, "it was fitted to nothing"),
        (Gaps, r"regimes are numbered [0, 2]"),
        (Steps, "three steps of which nothing was observed change"),
        (Loose, "Params is not frozen"),
    ],
)
def test_a_fault_is_found(segmenter: Any, reason: str) -> None:
    assert not failures(Signs)
    assert any(reason in one for one in failures(segmenter)), failures(segmenter)


def test_a_class_that_is_no_segmenter_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        'SEGMENTERS = {"bare": "Bare", "odd": "Odd", "flagged": "Flagged"}\n'
        "class Bare:\n    Params = dict\n"
        "class Odd:\n    version, probabilistic, fit, Params = 1, False, None, dict\n"
        "@dataclass(frozen=True)\nclass FlaggedParams:\n    loud: bool = True\n    steps: tuple = ()\n"
        "class Flagged:\n    version, probabilistic, fit, Params = 1, False, None, FlaggedParams\n"
        "    def __init__(self, params):\n        self.params = params\n        1 / params.loud\n"
    )
    for text, message in (
        ("bare", "bare has no version, probabilistic, fit"),
        ("odd", "Params that are no dataclass"),
        ("flagged(loud=maybe)", "neither true nor false"),
        ("flagged(loud=false)", "cannot be made: ZeroDivisionError"),
        ("flagged(steps=3)", "int, float, bool, str and Literal can be set"),
    ):
        with pytest.raises(UsageError, match=message) as raised:
            resolve(text, (file,))
        assert "\n" not in str(raised.value)
    assert resolve("flagged(loud=true)", (file,)).params == {"loud": True, "steps": ()}
