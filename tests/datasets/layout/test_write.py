from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmbench.datasets.dataset import SPLITS, DataError, Samples, Target
from mmbench.datasets.layout.open_layout import locate_open
from mmbench.datasets.layout.write import write_open_layout
from mmbench.datasets.samples import without_padding

from ..conftest import assert_same

TARGET = Target("regression", label_range=(0.0, 1.0))


def small() -> dict[str, Samples]:
    """Four, two and three samples of one modality."""
    found = {}
    for split, count in zip(SPLITS, (4, 2, 3), strict=True):
        mask = {"x": np.ones((count, 1), dtype=bool)}
        found[split] = Samples(
            features={"x": np.ones((count, 1, 2), np.float32)},
            mask=mask,
            present={"x": np.ones(count, dtype=bool)},
            target=np.zeros(count, np.float32),
            sample_id=np.array([f"{split}-{row}" for row in range(count)]),
            domain=np.full(count, "d"),
            previous=np.full(count, -1),
        )
    return found


@st.composite
def any_splits(draw: st.DrawFn) -> tuple[dict[str, Samples], Target]:
    name = st.text(min_size=1, max_size=5).filter(
        lambda name: name.isprintable() and not set(name) & set("+,: ")
    )
    names = draw(st.lists(name, min_size=1, max_size=3, unique=True))
    widths = {name: draw(st.integers(1, 3)) for name in names}
    types = {name: draw(st.sampled_from([np.float16, np.float32])) for name in names}
    classes = draw(st.booleans())
    target = (
        Target("classification", classes=("no", "1", "ä: b", "~", "\x85"), metrics="classification")
        if classes
        else Target(
            "regression", label_range=(-0.1, 1e9), metrics=draw(st.sampled_from(["mosi", "regression"]))
        )
    )
    counts = {split: draw(st.integers(1, 4)) for split in SPLITS}
    total = sum(counts.values())
    # numpy drops NUL at the end of a text: a sample id has none
    word = st.text(max_size=4).map(lambda text: text.rstrip("\x00"))
    # of a dataset all samples have a domain, or none
    domain = word.filter(bool) if draw(st.booleans()) else st.just("")
    ids = [f"{number}{draw(word)}" for number in range(total)]
    splits = {}
    for split, count in counts.items():
        steps = {name: draw(st.integers(1, 3)) for name in names}
        mask = {name: draw(hnp.arrays(bool, (count, steps[name]))) for name in names}
        if classes:
            label = draw(hnp.arrays(np.int64, count, elements=st.integers(0, 3)))
        else:
            label = draw(hnp.arrays(np.float32, count, elements=st.floats(-0.0, 1e9, width=32)))
        splits[split] = Samples(
            features={
                name: draw(
                    hnp.arrays(
                        types[name],
                        (count, steps[name], widths[name]),
                        elements={"allow_nan": False, "allow_infinity": False},
                    )
                )
                for name in names
            },
            mask=mask,
            present={name: np.asarray(mask[name].any(axis=1)) for name in names},
            target=label,
            sample_id=np.array([ids.pop() for _ in range(count)], dtype=str),
            domain=np.array(draw(st.lists(domain, min_size=count, max_size=count)), dtype=str),
            previous=draw(hnp.arrays(np.int64, count, elements=st.integers(-1, count - 1))),
        )
    return splits, target


@settings(max_examples=40, deadline=None)
@given(any_splits(), st.booleans())
def test_what_is_written_is_read_back_with_zeros_for_padding(
    made: tuple[dict[str, Samples], Target], synthetic: bool
) -> None:
    splits, target = made
    folder = Path(tempfile.mkdtemp())
    try:
        files = write_open_layout(folder, splits, target, name="any", synthetic=synthetic)
        assert sorted(folder.iterdir()) == sorted(files)
        located = locate_open(files[0])
        assert (located.name, located.target, located.synthetic) == ("any", target, synthetic)
        expected = {
            split: replace(
                one,
                features={name: without_padding(one.features[name], one.mask[name]) for name in one.features},
            )
            for split, one in splits.items()
        }
        assert_same(located.load(), expected)
    finally:
        shutil.rmtree(folder)


def test_writing_over_a_dataset_must_be_asked_for(tmp_path: Path) -> None:
    splits, place = small(), tmp_path / "copy"
    write_open_layout(place, splits, TARGET)
    with pytest.raises(DataError, match="is there already"):
        write_open_layout(place, splits, TARGET)
    write_open_layout(place, splits, TARGET, overwrite=True)
    odd = {split: replace(part, features={"a\0": part.features["x"]}) for split, part in splits.items()}
    with pytest.raises(DataError, match="printable name"):
        write_open_layout(tmp_path / "odd", odd, TARGET)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_open_layout(blocked / "x", splits, TARGET)


def test_a_write_that_breaks_off_leaves_no_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits, place = small(), tmp_path / "copy"
    write_open_layout(place, splits, TARGET)
    saved = np.savez

    def breaks(stream: Any, **arrays: np.ndarray) -> None:
        if len(arrays["label"]) == 2:
            raise KeyboardInterrupt
        saved(stream, **arrays)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(np, "savez", breaks)
    with pytest.raises(KeyboardInterrupt):
        write_open_layout(place, splits, TARGET, overwrite=True)
    assert not (place / "dataset.yaml").exists()
    assert [file for file in place.iterdir() if file.name.startswith(".")] == []
