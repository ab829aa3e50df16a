"""The entry ``regimes`` of a ``dataset.yaml``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmbench.datasets.dataset import DataError
from mmbench.datasets.layout.affect import read_affect
from mmbench.datasets.layout.open_layout import locate_open
from mmbench.datasets.layout.write import write_open_layout
from mmbench.datasets.samples import take_rows

YAML = """
file: talks.npz
modalities: {{text: words}}
task: {{kind: classification, classes: [sad, glad]}}
label: label
split: none
conversation: {{id: talk, order: turn, speaker: who}}
{regimes}
"""
REGIMES = """regimes:
  text: {transcript: said}
  audio: {waveform: wave, length: ends, rate: 8000}
  face: {valence: v, arousal: a}
"""


def write(folder: Path, regimes: str = REGIMES, **more: np.ndarray) -> Path:
    arrays = {
        "words": np.ones((5, 1), np.float32),
        "label": np.array(["sad", "glad", "sad", "sad", "glad"]),
        "talk": np.array(["b", "b", "a", "a", "a"]),
        "turn": np.array([2, 1, 1, 2, 3]),
        "who": np.array(["x", "y", "x", "y", "x"]),
        "said": np.array(["good", "bad", "", "fine", "so"]),
        "wave": np.zeros((5, 8)),
        "ends": np.full(5, 8),
        "v": np.array([0.1, np.nan, 0.3, 0.4, 0.5]),
        "a": np.zeros(5),
    }
    np.savez(folder / "talks.npz", **{**arrays, **more})
    (folder / "dataset.yaml").write_text(YAML.format(regimes=regimes))
    return folder / "dataset.yaml"


def test_everything_that_is_stated_is_read(tmp_path: Path):
    located = locate_open(write(tmp_path))
    found = read_affect(located.name, located.description)
    assert found.utterances.conversation.tolist() == ["b", "b", "a", "a", "a"]
    assert found.target.tolist() == [0, 1, 0, 0, 1]
    assert found.arrays["text"]["transcript"].tolist()[0] == "good"
    assert np.isnan(found.arrays["face"]["valence"][1])
    assert found.rates == {"audio": 8000.0}


def test_networks_and_their_jobs_do_not_notice_the_entry(tmp_path: Path):
    file = write(tmp_path)
    with_it = locate_open(file).fingerprint()
    file.write_text(YAML.format(regimes=""))
    assert locate_open(file).fingerprint() == with_it


@pytest.mark.parametrize(
    ("regimes", "message"),
    [
        ("", "regimes: missing"),
        ("regimes: {}", "regimes: none"),
        ("regimes: {text: {transcript: nope}}", "nope"),
        ("regimes: {text: {words: said}}", "unknown entry 'words'"),
        ("regimes: {text: {length: ends}}", "no array"),
        ("regimes: {audio: {waveform: wave}}", "rate"),
        ("regimes: {audio: {waveform: wave, rate: 8}}", "1000 or more"),
        ("regimes: {text: {valence: v, rate: 8000}}", "rate"),
        ("regimes: {text: {transcript: v}}", "transcript"),
        ("regimes: {text: {valence: said}}", "expected numbers"),
        ("regimes: {text: {valence: short}}", "short: 3 samples; expected 5"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, regimes: str, message: str):
    file = write(tmp_path, regimes, short=np.zeros(3))
    with pytest.raises(DataError, match=message) as raised:
        read_affect("talks", locate_open(file).description)
    assert "\n" not in str(raised.value)


def test_without_conversations_there_are_no_regimes(tmp_path: Path):
    file = write(tmp_path)
    file.write_text(file.read_text().replace("conversation:", "# conversation:"))
    with pytest.raises(DataError, match="conversation: missing"):
        read_affect("talks", locate_open(file).description)


def test_transcripts_are_written_beside_what_networks_read(tmp_path: Path):
    """With parts and without: each utterance keeps its text, and the fingerprint does not depend on them."""
    located = locate_open(write(tmp_path))
    whole = located.load()["train"]
    texts = np.array(["good", "bad", "", "fine", "so"])
    halves = {"train": [0, 1, 2], "test": [3, 4]}
    for name, rows in (("undivided", {"train": [0, 1, 2, 3, 4]}), ("divided", halves)):
        splits = {split: take_rows(whole, np.array(chosen)) for split, chosen in rows.items()}
        said = {split: {"text": texts[chosen]} for split, chosen in rows.items()}
        write_open_layout(tmp_path / name, splits, located.target, transcripts=said)
        write_open_layout(tmp_path / f"{name}-without", splits, located.target)
        found, without = (locate_open(tmp_path / one / "dataset.yaml") for one in (name, f"{name}-without"))
        assert found.fingerprint() == without.fingerprint()
        read = read_affect(found.name, found.description)
        assert read.arrays["text"]["transcript"].tolist() == texts.tolist()
        assert read.utterances.conversation.tolist() == ["b", "b", "a", "a", "a"]
