"""Valence of conversations by a regression on the scores of another dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.segmentation.corpus import parse_observe, read_corpus
from mmbench.benchmark.segmentation.results import records, regressions_of
from mmbench.benchmark.segmentation.run import plan_regimes, run_regimes
from mmbench.datasets.layout.origin import KEYS

#: The direction in which the features of text tell its valence.
DIRECTION = np.array([1.0, -2.0, 0.5, 0.0])
SCORES = {"kind": "regression", "range": [-9, 9]}
CLASSES = {"kind": "classification", "classes": ["low", "high"]}
TALKS: dict[str, Any] = {"split": "none", "conversation": {"id": "talk", "order": "turn", "speaker": "none"}}
SPLIT: dict[str, Any] = {"split": {"array": "split", "values": {"0": "train", "1": "valid", "2": "test"}}}


def write(
    root: Path,
    name: str,
    task: Mapping[str, Any],
    arrays: Mapping[str, Any],
    *,
    encoder: str = "",
    modality: str = "text",
    **more: Any,
) -> None:
    """Writes a dataset whose features are made by the encoder, where one is named."""
    folder = root / name
    folder.mkdir(parents=True)
    np.savez(folder / "all.npz", **arrays)
    about: dict[str, Any] = {
        "file": "all.npz", "modalities": {modality: {"array": "features", "mask": "mask"}}, "task": dict(task),
        "label": "label", **more,
    }  # fmt: skip
    if encoder:
        encoded = {"medium": "text", "encoder": encoder, "identity": {"encoder": encoder}}
        about["media"] = {**dict.fromkeys(KEYS, ""), "problems": 0, "modalities": {modality: encoded}}
    (folder / "dataset.yaml").write_text(yaml.safe_dump(about))


def scored(count: int = 90, width: int = 4) -> dict[str, np.ndarray]:
    """Samples whose score is the direction of the mean of two steps, but for noise; a third step is padding."""
    rng = np.random.default_rng(1)
    features = rng.standard_normal((count, 3, width)).astype(np.float32)
    mask = np.tile([True, True, False], (count, 1))
    label = features[:, :2].mean(axis=1) @ np.resize(DIRECTION, width) + 0.1 * rng.standard_normal(count)
    features[~mask] = 0
    return {
        "features": features,
        "mask": mask,
        "label": label.astype(np.float32),
        "split": np.arange(count) % 3,
    }


def talks() -> dict[str, np.ndarray]:
    """Four conversations of 10 utterances in a random order, positive in their second halves; one utterance is without features."""
    rng = np.random.default_rng(2)
    label = np.tile(np.repeat([0, 1], 5), 4)
    features = (2 * label - 1)[:, None] * DIRECTION + 0.3 * rng.standard_normal((40, 4))
    mask = np.ones((40, 1), bool)
    mask[7] = False
    features[7] = 0
    order = rng.permutation(40)
    found = {
        "features": features[:, None].astype(np.float32), "mask": mask, "label": np.array(["low", "high"])[label],
        "talk": np.repeat(["a", "b", "c", "d"], 10), "turn": np.tile(np.arange(10), 4),
    }  # fmt: skip
    return {name: array[order] for name, array in found.items()}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder, "talks", CLASSES, talks(), encoder="small", **TALKS)
    write(folder, "reviews", SCORES, scored(), encoder="small", **SPLIT)
    write(folder, "films", SCORES, scored(), encoder="small", modality="words", **SPLIT)
    write(folder, "other", SCORES, scored(), encoder="large", **SPLIT)
    write(folder, "own", SCORES, scored(), **SPLIT)
    write(folder, "plain", CLASSES, talks(), **TALKS)
    write(folder, "wide", SCORES, scored(width=5), **SPLIT)
    return folder


def test_each_utterance_has_the_valence_of_its_own_features(root: Path):
    corpus = read_corpus("talks", root, {"text": "ridge:reviews"})
    assert corpus.observe == "text=ridge:reviews"
    assert corpus.columns == ["text.valence", "text.arousal"]
    assert corpus.labels is not None
    for one, label in zip(corpus.conversations, corpus.labels, strict=True):
        valence, arousal = one.observed[:, 0].T
        seen = np.isfinite(valence)
        assert seen.sum() == (9 if one.id == "a" else 10)
        assert not np.isfinite(valence[7]) or one.id != "a"
        assert (np.sign(valence[seen]) == 2 * label[seen] - 1).all()
        assert np.isnan(arousal).all()


def test_what_the_regression_is_worth_is_recorded_and_told(root: Path, tmp_path: Path):
    """The words of its encoder are no name: features of the same encoder are found under another one."""
    for name in ("reviews", "films"):
        planned = plan_regimes(
            ["constant"], ["talks"], [0, 1], 2, f"text=ridge:{name}", root, tmp_path / name
        )
        (said,) = planned.regressions
        assert [one.reason for one in run_regimes(planned, 1)] == ["", ""]
        found = records(tmp_path / name)
        assert regressions_of(found) == [said]
        stated = found[0].folder.read_object("fit.json")["regressions"]["text"]
        assert (stated["trained"], stated["validated"], stated["tested"]) == (30, 30, 30)
        assert stated["modality"] == ("text" if name == "reviews" else "words")
        assert stated["r"] > 0.95
        assert stated["mae"] < 0.2 < stated["mae_of_mean"]
        assert (
            f"of small: 30 samples train, 30 choose the penalty {stated['penalty']:.3g}; on 30 test samples"
            in said
        )
    own = plan_regimes(["constant"], ["plain"], [0], 0, "text=ridge:own", root, tmp_path)
    assert "features text: 30 samples train" in own.regressions[0]


@pytest.mark.parametrize(
    ("dataset", "observe", "message"),
    [
        ("talks", "text=ridge:talks", "these are the conversations that are segmented"),
        ("talks", "text=ridge:plain", "the task of plain is classification: scores are expected"),
        ("talks", "text=ridge:other", "text was encoded by small, and of other text by large: encode both alike"),
        ("talks", "text=ridge:own", "text was encoded by small, and of own text by nothing named"),
        ("plain", "text=ridge:reviews", "text was encoded by nothing that dataset.yaml names, and of reviews"),
        ("plain", "text=ridge:wide", "text of wide has 5 features, and text has 4"),
        ("talks", "voice=ridge:reviews", "dataset talks has no such modality"),
        ("talks", "text=ridge:nothing", "unknown dataset 'nothing'"),
        ("talks", "text=ridge", "name the dataset whose scores it is fitted to"),
        ("talks", "text=ridge:", "name the dataset whose scores it is fitted to"),
        ("talks", "text=rigde:reviews", "unknown observer 'rigde:reviews'"),
    ],
)  # fmt: skip
def test_a_regression_that_cannot_be_is_one_line(root: Path, dataset: str, observe: str, message: str):
    with pytest.raises(UsageError, match=message) as raised:
        read_corpus(dataset, root, parse_observe(observe))
    assert "\n" not in str(raised.value)
