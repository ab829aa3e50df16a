from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.datasets.dataset import SYNTHETIC_MARK, DataError, Samples
from mmbench.datasets.mosi import Mosi
from mmbench.datasets.pickles.mmsa import locate_pickle

Content = dict[str, Any]


def write(folder: Path, content: object, name: str = "mosi.pkl") -> Path:
    file = folder / name
    file.write_bytes(pickle.dumps(content, protocol=4))
    return file


def load(folder: Path, content: object, name: str = "mosi.pkl") -> dict[str, Samples]:
    return locate_pickle("mosi", write(folder, content, name), Mosi.target).load()


@pytest.mark.parametrize("protocol", range(6))
def test_values_arrive_as_they_are(tmp_path: Path, content: Content, protocol: int) -> None:
    file = tmp_path / "mosi.pkl"
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    found = locate_pickle("mosi", file, Mosi.target).load()
    assert list(found) == ["train", "valid", "test"]
    for split, samples in found.items():
        for name in ("text", "audio", "vision"):
            assert samples.features[name].dtype == np.float32
            assert type(samples.features[name]) is np.ndarray
            assert samples.features[name].flags.writeable
            np.testing.assert_array_equal(samples.features[name], content[split][name])
        np.testing.assert_array_equal(samples.target, content[split]["regression_labels"])
        assert samples.sample_id.tolist() == content[split]["id"]
        assert set(samples.domain.tolist()) == {"mosi"}


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("aligned_50.pkl", "mmsa-aligned"),
        ("unaligned_50.pkl", "mmsa-unaligned"),
        ("mosi.pkl", "casp"),
        ("x.pkl", "casp"),
    ],
)
def test_format_follows_the_name(tmp_path: Path, content: Content, name: str, format: str) -> None:
    assert locate_pickle("mosi", write(tmp_path, content, name), Mosi.target).format == format


def test_labels_of_single_modalities_are_read_where_the_file_states_them(
    tmp_path: Path, content: Content
) -> None:
    assert all(samples.unimodal_target == {} for samples in load(tmp_path, content).values())
    for part in content.values():
        labels = part["regression_labels"]
        part["regression_labels_T"], part["regression_labels_V"] = -labels, labels / 2
        part["regression_labels_A"] = np.full(len(labels), np.nan)  # as tools write it that know of none
    for split, samples in load(tmp_path, content).items():
        assert set(samples.unimodal_target) == {"text", "vision"}
        np.testing.assert_array_equal(samples.unimodal_target["text"], -content[split]["regression_labels"])
        assert samples.unimodal_target["vision"].dtype == np.float32
    content["valid"]["regression_labels_V"][2] = 3.5
    with pytest.raises(DataError, match="valid/regression_labels_V: 1 label out of range, first 3"):
        load(tmp_path, content)


def test_silence_becomes_zero_in_audio_only(tmp_path: Path, content: Content) -> None:
    content["valid"]["audio"][1, 0, 2] = -np.inf
    found = load(tmp_path, content)["valid"]
    assert found.features["audio"][1, 0, 2] == 0
    assert found.mask["audio"][1, 0]
    content["valid"]["vision"][1, 0, 2] = -np.inf
    with pytest.raises(DataError, match="valid/vision"):
        load(tmp_path, content)


def test_a_part_by_another_name_is_to_be_renamed(tmp_path: Path, content: Content) -> None:
    with pytest.raises(DataError, match=r"valid: missing.*found: train, test, dev; rename 'dev' to 'valid'"):
        load(tmp_path, {"train": content["train"], "test": content["test"], "dev": content["valid"]})
    content["train"]["video"] = content["train"].pop("vision")
    with pytest.raises(DataError, match=r"train/vision: missing.*rename 'video' to 'vision'"):
        load(tmp_path, content)


@pytest.mark.parametrize("left", [False, True])
def test_what_stands_in_stated_padding_is_not_judged(tmp_path: Path, content: Content, left: bool) -> None:
    audio = np.random.default_rng(0).normal(size=(12, 5, 8)).astype(np.float32)
    data = slice(2, 5) if left else slice(0, 3)
    padding = slice(0, 2) if left else slice(3, 5)
    audio[:, padding] = np.nan
    content["train"]["audio"], content["train"]["audio_lengths"] = audio, np.full(12, 3)
    found = load(tmp_path, content)["train"]
    np.testing.assert_array_equal(found.features["audio"][:, data], audio[:, data])
    assert not found.features["audio"][:, padding].any()
    assert found.mask["audio"][:, data].all()
    assert not found.mask["audio"][:, padding].any()
    audio[3, data.start + 1, 2] = np.nan
    with pytest.raises(
        DataError, match=rf"train/audio: 1 value .* sample 3, step {data.start + 1}, feature 2"
    ):
        load(tmp_path, content)


def test_padding_at_either_side_and_zeros_inside(tmp_path: Path, content: Content) -> None:
    audio = np.zeros((12, 5, 8), np.float32)
    audio[0, 2:] = 1  # padded at the left
    audio[1, :2] = 1  # padded at the right
    audio[2, 1] = audio[2, 3] = 1  # both, and a silent step inside
    audio[3, 4, 7] = 1e-30  # one small value
    audio[5:] = 1
    content["train"]["audio"] = audio
    found = load(tmp_path, content)["train"]
    expected = [[0, 0, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    assert found.mask["audio"][:5].astype(int).tolist() == expected
    assert found.present["audio"].tolist() == [True] * 4 + [False] + [True] * 7
    assert found.mask["audio"][5:].all()


def test_lengths_decide_where_they_are_given(tmp_path: Path, content: Content) -> None:
    train = content["train"]
    train["audio"] = np.zeros((12, 5, 8), np.float32)
    train["audio"][0, 0] = 1  # two silent steps after it
    train["audio"][1, 3:] = 1  # padded at the left, and its first valid step is silent
    train["audio_lengths"] = [3, 3, 0, 5, 1, 1, 1, 1, 1, 1, 1, 1]
    train["vision_lengths"] = np.full(12, 6)
    found = load(tmp_path, content)["train"]
    assert found.mask["audio"][:4].astype(int).tolist() == [
        [1, 1, 1, 0, 0],
        [0, 0, 1, 1, 1],
        [0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1],
    ]
    assert found.present["audio"].tolist() == [True, True, False] + [True] * 9
    assert found.mask["vision"].all()


def test_the_tokens_mask_decides_for_text(tmp_path: Path, content: Content) -> None:
    tokens = np.zeros((5, 3, 4), np.int64)
    tokens[:, 1, :3] = 1
    content["valid"]["text_bert"] = tokens
    assert load(tmp_path, content)["valid"].mask["text"].tolist() == [[True, True, True, False]] * 5
    content["valid"]["text_bert"] = np.zeros((5, 3, 50), np.int64)  # of other features
    assert load(tmp_path, content)["valid"].present["text"].all()


def test_token_ids_of_these_features_or_of_others_are_read(tmp_path: Path, content: Content) -> None:
    assert all(samples.tokens == {} for samples in load(tmp_path, content).values())
    for positions in (4, 50):
        for part in content.values():
            count = len(part["regression_labels"])
            part["text_bert"] = np.arange(count * 3 * positions, dtype=np.float32).reshape(
                count, 3, positions
            )
        for split, samples in load(tmp_path, content).items():
            assert samples.tokens["text"].dtype == np.int32
            np.testing.assert_array_equal(samples.tokens["text"], content[split]["text_bert"])


def test_previous_is_the_clip_before_in_the_same_video(tmp_path: Path, content: Content) -> None:
    content["test"]["id"] = ["a$_$10", "b_$_1$_$2", "a$_$2", "a$_$1", "b_$_1$_$1", "c$_$1"]
    assert load(tmp_path, content)["test"].previous.tolist() == [2, 4, 3, -1, -1, -1]


def test_without_ids_rows_are_named_and_have_no_context(tmp_path: Path, content: Content) -> None:
    for part in content.values():
        del part["id"]
    found = load(tmp_path, content)
    assert found["valid"].sample_id.tolist() == [f"valid-{row}" for row in range(5)]
    assert (found["train"].previous == -1).all()


def test_other_types_are_read(tmp_path: Path, content: Content) -> None:
    for part in content.values():
        part["text"] = part["text"].astype(np.float16)
        part["audio"] = part["audio"].astype(np.float64)
        part["regression_labels"] = part["regression_labels"].reshape(-1, 1).tolist()
        part["id"] = np.array([name.encode() for name in part["id"]])
    found = load(tmp_path, content)["train"]
    assert found.features["text"].dtype == np.float16
    assert found.features["audio"].dtype == np.float32
    assert found.target.shape == (12,)
    assert found.sample_id[0] == "mosi_train_0000$_$0"


def edit(*path: str | int, to: Any) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        place: Any = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


def drop(*path: str) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        place = content
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


def poke(split: str, key: str, index: Any, value: float) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        content[split][key][index] = value

    return change


def empty(content: Content) -> None:
    content["valid"] = {key: value[:0] for key, value in content["valid"].items()}


BAD: dict[str, tuple[Callable[[Content], None], str, str]] = {
    "nan": (poke("train", "text", (3, 1, 2), np.nan), "train/text", "first at sample 3, step 1, feature 2"),
    "+inf": (poke("test", "audio", (0, 0, 0), np.inf), "test/audio", "inf"),
    "nan label": (poke("valid", "regression_labels", 2, np.nan), "valid/regression_labels", "sample 2"),
    "label range": (poke("valid", "regression_labels", 2, 3.2), "valid/regression_labels", "3.2"),
    "overflow": (
        edit("train", "audio", to=np.full((12, 5, 8), 1e300)),
        "train/audio",
        "finite",
    ),
    "split missing": (drop("valid"), "valid", "missing"),
    "split no dict": (edit("valid", to=[1]), "valid", "list"),
    "modality missing": (drop("train", "vision"), "train/vision", "missing"),
    "labels missing": (drop("test", "regression_labels"), "test/regression_labels", "missing"),
    "empty split": (empty, "valid/", "no samples"),
    "two dimensions": (edit("train", "audio", to=np.zeros((12, 8))), "train/audio", "12x8"),
    "four dimensions": (edit("train", "audio", to=np.zeros((12, 1, 8, 2))), "train/audio", "12x1x8x2"),
    "number": (edit("train", "audio", to=3.0), "train/audio", "shape"),
    "no steps": (edit("train", "audio", to=np.zeros((12, 0, 8))), "train/audio", "no "),
    "text": (edit("train", "audio", to=np.full((12, 5, 8), "x")), "train/audio", "numbers"),
    "objects": (edit("train", "audio", to=np.full((12, 5, 8), None)), "train/audio", "numbers"),
    "ragged": (edit("train", "audio", to=[[[1.0]], [[1.0], [2.0]]]), "train/audio", "unequal shape"),
    "fewer rows": (edit("train", "audio", to=np.ones((11, 5, 8))), "train/audio", "11 samples; expected 12"),
    "fewer ids": (edit("train", "id", to=["a"]), "train/id", "1 sample; expected 12"),
    "id numbers": (edit("train", "id", to=[1.5] * 12), "train/id", "names"),
    "same id": (edit("train", "id", to=["a$_$1"] * 12), "train", "a$_$1 occurs again"),
    "id in two splits": (edit("test", "id", 0, to="mosi_train_0000$_$0"), "test", "first in train"),
    "other width": (edit("test", "audio", to=np.ones((6, 5, 3))), "test/audio", "3 features; expected 8"),
    "length too long": (
        edit("test", "audio_lengths", to=[1, 2, 3, 4, 5, 6]),
        "test/audio_lengths",
        "length 6",
    ),
    "length negative": (edit("test", "audio_lengths", to=[-1] * 6), "test/audio_lengths", "length -1"),
    "fewer lengths": (edit("test", "audio_lengths", to=[1] * 5), "test/audio_lengths", "5 samples"),
    "fewer tokens": (edit("test", "text_bert", to=np.ones((5, 3, 4))), "test/text_bert", "5 samples"),
    "half a token": (
        edit("test", "text_bert", to=np.full((6, 3, 4), 0.5)),
        "test/text_bert",
        "0.5 (sample 0, ",
    ),
    "token shape": (edit("test", "text_bert", to=np.ones((6, 2, 4))), "test/text_bert", "shape 6x2x4"),
    "label shape": (edit("test", "regression_labels", to=np.ones((6, 2))), "test/regression_labels", "6x2"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_with_file_and_key(tmp_path: Path, content: Content, name: str) -> None:
    change, key, wrong = BAD[name]
    change(content)
    file = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        locate_pickle("mosi", file, Mosi.target).load()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{file}: {key}")
    assert wrong in message
    assert "expected" in message


def test_content_that_is_no_dict(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds a list"):
        load(tmp_path, [1, 2])


def test_the_mark_of_a_stand_in_must_be_in_front(tmp_path: Path, content: Content) -> None:
    front = write(tmp_path, {"synthetic": SYNTHETIC_MARK, **content}, "front.pkl")
    assert locate_pickle("mosi", front, Mosi.target).synthetic
    large = {"raw_text": "x" * 5000}
    late = write(tmp_path, {**large, **content, "synthetic": SYNTHETIC_MARK}, "late.pkl")
    located = locate_pickle("mosi", late, Mosi.target)
    assert not located.synthetic
    with pytest.raises(DataError, match=re.escape(f"{late}: synthetic")):
        located.load()


def test_the_layout_of_mult_and_multibench_is_read(tmp_path: Path, content: Content) -> None:
    """``labels`` [samples, 1, 1] and ``id`` [samples, 3]: video, begin and end, as numpy text."""
    scores = {}
    for split, part in content.items():
        scores[split] = np.asarray(part.pop("regression_labels"))
        part["labels"] = scores[split].reshape(-1, 1, 1)
        part["id"] = np.array([[f"v{split}", str(row), str(row + 1)] for row in range(len(scores[split]))])
    for split, samples in load(tmp_path, content, "mosi_data.pkl").items():
        np.testing.assert_array_equal(samples.target, scores[split])
        assert samples.sample_id[1] == f"v{split}_1_2"
    for part in content.values():
        part["id"] = np.array([["same"]] * len(part["labels"]))
    assert load(tmp_path, content)["test"].sample_id[0] == "test-0"
    content["test"]["labels"] = np.concatenate([content["test"]["labels"]] * 2, axis=2)
    with pytest.raises(DataError, match="test/regression_labels: shape"):
        load(tmp_path, content)
