"""Valence by a regression on the scores of another dataset, whose features are of the same encoder. No torch: features are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...datasets.dataset import Located, Samples
from ...datasets.layout.affect import mean_steps
from ...datasets.layout.open_layout import LocatedFolder
from ...datasets.layout.origin import Encoding
from ...regimes.observe import RIDGE
from ...regimes.observe.ridge import errors, fit_ridge
from ...regimes.segmenter import SegmenterError
from ..core.errors import UsageError
from ..core.locate import locate


@dataclass(frozen=True)
class Regression:
    """What is said of a regression that gives valence.

    Attributes:
        dataset: whose scores it is fitted to.
        fingerprint: of that dataset.
        modality: whose features of that dataset.
        encoder: that made these, and those of the conversations; empty where neither dataset names one.
        trained, validated, tested: samples of each part.
        penalty: the factor of the squared coefficients, per training sample; chosen by the validation part.
        mae: the mean absolute error of the test part, in units of the score.
        mae_of_mean: that of the mean of the training scores.
        r: the correlation of predictions and scores of the test part.
    """

    dataset: str
    fingerprint: str
    modality: str
    encoder: str
    trained: int
    validated: int
    tested: int
    penalty: float
    mae: float
    mae_of_mean: float
    r: float

    def __str__(self) -> str:
        encoder = f" of {self.encoder}" if self.encoder else ""
        return (
            f"ridge regression of the scores of {self.dataset} on features {self.modality}{encoder}: {self.trained} samples train, "
            f"{self.validated} choose the penalty {self.penalty:.3g}; on {self.tested} test samples mean absolute error {self.mae:.3f} "
            f"(the mean score: {self.mae_of_mean:.3f}), correlation {self.r:.3f}"
        )


def valence_by_ridge(
    conversations: LocatedFolder,
    modality: str,
    vectors: np.ndarray,
    scored: str,
    root: Path,
    plugins: tuple[Path, ...] = (),
) -> tuple[np.ndarray, Regression]:
    """Predicts the valence of utterances by a regression that has seen none of them.

    Args:
        conversations: the dataset that is segmented.
        modality: whose features are read.
        vectors: [samples, features], these features; NaN of an utterance that has none.
        scored: the dataset that has scores.
        root: the folder of the datasets.
        plugins: files that bring datasets.

    Returns:
        [samples, 2], the predicted score as valence, and no arousal; and what is to be said of the regression.

    Raises:
        UsageError: the dataset with scores does not fit.
        DataError: it cannot be read.
    """
    asked = f"--observe {modality}={RIDGE}:{scored}"
    other = locate(scored, root, plugins=plugins)
    if set(other.files) & set(conversations.files):
        raise UsageError(f"{asked}: these are the conversations that are segmented; name another dataset")
    if other.target.kind != "regression":
        raise UsageError(f"{asked}: the task of {scored} is {other.target.kind}: scores are expected")
    name, encoder = _same_features(asked, conversations, modality, other)
    splits = other.load()
    parts = {split: (_means(samples, name), samples.target) for split, samples in splits.items()}
    width = parts["train"][0].shape[1]
    if width != vectors.shape[1]:
        raise UsageError(
            f"{asked}: {name} of {scored} has {width} features, and {modality} has {vectors.shape[1]}"
        )
    try:
        fitted = fit_ridge(*parts["train"], *parts["valid"])
        features, scores = parts["test"]
        found = errors(fitted.predict(features), scores.astype(np.float64), fitted.bias)
    except SegmenterError as error:
        raise UsageError(f"{asked}: {error}") from None
    said = Regression(
        scored, other.fingerprint(), name, encoder, fitted.trained, fitted.validated, int(found["samples"]),
        fitted.penalty, found["mae"], found["mae_of_mean"], found["r"],
    )  # fmt: skip
    valence = fitted.predict(vectors)
    return np.stack([valence, np.full(len(valence), np.nan)], axis=1), said


def _means(samples: Samples, modality: str) -> np.ndarray:
    return mean_steps(samples.features[modality], samples.mask[modality])


def _same_features(
    asked: str, conversations: LocatedFolder, modality: str, other: Located
) -> tuple[str, str]:
    """The modality of the dataset with scores whose features are of the same encoder, and the encoder as it was asked for. One of
    the same name goes before others. Where neither dataset says how it was encoded, a modality of the same name is taken."""
    own = _encodings(conversations).get(modality)
    theirs = _encodings(other)
    identity = own.identity if own else None
    fitting = [
        name for name in other.modalities if (theirs[name].identity if name in theirs else None) == identity
    ]
    if modality in fitting:
        return modality, own.encoder if own else ""
    if own and len(fitting) == 1:
        return fitting[0], own.encoder
    here = own.encoder if own else "nothing that dataset.yaml names"
    there = ", ".join(
        f"{name} by {theirs[name].encoder if name in theirs else 'nothing named'}"
        for name in other.modalities
    )
    raise UsageError(
        f"{asked}: {modality} was encoded by {here}, and of {other.name} {there}: encode both alike"
    )


def _encodings(located: Located) -> Mapping[str, Encoding]:
    """Modality -> how it was encoded, where the dataset says so."""
    media = located.description.media if isinstance(located, LocatedFolder) else None
    return media.modalities if media else {}
