"""The real CMU-MOSI features, described by a ``dataset.yaml``. Skipped where the file is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmbench.datasets.dataset import Located, Samples
from mmbench.datasets.mosi import Mosi
from mmbench.datasets.verify import verify
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

DESCRIPTION = """
title: CMU-MOSI, binary, without vision
file: $MMBENCH_TEST_FILE
modalities:
  text: {array: text, length: text_length}
  audio: audio
task: {kind: classification, classes: [negative, positive]}
label: label
split: {array: split, values: {0: train, 1: valid, 2: test}}
video: video_id
clip: clip_id
"""


@pytest.fixture
def located(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Located:
    """The dataset ``mosi`` on the real file."""
    monkeypatch.setenv("MMBENCH_TEST_FILE", str(real_data / "mosi-real.npz"))
    (tmp_path / "mosi").mkdir()
    (tmp_path / "mosi" / "dataset.yaml").write_text(DESCRIPTION)
    return Mosi().locate(tmp_path)


def pooled(samples: Samples, modality: str) -> np.ndarray:
    """The mean over all steps, padding included, as the reference figure was made."""
    return samples.features[modality].astype(np.float32).mean(axis=1)


def test_the_real_file_is_what_its_description_says(located: Located) -> None:
    assert (located.format, located.synthetic, located.modalities) == ("open", False, ("text", "audio"))
    found = located.load()
    assert [len(part) for part in found.values()] == [1284, 229, 686]
    test = found["test"]
    assert round(float(np.bincount(test.target).max() / len(test)), 4) == 0.5525
    assert test.features["text"].shape == (686, 32, 384)
    assert test.features["text"].dtype == np.float16
    assert all(part.present[name].all() for part in found.values() for name in located.modalities)
    for part in found.values():
        rows = np.flatnonzero(part.previous >= 0)
        video, clip = np.array([name.split("$_$") for name in part.sample_id]).T
        before = part.previous[rows]
        np.testing.assert_array_equal(video[rows], video[before])
        assert (clip[before].astype(int) < clip[rows].astype(int)).all()
        assert len(part) - len(rows) == len(set(video.tolist()))  # the first of each video has none
    assert [finding.status for finding in verify(located, Mosi())][:3] == ["ok"] * 3


@pytest.mark.parametrize(("modalities", "expected"), [(("text",), 0.787), (("text", "audio"), 0.771)])
def test_a_linear_probe_reaches_the_known_accuracy(
    located: Located, modalities: tuple[str, ...], expected: float
) -> None:
    found = located.load()
    train, test = (
        np.concatenate([pooled(found[split], name) for name in modalities], axis=1)
        for split in ("train", "test")
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=2000))
    accuracy = model.fit(train, found["train"].target).score(test, found["test"].target)
    assert accuracy == pytest.approx(expected, abs=0.01)
