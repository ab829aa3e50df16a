"""Data that a contract cannot take, as a user meets them: one line of the command, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ..conftest import Call

COUNT = 60
SESSIONS = np.arange(COUNT) // 15
NAN = np.zeros((COUNT, 4, 3), np.float32)
NAN[3, 1, 2] = np.nan
BACK = np.tile(np.arange(4.0), (COUNT, 1))
BACK[7, 2] = 0.5
TIMED = {"text": {"array": "text", "time": {"array": "hours", "unit": "hours"}}}
LEFT_OUT = ("--folds", "leave-one-out", "--fold-group", "session")

FAULTS: dict[str, tuple[dict[str, np.ndarray], dict[str, Any], tuple[str, ...], str]] = {
    "NaN that is not declared": (
        {"text": NAN}, {}, (),
        "train/text: 1 value is not finite (nan), first at sample 3, step 1, feature 2; expected finite numbers, or "
        "'missing: nan' at the modality in dataset.yaml, where NaN is an entry that was not observed",
    ),
    "times that run back": (
        {"hours": BACK}, {"modalities": TIMED}, (),
        "train/hours: times run back from 1 to 0.5 (sample 7, step 2); expected times that never run back within a sample",
    ),
    "a fold with one class": (
        {"label": (np.arange(COUNT) >= 45).astype(int)}, {"domain": "session", "split": "none"}, LEFT_OUT,
        "bad: fold 1 of 4 would be trained on one class alone, no, as class yes has 15 samples (15 validated there): "
        "use fewer folds, or another --fold-group",
    ),
    "one class": (
        {"label": np.zeros(COUNT, int)}, {}, (),
        "task bad: all training samples are of class no, so there is nothing to learn: add samples with other labels, or "
        "leave the task out",
    ),
    "a group in two folds": (
        {"session": np.arange(COUNT) % 4}, {"group": "speaker", "domain": "session", "split": "none"}, LEFT_OUT,
        "bad: speaker 'p0' lies in two folds by session; use --fold-group speaker, or correct one of them",
    ),
    "token ids that are none": (
        {"ids": np.full((COUNT, 4), 0.5)}, {"modalities": {"text": {"array": "text", "tokens": "ids"}}}, (),
        "train/ids: 0.5 (sample 0, position 0); expected token ids: whole numbers from 0",
    ),
    "a place that repeats in a conversation": (
        {"turn": np.zeros(COUNT)}, {"conversation": {"id": "session", "order": "turn", "speaker": "speaker"}}, (),
        "train/conversation/order: 0 occurs again in conversation 0 (samples 0 and 1); expected each place once",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_bad_input_is_one_line_and_nothing_is_written(call: Call, tmp_path: Path, name: str) -> None:
    arrays, entries, flags, words = FAULTS[name]
    folder = tmp_path / "data" / "bad"
    folder.mkdir(parents=True)
    known = {
        "text": np.random.default_rng(0).normal(size=(COUNT, 4, 3)),
        "label": np.arange(COUNT) % 2,
        "split": np.repeat([0, 1, 2], 20),
        "speaker": np.array([f"p{row // 5}" for row in range(COUNT)]),
        "session": SESSIONS,
    }
    np.savez(folder / "all.npz", **{**known, **arrays})  # pyright: ignore[reportArgumentType]
    about = {
        "file": "all.npz",
        "modalities": {"text": "text"},
        "task": {"kind": "classification", "classes": ["no", "yes"]},
        "label": "label",
        "split": {"array": "split", "values": {0: "train", 1: "valid", 2: "test"}},
        **entries,
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(about))
    store = tmp_path / "runs"
    place = ("--data-root", tmp_path / "data", "--store", store, "--launcher", "debug", "--seeds", "0")
    code, said = call("run", "--methods", "majority", "--datasets", "bad", *flags, *place)
    assert code == 2, said
    (line,) = (one for one in said.splitlines() if not one.startswith("1 job, "))
    assert line.startswith("mmbench: ")
    assert words in line
    assert not store.exists()
