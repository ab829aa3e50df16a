from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from mmbench.datasets.dataset import SPLITS, DataError, Target
from mmbench.datasets.layout.convert import convert
from mmbench.datasets.layout.open_layout import locate_open

from ..conftest import assert_same
from .conftest import REGRESSION, Writer, small_arrays, small_description


def test_what_the_description_says_is_read(folder: Writer) -> None:
    raw = small_arrays()
    located = locate_open(folder())
    assert (located.name, located.format, located.synthetic) == ("mine", "open", False)
    assert located.modalities == ("text", "audio")
    assert located.target == Target(
        "classification", classes=("negative", "positive"), metrics="classification"
    )
    assert [file.name for file in located.files] == ["dataset.yaml", "all.npz"]
    found = located.load()
    assert {split: len(samples) for split, samples in found.items()} == {"train": 4, "valid": 2, "test": 3}
    train = found["train"]
    np.testing.assert_array_equal(train.features["text"], raw["text"][:4])
    np.testing.assert_array_equal(train.features["audio"], raw["audio"][:4, None].astype(np.float32))
    assert train.mask["text"].sum(axis=1).tolist() == [4, 3, 2, 1]
    assert train.mask["audio"].shape == (4, 1)
    assert train.target.tolist() == [0, 1, 1, 0]
    assert train.target.dtype == np.int64
    assert train.sample_id.tolist() == ["a$_$10", "a$_$2", "a$_$1", "b$_$1"]
    assert train.previous.tolist() == [1, 2, -1, -1]
    assert found["test"].previous.tolist() == [-1, 0, -1]
    assert train.domain.tolist() == ["x", "y", "x", "y"]


def test_optional_entries_have_defaults(folder: Writer) -> None:
    found = locate_open(folder(video=None, clip=None, domain=None), "asked").load()
    assert found["test"].sample_id.tolist() == ["6", "7", "8"]
    assert found["test"].domain.tolist() == ["asked"] * 3
    assert (found["train"].previous == -1).all()


def test_labels_of_single_modalities_are_read_and_survive_a_copy(folder: Writer, tmp_path: Path) -> None:
    own = np.array(["positive", "negative"] * 4 + ["positive"])
    located = locate_open(folder({"own": own}, unimodal_labels={"audio": "own"}))
    assert located.fingerprint() != locate_open(folder({"own": own})).fingerprint()
    located = locate_open(folder({"own": own}, unimodal_labels={"audio": "own"}))
    convert(located, tmp_path / "again")
    for one in (located, locate_open(tmp_path / "again" / "dataset.yaml")):
        found = one.load()
        assert {name: labels.tolist() for name, labels in found["test"].unimodal_target.items()} == {
            "audio": [1, 0, 1]
        }
        assert found["train"].unimodal_target["audio"].dtype == np.int64


def test_token_ids_are_read_and_are_part_of_what_the_data_are(folder: Writer) -> None:
    ids = np.array([[2, 7, 0]] * 9)
    plain = locate_open(folder({"t": ids}))
    assert all(samples.tokens == {} for samples in plain.load().values())
    fingerprint = plain.fingerprint()
    modalities = {"text": {"array": "text", "length": "text_length", "tokens": "t"}, "audio": "audio"}
    located = locate_open(folder({"t": ids}, modalities=modalities))
    assert located.fingerprint() != fingerprint
    assert located.load()["test"].tokens["text"][0].tolist() == [[2, 7, 0], [1, 1, 0], [0, 0, 0]]


def test_regression(folder: Writer) -> None:
    located = locate_open(folder(task={**REGRESSION, "metrics": "mosi"}, label="score"))
    assert located.target == Target("regression", label_range=(-3.0, 3.0), metrics="mosi")
    found = located.load()["test"].target
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, small_arrays()["score"][6:].astype(np.float32))


@pytest.mark.parametrize(
    ("classes", "labels", "values"),
    [
        (["x", "y"], small_arrays()["speaker"], None),
        (2, small_arrays()["label"], None),
        (["no", "yes"], small_arrays()["label"].astype(float), None),
        (["low", "high"], small_arrays()["label"] + 7, {7: "low", 8: "high"}),
    ],
)
def test_ways_to_write_class_labels(folder: Writer, classes: Any, labels: np.ndarray, values: Any) -> None:
    label = {"array": "truth", **({"values": values} if values else {})}
    file = folder({"truth": labels}, task={"kind": "classification", "classes": classes}, label=label)
    found = locate_open(file).load()["train"].target.tolist()
    assert found == ([0, 1, 0, 1] if classes == ["x", "y"] else [0, 1, 1, 0])


def test_ways_to_say_which_steps_are_valid(folder: Writer) -> None:
    text = small_arrays()["text"][:, ::-1]  # padded at the left
    expected = (text != 0).any(axis=2)
    for rule in ({"padding": "nonzero"}, {"mask": "valid"}, {"padding": "none"}, {}):
        file = folder({"text": text, "valid": expected}, modalities={"text": {"array": "text", **rule}})
        mask = locate_open(file).load()["train"].mask["text"]
        wanted = expected[:4] if rule.get("padding") == "nonzero" or "mask" in rule else np.ones((4, 4), bool)
        np.testing.assert_array_equal(mask, wanted)


def test_a_modality_without_a_valid_step_is_absent(folder: Writer) -> None:
    found = locate_open(folder({"text_length": np.array([0, 1, 1, 1, 1, 1, 0, 1, 1])})).load()
    assert found["train"].present["text"].tolist() == [False, True, True, True]
    assert found["test"].present["text"].tolist() == [False, True, True]
    assert found["test"].present["audio"].all()


def test_splits_as_text_and_files_for_each(folder: Writer, tmp_path: Path) -> None:
    raw = small_arrays()
    names = np.array(SPLITS)[raw["split"]]
    plain = locate_open(folder({"part": names}, split="part")).load()
    assert_same(plain, locate_open(folder()).load())
    for number, split in enumerate(SPLITS):
        rows = raw["split"] == number
        np.savez(tmp_path / f"{split}.npz", **{key: array[rows] for key, array in raw.items()})  # pyright: ignore[reportArgumentType]
    files = {split: f"../{split}.npz" for split in SPLITS}
    assert_same(locate_open(folder(file=files, split=None)).load(), plain)
    without = folder(file=files, split=None, video=None, clip=None)
    assert locate_open(without).load()["valid"].sample_id.tolist() == ["valid-0", "valid-1"]


def test_each_array_may_have_its_own_file(
    folder: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = locate_open(folder()).load()
    raw = small_arrays()
    np.savez(tmp_path / "audio.npz", audio=raw["audio"])
    np.savez(tmp_path / "label.npz", y=raw["label"])
    monkeypatch.setenv("SOMEWHERE", str(tmp_path))
    audio = {"array": "audio", "file": str(tmp_path / "audio.npz")}
    text = small_description()["modalities"]["text"]
    file = folder(
        modalities={"text": text, "audio": audio}, label={"array": "y", "file": "$SOMEWHERE/label.npz"}
    )
    assert_same(locate_open(file).load(), expected)


@pytest.mark.parametrize("suffix", ["parquet", "safetensors"])
def test_other_kinds_of_files_hold_the_same(folder: Writer, tmp_path: Path, suffix: str) -> None:
    expected = locate_open(folder(video=None, clip=None, domain=None)).load()
    raw = {key: array for key, array in small_arrays().items() if array.dtype.kind != "U"}
    file = tmp_path / f"all.{suffix}"
    if suffix == "parquet":
        import pandas as pd

        rows = {key: array.tolist() for key, array in raw.items() if key not in ("audio", "text")}
        audio = {f"audio_{column}": raw["audio"][:, column] for column in range(2)}
        # lists of their own lengths: padding and lengths come from them
        lists = [text[:size].tolist() for text, size in zip(raw["text"], raw["text_length"], strict=True)]
        pd.DataFrame({**rows, **audio, "text": lists}).to_parquet(file)
        modalities: dict[str, Any] = {"text": "text", "audio": "audio"}
    else:
        from safetensors.numpy import save_file

        save_file(raw, file)
        modalities = small_description()["modalities"]
    described = folder(file=str(file), video=None, clip=None, domain=None, modalities=modalities)
    assert_same(locate_open(described).load(), expected)


def test_fingerprint_follows_content_and_meaning_only(folder: Writer, tmp_path: Path) -> None:
    file = folder()
    first = locate_open(file).fingerprint()
    moved = tmp_path / "elsewhere" / "other"
    shutil.copytree(file.parent, moved)
    assert locate_open(moved / "dataset.yaml").fingerprint() == first
    (moved / "all.npz").rename(moved / "renamed.npz")
    described = yaml.safe_load((moved / "dataset.yaml").read_text())
    described["file"] = str(moved / "renamed.npz")
    (moved / "dataset.yaml").write_text(
        "# a comment\n" + yaml.safe_dump({"title": "Mine", **described}, sort_keys=False)
    )
    assert locate_open(moved / "dataset.yaml").fingerprint() == first

    changed = {"label": small_arrays()["label"].copy()}
    changed["label"][0] = 1
    differing = [
        locate_open(folder(changed)).fingerprint(),
        locate_open(
            folder(task={"kind": "classification", "classes": ["positive", "negative"]})
        ).fingerprint(),
        locate_open(
            folder(split={"array": "split", "values": {0: "test", 1: "valid", 2: "train"}})
        ).fingerprint(),
        locate_open(folder(modalities={"text": "text", "audio": "audio"})).fingerprint(),
        locate_open(folder(domain=None)).fingerprint(),
        locate_open(folder(synthetic=True)).fingerprint(),
    ]
    assert len({first, *differing}) == 7
    assert locate_open(folder()).fingerprint() == first


def test_a_range_of_values_stands_for_each_of_them(tmp_path: Path) -> None:
    rows = np.arange(30)
    np.savez(tmp_path / "all.npz", x=rows[:, None] / 30, y=rows % 2, minute=rows, who=rows.astype(str))
    text = "file: all.npz\nmodalities: {x: x}\ntask: {kind: classification, classes: 2}\nlabel: y\nsample_id: who\n"
    ranges, single = tmp_path / "ranges.yaml", tmp_path / "single.yaml"
    ranges.write_text(text + "split: {array: minute, values: {0-19: train, 20-28: valid, 29: test}}\n")
    each = ", ".join(f"{row}: {'train' if row < 20 else 'valid' if row < 29 else 'test'}" for row in rows)
    single.write_text(text + f"split: {{array: minute, values: {{{each}}}}}\n")
    found, expected = locate_open(ranges), locate_open(single)
    assert {name: part.sample_id.tolist() for name, part in found.load().items()} == {
        name: part.sample_id.tolist() for name, part in expected.load().items()
    }
    assert found.fingerprint() == expected.fingerprint()
    ranges.write_text(text + "split: {array: minute, values: {0-20: train, 20-28: valid, 29: test}}\n")
    with pytest.raises(DataError, match="'20' is given twice"):
        locate_open(ranges)


def test_the_encoder_of_a_modality_is_named_and_counts(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", x=np.ones((3, 80, 1)), y=np.arange(3) % 2, part=np.arange(3))
    text = (
        "file: all.npz\nmodalities: {{x: {{array: x{}}}}}\ntask: {{kind: classification, classes: 2}}\nlabel: y\n"
        "split: {{array: part, values: {{0: train, 1: valid, 2: test}}}}\n"
    )
    found = {}
    for name in ("", ", encoder: sequence", ", encoder: cnn1d"):
        (tmp_path / "one.yaml").write_text(text.format(name))
        found[name] = locate_open(tmp_path / "one.yaml")
        found[name] = found[name].encoders, found[name].fingerprint()
    assert found[""] == found[", encoder: sequence"]
    assert [encoders for encoders, _ in found.values()] == [{}, {}, {"x": "cnn1d"}]
    assert found[", encoder: cnn1d"][1] != found[""][1]
    (tmp_path / "one.yaml").write_text(text.format(", encoder: cnn2d"))
    with pytest.raises(DataError, match=r"'cnn2d'.*cnn1d"):
        locate_open(tmp_path / "one.yaml")


@pytest.mark.parametrize("rule", ["length", "mask"])
@pytest.mark.parametrize("junk", [np.nan, np.inf, 7.0])
def test_whatever_stands_in_the_padding_is_no_data(folder: Writer, rule: str, junk: float) -> None:
    clean = small_arrays()
    valid = np.arange(4) < clean["text_length"][:, None]
    about = {"array": "text", rule: "valid"}
    dirty = {
        "text": np.where(valid[..., None], clean["text"], junk),
        "valid": clean["text_length"] if rule == "length" else valid,
    }
    expected = locate_open(folder()).load()
    found = locate_open(folder(dirty, modalities={"text": about, "audio": "audio"})).load()
    assert_same(found, expected)
    dirty["text"][4, 1, 2] = np.nan
    with pytest.raises(
        DataError, match=r"valid/text: 1 value is not finite \(nan\), first at sample 0, step 1, feature 2"
    ):
        locate_open(folder(dirty, modalities={"text": about, "audio": "audio"})).load()


@pytest.mark.parametrize("shape", [(4, 3), (3,)])
def test_a_null_or_an_empty_list_is_an_absent_modality(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).normal(size=(9, *shape)).astype(np.float32)
    split = np.array(["train"] * 4 + ["valid"] * 2 + ["test"] * 3)
    about = {"modalities": {"x": "x"}, "task": REGRESSION, "label": "y"}
    absent = {1: None, 2: [], 6: None, 7: None, 8: None}  # in the test split all of them
    lists = [absent.get(row, one.tolist()) for row, one in enumerate(values)]
    table = pa.table({"x": lists, "y": np.linspace(-1, 1, 9), "split": split})
    pq.write_table(table, tmp_path / "all.parquet")
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(about | {"file": "all.parquet", "split": "split"}))
    parts = {name: f"{name}.parquet" for name in SPLITS}
    for name, file in parts.items():
        pq.write_table(table.filter(pa.array(split == name)), tmp_path / file)
    (tmp_path / "parted").mkdir()
    files = {name: f"../{file}" for name, file in parts.items()}
    (tmp_path / "parted" / "dataset.yaml").write_text(yaml.safe_dump(about | {"file": files}))
    for place in (tmp_path, tmp_path / "parted"):
        loaded = locate_open(place / "dataset.yaml").load()
        assert {name: one.present["x"].tolist() for name, one in loaded.items()} == {
            "train": [True, False, False, True],
            "valid": [True, True],
            "test": [False, False, False],
        }
        found = loaded["train"].features["x"]
        np.testing.assert_array_equal(found[[0, 3]], values[[0, 3]].reshape(2, -1, 3))
        assert not found[[1, 2]].any()


def test_numbers_that_name_classes_are_names_in_every_split(folder: Writer) -> None:
    signs = {"label": 2 * small_arrays()["label"] - 1}
    found = locate_open(folder(signs, task={"kind": "classification", "classes": [-1, 1]})).load()
    expected = locate_open(folder()).load()
    for split in SPLITS:
        assert found[split].target.tolist() == expected[split].target.tolist()


def test_classes_called_by_numbers_survive_a_copy(folder: Writer, tmp_path: Path) -> None:
    label = {"label": np.array(["2", "3", "1", "2", "2", "3", "1", "2", "3"])}
    located = locate_open(folder(label, task={"kind": "classification", "classes": [1, 2, 3]}))
    assert located.load()["train"].target.tolist() == [1, 2, 0, 1]
    convert(located, tmp_path / "copy")
    assert_same(locate_open(tmp_path / "copy" / "dataset.yaml").load(), located.load())
