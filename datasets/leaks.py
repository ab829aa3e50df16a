"""What a test part may share with a training part: near-duplicate samples, and groups such as videos or persons.

Two samples are near-duplicates where, in every modality that both have, their standardised features differ by less
than ``NEAR`` of what two unrelated samples differ by: the root mean square of the difference over steps and features,
divided by the square root of 2. A copy to which noise of s deviations is added has the distance 0.7 s. A pair with
fewer than ``WIDE`` features in common must be equal, as unrelated samples of a few features come near by chance.

The search is bounded. Each modality of a sample becomes ``SKETCH`` numbers by random projection (Johnson and
Lindenstrauss 1984), all sketches of two parts are compared, and only the nearest sample of each is compared in full.
Of a part with too many pairs an even share is looked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from .counting import counted
from .dataset import SPLITS, Samples

#: Distance below which two samples are near-duplicates; unrelated samples have about 1.
NEAR = 0.15
#: Distance of samples that are equal but for rounding.
EQUAL = 1e-3
#: Features that two samples must have in common to be compared by ``NEAR``.
WIDE = 16
#: Numbers of a sketch. Its distance is too large by a factor of ``SLACK`` with a probability below 1e-4.
SKETCH = 64
SLACK = 2.0
#: Pairs of samples of two parts that are compared at most, and values of features that are held at once.
PAIRS = 1 << 28
VALUES = 1 << 23
#: Ids that are named.
NAMED = 3

_LIMIT = 5.0  # deviations, as in training


Kind = Literal["samples", "conversations", "groups", "domains"]


@dataclass(frozen=True)
class Leak:
    """What two splits of a dataset share.

    Attributes:
        kind: ``samples``: near-duplicates; ``conversations``; ``groups``: videos, persons or other groups; ``domains``.
        splits: the two, in the order of ``SPLITS``.
        count: near-duplicates in the second split, or groups that are in both.
        of: samples of the second split that were looked for, or its groups.
        examples: the first few: ``"a (train) and b (test), distance 0.01"``, or names of groups.
    """

    kind: Kind
    splits: tuple[str, str]
    count: int
    of: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        """Such as ``2 of 40 test samples have a near-duplicate in train``."""
        one, two = self.splits
        if self.kind == "samples":
            have = "has" if self.count == 1 else "have"
            return f"{self.count} of {counted(self.of, f'{two} sample')} {have} a near-duplicate in {one}"
        are = "is" if self.count == 1 else "are"
        return f"{self.count} of {counted(self.of, self.kind.removesuffix('s'))} of {two} {are} also in {one}"


def leaks(splits: Mapping[str, Samples]) -> list[Leak]:
    """What the splits of a dataset share, most serious first: samples, then conversations, groups and domains.

    Args:
        splits: of one dataset, as it is loaded.

    Returns:
        One entry for each pair of splits and kind with a count above 0. Domains are named only where samples have
        several: to be in all splits is right for them where one is left out at a time.
    """
    splits = {name: splits[name] for name in SPLITS if name in splits and len(splits[name])}
    pairs = list(combinations(splits, 2))
    found = cut_conversations(splits)
    found += [_shared("groups", pair, {name: groups_of(splits[name]) for name in pair}) for pair in pairs]
    if len({one for samples in splits.values() for one in samples.domain.tolist()}) > 1:
        found += [_shared("domains", pair, {name: splits[name].domain for name in pair}) for pair in pairs]
    return [leak for leak in [*_near_duplicates(splits, pairs), *found] if leak.count]


def cut_conversations(splits: Mapping[str, Samples]) -> list[Leak]:
    """The conversations that lie in two splits, as in ``leaks``."""
    said = {name: one.utterances.conversation for name, one in splits.items() if one.utterances is not None}
    pairs = combinations([name for name in SPLITS if name in said], 2)
    found = [_shared("conversations", pair, {name: said[name] for name in pair}) for pair in pairs]
    return [leak for leak in found if leak.count]


def groups_of(samples: Samples) -> np.ndarray:
    """The group of every sample, str [samples]: as stated, else the video in its id; empty where it has none."""
    if samples.group is not None:
        return samples.group
    parts = (str(name).rpartition("$_$") for name in samples.sample_id)
    return np.array([video for video, _, _ in parts], dtype=str)


def _shared(kind: Kind, splits: tuple[str, str], names: Mapping[str, np.ndarray]) -> Leak:
    one, two = ({str(name) for name in names[split]} - {""} for split in splits)
    both = sorted(one & two)
    return Leak(kind, splits, len(both), len(two), tuple(both[:NAMED]))


@dataclass(frozen=True)
class _Scale:
    """How a modality is standardised and projected.

    Attributes:
        mean, sd: [feature], over all valid steps.
        varies: [feature], bool: others are left out.
        matrix: [features that vary, SKETCH], standard normal.
        signs: [steps, SKETCH], -1 or 1.
    """

    mean: np.ndarray
    sd: np.ndarray
    varies: np.ndarray
    matrix: np.ndarray
    signs: np.ndarray

    @property
    def width(self) -> int:
        """The number of features that vary."""
        return len(self.mean)

    def standardized(self, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Features [n, time, feature] in deviations, float32, 0 at steps that are not valid: the mean."""
        values = (features[..., self.varies].astype(np.float32) - self.mean) / self.sd
        return np.clip(values, -_LIMIT, _LIMIT) * mask[..., None]

    def sketch(self, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """[n, SKETCH] float32: distances in it are those of the standardised features, on average."""
        values = self.standardized(features, mask)
        projected = (values.reshape(-1, self.width) @ self.matrix).reshape(*mask.shape, SKETCH)
        return np.einsum("nts,ts->ns", projected, self.signs[: mask.shape[1]]) / math.sqrt(SKETCH)


def _scale(name: str, splits: Mapping[str, Samples]) -> _Scale:
    """The scale of a modality, from the valid steps of all splits; nothing is selected or trained with it."""
    count, total, squares = 0, np.zeros(0), np.zeros(0)
    for samples in splits.values():
        for rows in _pieces(samples.features[name]):
            valid = samples.features[name][rows][samples.mask[name][rows]].astype(np.float64)
            count += len(valid)
            total = total + valid.sum(axis=0) if len(total) else valid.sum(axis=0)
            squares = squares + (valid**2).sum(axis=0) if len(squares) else (valid**2).sum(axis=0)
    mean = total / max(count, 1)
    sd = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    varies = sd > 1e-6 * np.maximum(np.abs(mean), 1e-6)
    draw = np.random.default_rng(0)
    steps = max(samples.features[name].shape[1] for samples in splits.values())
    return _Scale(
        mean[varies].astype(np.float32),
        sd[varies].astype(np.float32),
        varies,
        draw.standard_normal((int(varies.sum()), SKETCH), dtype=np.float32),
        draw.choice(np.array([-1, 1], np.float32), (steps, SKETCH)),
    )


def _pieces(features: np.ndarray) -> Iterator[slice]:
    """Rows of an array [samples, ...], few enough to be held in another type."""
    size = max(1, VALUES // max(1, math.prod(features.shape[1:])))
    return (slice(start, start + size) for start in range(0, len(features), size))


@dataclass(frozen=True)
class _Sketched:
    """Some samples of a split, small.

    Attributes:
        rows: [n], their places in the split.
        sketches: modality -> [n, SKETCH], float32.
        steps: modality -> [n], float32, the number of valid steps; 0 where the sample lacks the modality.
    """

    rows: np.ndarray
    sketches: Mapping[str, np.ndarray]
    steps: Mapping[str, np.ndarray]

    def take(self, rows: np.ndarray | slice) -> _Sketched:
        """Some of them."""
        sketches = {name: values[rows] for name, values in self.sketches.items()}
        return _Sketched(
            self.rows[rows], sketches, {name: values[rows] for name, values in self.steps.items()}
        )


def _near_duplicates(splits: Mapping[str, Samples], pairs: list[tuple[str, str]]) -> Iterator[Leak]:
    first = next(iter(splits.values()))
    scales = {name: _scale(name, splits) for name in first.features}
    scales = {name: scale for name, scale in scales.items() if scale.width}
    small = {split: _sketched(samples, scales) for split, samples in splits.items()}
    for one, two in pairs:
        sought = small[two]
        most = max(1, PAIRS // max(1, len(small[one].rows)))
        if len(sought.rows) > most:
            sought = sought.take(np.linspace(0, len(sought.rows) - 1, most).astype(np.int64))
        near = _nearest(small[one], sought, scales)
        known, ids = [], (splits[one].sample_id, splits[two].sample_id)
        for row, other in near:
            distance, width = _distance(splits[one], row, splits[two], other, scales)
            if distance < (NEAR if width >= WIDE else EQUAL):
                known.append(f"{ids[0][row]} ({one}) and {ids[1][other]} ({two}), distance {distance:.2f}")
        yield Leak("samples", (one, two), len(known), len(sought.rows), tuple(known[:NAMED]))


def _sketched(samples: Samples, scales: Mapping[str, _Scale]) -> _Sketched:
    sketches, steps = {}, {}
    for name, scale in scales.items():
        features, mask = samples.features[name], samples.mask[name]
        parts = [scale.sketch(features[rows], mask[rows]) for rows in _pieces(features)]
        sketches[name] = np.concatenate(parts)
        steps[name] = (mask.sum(axis=1) * samples.present[name]).astype(np.float32)
    return _Sketched(np.arange(len(samples)), sketches, steps)


def _nearest(known: _Sketched, sought: _Sketched, scales: Mapping[str, _Scale]) -> list[tuple[int, int]]:
    """Places of a sample of ``known`` and one of ``sought`` that may be near-duplicates: for each of the latter the
    one whose sketch is nearest, where that is near enough."""
    candidates: list[tuple[int, int]] = []
    limit = (SLACK * NEAR) ** 2
    size = max(1, VALUES // max(1, len(known.rows)))
    for start in range(0, len(sought.rows), size):
        part = sought.take(slice(start, start + size))
        squares = _squares(known, part, scales)
        best = squares.argmin(axis=1)
        near = squares[np.arange(len(best)), best] < limit
        candidates += zip(known.rows[best[near]].tolist(), part.rows[near].tolist(), strict=True)
    return candidates


def _squares(known: _Sketched, part: _Sketched, scales: Mapping[str, _Scale]) -> np.ndarray:
    """[part, known]: the largest squared distance of the modalities that both have; infinite where there is none."""
    worst = np.full((len(part.rows), len(known.rows)), -1.0, np.float32)
    for name, scale in scales.items():
        one, two = part.sketches[name], known.sketches[name]
        squares = one @ two.T
        squares *= -2
        squares += (one**2).sum(axis=1)[:, None]
        squares += (two**2).sum(axis=1)
        lengths = np.maximum(part.steps[name][:, None], known.steps[name])
        squares /= 2 * scale.width * np.maximum(lengths, 1)
        both = (part.steps[name] > 0)[:, None] & (known.steps[name] > 0)
        np.maximum(worst, np.maximum(squares, 0), out=worst, where=both)
    worst[worst < 0] = np.inf
    return worst


def _distance(
    one: Samples, row: int, two: Samples, other: int, scales: Mapping[str, _Scale]
) -> tuple[float, int]:
    """The largest distance of the modalities that two samples have, and how many features those have."""
    worst, width = 0.0, 0
    for name, scale in scales.items():
        if not (one.present[name][row] and two.present[name][other]):
            continue
        left, right = (
            scale.standardized(samples.features[name][[place]], samples.mask[name][[place]])[0]
            for samples, place in ((one, row), (two, other))
        )
        steps = max(len(left), len(right))
        left, right = (np.pad(part, ((0, steps - len(part)), (0, 0))) for part in (left, right))
        valid = max(int(one.mask[name][row].sum()), int(two.mask[name][other].sum()))
        square = float(((left - right) ** 2).sum()) / (2 * scale.width * valid)
        worst, width = max(worst, math.sqrt(square)), width + scale.width
    return worst, width
