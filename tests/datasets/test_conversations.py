"""Conversations in the open layout: read, written, checked, and looked for in two splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.datasets.conversations import numbered
from mmbench.datasets.dataset import DataError, Utterances
from mmbench.datasets.layout.convert import convert
from mmbench.datasets.layout.open_layout import locate_open
from mmbench.datasets.leaks import leaks
from mmbench.datasets.verify import verify

from ..benchmark.dialogues import dialogue_arrays, write_dialogues

ARRAYS = dialogue_arrays()


def load(folder: Path, arrays: dict[str, np.ndarray] | None = None, **entries: Any):
    write_dialogues(folder / "talk", arrays=arrays, **entries)
    return locate_open(folder / "talk" / "dataset.yaml")


def test_each_sample_says_where_it_stands_and_the_previous_utterance_is_known(tmp_path: Path) -> None:
    located = load(tmp_path)
    assert located.has_conversations
    train = located.load()["train"]
    rows = np.flatnonzero(ARRAYS["split"] == 0)
    said = train.utterances
    assert said is not None
    np.testing.assert_array_equal(said.conversation, ARRAYS["dialogue"][rows])
    np.testing.assert_array_equal(said.order, ARRAYS["turn"][rows].astype(float))
    np.testing.assert_array_equal(said.speaker, ARRAYS["speaker"][rows])
    for row, before in enumerate(train.previous):
        earlier = (said.conversation == said.conversation[row]) & (said.order == said.order[row] - 10)
        assert np.flatnonzero(earlier).tolist() == ([before] if before >= 0 else [])
    assert (train.previous >= 0).any()
    assert not any(leak.kind == "conversations" for leak in leaks(located.load()))


def test_without_the_key_nothing_is_said(tmp_path: Path) -> None:
    located = load(tmp_path, conversation=None)
    assert not located.has_conversations
    assert all(one.utterances is None for one in located.load().values())
    assert located.fingerprint() != load(tmp_path / "with").fingerprint()


def test_they_survive_conversion(tmp_path: Path) -> None:
    located = load(tmp_path)
    convert(located, tmp_path / "again")
    again = locate_open(tmp_path / "again" / "dataset.yaml")
    assert again.has_conversations
    for split, samples in located.load().items():
        found = again.load()[split].utterances
        assert samples.utterances is not None
        assert found is not None
        for name, values in vars(samples.utterances).items():
            np.testing.assert_array_equal(getattr(found, name), values)


def test_a_validation_part_is_drawn_by_whole_conversations(tmp_path: Path) -> None:
    split = {"array": "split", "values": {0: "train", 1: "train", 2: "test"}}
    more: dict[str, Any]
    for place, more in enumerate(({}, {"valid": {"share": 0.3}})):
        found = load(tmp_path / str(place), split=split, **more).load()
        assert 0.1 < len(found["valid"]) / (len(found["valid"]) + len(found["train"])) < 0.4
        assert not any(leak.kind == "conversations" for leak in leaks(found))


def changed(name: str, row: int, value: object) -> dict[str, np.ndarray]:
    array = ARRAYS[name].astype(object)
    array[row] = value
    return {name: array.astype(ARRAYS[name].dtype if not isinstance(value, float) else float)}


TWICE = int(np.flatnonzero(ARRAYS["turn"] == 10)[0])
BAD: dict[str, tuple[dict[str, np.ndarray], dict[str, Any], str]] = {
    "order repeats": (changed("turn", TWICE, 0), {}, "conversation/order: 0 occurs again in conversation"),
    "no order": (changed("turn", 3, float("nan")), {}, "conversation/order: not one finite number"),
    "order as text": ({"turn": ARRAYS["speaker"]}, {}, "conversation/order: an array of type"),
    "no speaker": (changed("speaker", 3, ""), {}, "conversation/speaker: none (sample"),
    "no conversation": (changed("dialogue", 3, ""), {}, "conversation/id: none (sample"),
    "speaker not said": ({}, {"conversation": {"id": "dialogue", "order": "turn"}}, "conversation/speaker: missing"),
    "unknown": ({}, {"conversation": {"id": "dialogue", "turn": "turn"}}, "conversation: unknown entry 'turn'"),
    "not a map": ({}, {"conversation": "dialogue"}, "conversation: 'dialogue'; expected a map"),
    "no such array": (
        {}, {"conversation": {"id": "dialog", "order": "turn", "speaker": "speaker"}}, "dialog",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line_that_names_the_entry(tmp_path: Path, case: str) -> None:
    arrays, entries, expected = BAD[case]
    with pytest.raises(DataError) as caught:
        load(tmp_path, arrays, **entries).load()
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_where_nobody_says_who_speaks_all_are_one(tmp_path: Path) -> None:
    said = {"id": "dialogue", "order": "turn", "speaker": "none"}
    unnamed = {name: values for name, values in ARRAYS.items() if name != "speaker"}
    plain = load(tmp_path / "plain", unnamed, conversation=said).load()
    for samples, other in zip(plain.values(), load(tmp_path / "named").load().values(), strict=True):
        assert samples.utterances is not None
        assert other.utterances is not None
        assert len(set(samples.utterances.speaker.tolist())) == 1
        assert samples.utterances.order.tolist() == other.utterances.order.tolist()


def test_a_conversation_in_two_splits_is_a_leak(tmp_path: Path) -> None:
    long = np.flatnonzero((ARRAYS["split"] == 0) & (ARRAYS["turn"] > 0))
    split = ARRAYS["split"].copy()
    split[long[:2]] = 2
    located = load(tmp_path, {"split": split})
    names = set(ARRAYS["dialogue"][long[:2]])
    (leak,) = (one for one in leaks(located.load()) if one.kind == "conversations")
    assert (leak.splits, leak.count, set(leak.examples)) == (("train", "test"), len(names), names)
    (finding,) = (one for one in verify(located) if one.what == "conversations in train and test")
    assert finding.status == "warning"


def test_numbers_count_conversations_as_they_occur_and_speakers_as_they_speak() -> None:
    said = Utterances(
        np.array(["z", "a", "z", "a", "z"]), np.array([2.0, 1, 1, 5, 3]), np.array(["x", "x", "y", "x", "w"])
    )
    number, place, speaker = numbered(said)
    assert number.tolist() == [0, 1, 0, 1, 0]
    assert place.tolist() == [1, 0, 0, 3, 2]
    assert speaker.tolist() == [1, 0, 0, 0, 2]
