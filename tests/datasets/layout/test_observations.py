"""Which entries were observed, and when steps were: read, checked, written again."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmbench.datasets.dataset import SPLITS, DataError, Samples
from mmbench.datasets.layout.convert import convert
from mmbench.datasets.layout.open_layout import LocatedFolder, locate_open
from mmbench.datasets.verify import info, verify

from ..conftest import assert_same

ROWS = {"train": slice(0, 3), "valid": slice(3, 5), "test": slice(5, 7)}
PARTS = np.array(["train"] * 3 + ["valid"] * 2 + ["test"] * 2)


def series() -> dict[str, np.ndarray]:
    """Seven samples of [6, 2] whose entries are NaN here and there, and lengths; sample 1 has no observed entry."""
    draw = np.random.default_rng(3)
    values = draw.normal(size=(7, 6, 2)).astype(np.float32)
    values[draw.random(values.shape) < 0.4] = np.nan
    values[1] = np.nan
    values[:, 0, 0] = np.where(np.arange(7) == 1, np.nan, 1.5)  # of every other something is
    return {"x": values, "length": np.array([6, 5, 4, 3, 6, 2, 6])}


def locate(folder: Path, arrays: dict[str, np.ndarray], about: dict[str, Any] | str) -> LocatedFolder:
    """A dataset of one modality, x, in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "all.npz", y=np.arange(len(PARTS)) % 2, part=PARTS, **arrays)  # pyright: ignore[reportArgumentType]
    described = {
        "name": "series",
        "file": "all.npz",
        "modalities": {"x": about},
        "task": {"kind": "classification", "classes": ["no", "yes"]},
        "label": "y",
        "split": "part",
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(described))
    return locate_open(folder / "dataset.yaml")


def test_nan_and_an_array_of_what_was_observed_say_the_same(tmp_path: Path) -> None:
    arrays = series()
    seen = ~np.isnan(arrays["x"])
    valid = np.arange(6) < arrays["length"][:, None]
    by_nan = locate(tmp_path / "a", arrays, {"array": "x", "length": "length", "missing": "nan"})
    found = by_nan.load()
    for split, rows in ROWS.items():
        one = found[split]
        np.testing.assert_array_equal(one.observed["x"], seen[rows] & valid[rows][..., None])
        np.testing.assert_array_equal(
            one.features["x"], np.where(one.observed["x"], arrays["x"][rows], 0).astype(np.float32)
        )
        assert one.present["x"].tolist() == one.observed["x"].any(axis=(1, 2)).tolist()
        assert not one.time
    assert found["train"].present["x"].tolist() == [True, False, True]
    for junk in (np.nan, np.inf, 7.0):
        garbage = {**arrays, "x": np.where(seen, arrays["x"], junk), "seen": seen}
        by_array = {"array": "x", "length": "length", "observed": {"array": "seen"}}
        stated = locate(tmp_path / "b", garbage, by_array)
        assert_same(stated.load(), found)
        assert stated.fingerprint() != by_nan.fingerprint()


@st.composite
def any_series(draw: st.DrawFn) -> dict[str, np.ndarray]:
    """Features with NaN, lengths, and times that never run back: something is observed in each split."""
    steps, width = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    numbers = st.one_of(st.just(np.nan), st.floats(-100, 100, width=16))
    kind = draw(st.sampled_from([np.float16, np.float32]))
    values = draw(hnp.arrays(kind, (7, steps, width), elements=numbers))
    values[:, 0, 0] = np.where(np.isnan(values[:, 0, 0]), 0, values[:, 0, 0])
    gaps = draw(hnp.arrays(np.float64, (7, steps), elements=st.sampled_from([0, 0.25, 1, 30])))
    start = draw(hnp.arrays(np.float64, 7, elements=st.floats(-50, 50, width=16)))
    length = draw(hnp.arrays(np.int64, 7, elements=st.integers(1, steps)))
    return {"x": values, "length": length, "t": start[:, None] + gaps.cumsum(axis=1)}


@given(arrays=any_series(), unit=st.sampled_from(["seconds", "minutes", "hours", "days"]))
@settings(max_examples=25)
def test_series_with_holes_and_times_come_back_as_they_were_written(arrays: dict, unit: str) -> None:
    factor = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}[unit]
    with tempfile.TemporaryDirectory() as place:
        about = {"array": "x", "length": "length", "missing": "nan", "time": {"array": "t", "unit": unit}}
        located = locate(Path(place) / "a", arrays, about)
        found = located.load()
        for split, rows in ROWS.items():
            valid = np.arange(arrays["x"].shape[1]) < arrays["length"][rows][:, None]
            expected = np.where(valid, arrays["t"][rows] * factor, 0).astype(np.float32)
            np.testing.assert_array_equal(found[split].time["x"], expected)
        convert(located, Path(place) / "b")
        assert_same(locate_open(Path(place) / "b" / "dataset.yaml").load(), found)


def test_times_of_all_samples_alike_are_those_of_each(tmp_path: Path) -> None:
    arrays = series() | {"one": np.arange(6) / 2, "each": np.tile(np.arange(6) / 2, (7, 1))}
    about = {"array": "x", "length": "length", "missing": "nan"}
    once, each = (
        locate(tmp_path / name, arrays, about | {"time": {"array": name, "unit": "hours"}})
        for name in ("one", "each")
    )
    assert_same(once.load(), each.load())
    assert once.load()["test"].time["x"][0].tolist() == [0, 1800, 0, 0, 0, 0]
    seconds = locate(tmp_path / "one", arrays, about | {"time": "one"})
    assert seconds.load()["test"].time["x"][0].tolist() == [0, 0.5, 0, 0, 0, 0]
    assert len({one.fingerprint() for one in (once, each, seconds)}) == 3


def test_lists_of_any_length_have_nulls_and_times(tmp_path: Path) -> None:
    """Parquet: a null is a number that was not observed, and each sample has as many times as steps."""
    lists = [
        [[1.0, None], [2.0, 3.0]],
        [[None, 4.0]],
        None,
        [[5.0, 6.0]] * 3,
        [[0.5, None]],
        [[1, 2]],
        [[None, 1]],
    ]
    times = [[0.0, 1.5], [2.0], None, [1.0, 2.0, 2.0], [0.0], [7.0], [8.0]]
    table = pa.table({"x": lists, "t": times, "y": [0, 1, 0, 1, 0, 1, 0], "part": PARTS})
    pq.write_table(table, tmp_path / "all.parquet")
    described: dict[str, Any] = {
        "file": "all.parquet",
        "modalities": {"x": {"array": "x", "missing": "nan", "time": "t"}},
        "task": {"kind": "classification", "classes": 2},
        "label": "y",
        "split": "part",
    }
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(described))
    found = locate_open(tmp_path / "dataset.yaml").load()
    assert found["train"].observed["x"].tolist() == [
        [[True, False], [True, True], [False, False]],
        [[False, True], [False, False], [False, False]],
        [[False, False]] * 3,
    ]
    assert found["train"].present["x"].tolist() == [True, True, False]
    assert found["train"].time["x"].tolist() == [[0, 1.5, 0], [2, 0, 0], [0, 0, 0]]
    for short, message in (
        ([*times[:3], [1.0, 2.0], *times[4:]], "train/t: shape 3x2; expected times of shape 3x3"),
        ([[0.0], *times[1:]], r"train/t: the time is nan \(sample 0, step 1\)"),
    ):
        pq.write_table(table.set_column(1, "t", pa.array(short)), tmp_path / "all.parquet")
        with pytest.raises(DataError, match=message):
            locate_open(tmp_path / "dataset.yaml").load()


def back(times: np.ndarray) -> np.ndarray:
    times[5, 1] = -1
    return times


HOURS = np.tile(np.arange(6.0), (7, 1))
NOTHING = ~np.isnan(series()["x"]) & (PARTS != "valid")[:, None, None]
CALENDAR = 1.7e9 + HOURS  # seconds of an epoch, one apart
BAD: dict[str, tuple[dict[str, np.ndarray], dict[str, Any], str]] = {
    "nan, not declared": ({}, {}, r"train/x: .*not finite \(nan\).*'missing: nan' at the modality"),
    "infinite": ({"x": np.full((7, 6, 2), np.inf)}, {"missing": "nan"}, r"train/x: .*not finite \(inf\).*finite numbers that 32 bits hold$"),
    "both": ({}, {"missing": "nan", "observed": "seen"}, "modalities/x: missing and observed; expected one of them"),
    "another mark": ({}, {"missing": -1}, "modalities/x/missing: -1; expected nan"),
    "another shape": (
        {"seen": np.ones((7, 6), bool)},
        {"observed": "seen"},
        "train/seen: bool of shape 3x6; expected truth values of shape 3x6x2, as the features have",
    ),
    "no truth values": ({"seen": np.full((7, 6, 2), 2)}, {"observed": "seen"}, "train/seen: int64 of shape 3x6x2"),
    "other samples": ({"seen": np.ones((6, 6, 2), bool)}, {"observed": "seen"}, "seen: 6 samples; expected 7"),
    "nothing observed": (
        {"seen": NOTHING},
        {"observed": "seen"},
        "valid/seen: no entry is observed in any sample of the split; expected at least one observed entry",
    ),
    "nothing but nan": ({"x": np.where(NOTHING, 1.0, np.nan)}, {"missing": "nan"}, "valid/x: no entry is observed"),
    "times run back": (
        {"t": back(HOURS.copy())},
        {"missing": "nan", "time": {"array": "t", "unit": "hours"}},
        r"test/t: times run back from 0 to -1 \(sample 0, step 1\); expected times that never run back",
    ),
    "no time": (
        {"t": np.where(HOURS == 1, np.nan, HOURS)},
        {"missing": "nan", "time": "t"},
        r"train/t: the time is nan \(sample 0, step 1\)",
    ),
    "other steps": (
        {"t": HOURS[:, :5]},
        {"missing": "nan", "time": "t"},
        "train/t: shape 3x5; expected times of shape 3x6, or 6 for all samples alike",
    ),
    "text": ({"t": HOURS.astype(str)}, {"missing": "nan", "time": "t"}, "train/t: an array of type <U"),
    "a calendar": (
        {"t": CALENDAR},
        {"missing": "nan", "time": "t"},
        r"times 1700000000.0 and 1700000001.0 \(sample 0, step 1\) are one in float32 seconds",
    ),
    "unit": (
        {"t": HOURS},
        {"missing": "nan", "time": {"array": "t", "unit": "hour"}},
        r"modalities/x/time/unit: 'hour' \(do you mean 'hours'\?\); expected seconds or",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line(tmp_path: Path, case: str) -> None:
    arrays, about, message = BAD[case]
    with pytest.raises(DataError, match=message) as caught:
        locate(tmp_path, series() | arrays, {"array": "x", "length": "length"} | about).load()
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_the_description_of_the_documentation_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "extending.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(file: stays.*?)```", page, re.DOTALL)
    draw = np.random.default_rng(0)
    arrays = {name: draw.normal(size=(7, 48, 3)) for name in ("vitals", "labs")}
    arrays |= {"static": draw.normal(size=(7, 2)), "labs_seen": draw.random((7, 48, 3)) < 0.1}
    for name in ("vitals", "static"):
        arrays[name][draw.random(arrays[name].shape) < 0.3] = np.nan
    label = np.arange(7) % 2
    np.savez(tmp_path / "stays.npz", hours=np.arange(48.0), label=label, part=PARTS, **arrays)  # pyright: ignore[reportArgumentType]
    (tmp_path / "dataset.yaml").write_text(text)
    train = locate_open(tmp_path / "dataset.yaml").load()["train"]
    assert list(train.observed) == ["vitals", "labs", "static"]
    assert train.time["vitals"][0, [0, 1, 47]].tolist() == [0, 3600, 47 * 3600]
    np.testing.assert_array_equal(train.observed["labs"], arrays["labs_seen"][:3])


def test_info_and_verify_say_the_share(tmp_path: Path) -> None:
    about = {"array": "x", "length": "length", "missing": "nan", "time": {"array": "t", "unit": "hours"}}
    located = locate(tmp_path, series() | {"t": HOURS}, about)
    told = info(located).splits
    loaded: dict[str, Samples] = located.load()
    lines = [one.found for one in verify(located) if one.what == "observed entries of x"]
    for split in SPLITS:
        one = loaded[split]
        share = one.observed["x"][one.mask["x"]].mean()
        assert told[split].modalities["x"].observed == pytest.approx(share)
        assert told[split].modalities["x"].time == 3600 * (one.mask["x"].sum(axis=1).max() - 1)
        assert f"{split} {share:.1%}" in lines[0]
