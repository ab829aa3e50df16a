"""The reader of pickled pandas tables: real lists, tables of today's pandas, and files that are no tables at all."""

from __future__ import annotations

import copyreg
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmbench.datasets.dataset import DataError
from mmbench.datasets.pickles import unpickle_frame
from mmbench.datasets.pickles.unpickle import load_pickle
from mmbench.datasets.pickles.unpickle_frame import load_frame

COUNTS = {"D1": (1543, 435), "D2": (2495, 750), "D3": (3897, 974)}  # MM-SADA


class Made:
    """Asks to be rebuilt by any call, and to be given any state."""

    def __init__(self, function: Callable[..., Any], *args: Any, state: Any = None) -> None:
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> Any:
        return self.parts


def write(folder: Path, content: object, protocol: int = 4) -> Path:
    file = folder / "list.pkl"
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    return file


@pytest.mark.parametrize("domain", COUNTS)
def test_the_published_lists_have_the_published_numbers_of_rows(real_data: Path, domain: str):
    for part, count in zip(("train", "test"), COUNTS[domain], strict=True):
        table = load_frame(real_data / "epic-annotations" / f"{domain}_{part}.pkl")
        assert {len(column) for column in table.values()} == {count}
        assert set(table["verb_class"].tolist()) == set(range(8))
        assert all(isinstance(video, str) for video in table["video_id"].tolist())
        # frames are counted at 60 a second (50 in a few videos) from the same moments that the clock times name
        assert (table["stop_frame"] > table["start_frame"]).all()


def test_the_published_lists_are_as_pandas_reads_them(real_data: Path):
    """pandas may run these files: they are known to be what they were published as."""
    file = real_data / "epic-annotations" / "D1_test.pkl"
    try:
        wanted = pd.read_pickle(file)
    except Exception as error:
        pytest.skip(f"this pandas no longer reads its old tables ({error})")
    found = load_frame(file)
    assert list(found) == list(wanted.columns)
    for name, column in found.items():
        assert column.tolist() == wanted[name].tolist()


TABLE = pd.DataFrame(
    {
        "name": ["a", "längere", "文字", None],
        "start": [1, 2, 3, 4],
        "share": [0.5, np.nan, -1.0, 2.0],
        "stop": [4, 5, 6, 7],
        "flag": [True, False, True, True],
        "small": np.arange(4, dtype=np.int16),
    }
)
PLAIN = TABLE.astype({"name": object})
PLAIN.columns = pd.Index(PLAIN.columns.tolist(), dtype=object)
TABLES = {
    "text of pandas 3": TABLE,
    "objects": PLAIN,
    "some rows": TABLE.iloc[1:3],
    "every other row": PLAIN.iloc[::2],
    "rows with names": PLAIN.set_index("start", drop=False).rename_axis(None),
    "columns turned": TABLE[["stop", "name", "share", "start"]],
    "fragments": TABLE.assign(more=[1, 2, 3, 4]).assign(less=["x", "y", "", "z"]),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", TABLES)
def test_tables_of_this_pandas_come_back(tmp_path: Path, name: str, protocol: int):
    found = load_frame(write(tmp_path, TABLES[name], protocol))
    assert list(found) == list(TABLES[name].columns)
    for column, values in found.items():
        assert type(values) is np.ndarray
        assert holes_as_none(values.tolist()) == holes_as_none(TABLES[name][column].tolist())
        if values.dtype.kind != "O":
            assert values.dtype == TABLES[name][column].dtype


def holes_as_none(values: list[Any]) -> list[Any]:
    """pandas 3 shows a hole in a column of text as NaN, and Arrow has no value there."""
    return [None if value != value else value for value in values]


class NewObject:
    """Asks to be rebuilt as pandas' own classes do: made without a call, then given a state."""

    def __init__(self, made: type, state: object) -> None:
        self.made, self.state = made, state

    @property
    def __class__(self) -> type:  # pyright: ignore  (the pickler asks whether it is what is to be made)
        return self.made

    def __reduce_ex__(self, *_: Any) -> Any:
        return copyreg.__newobj__, (self.made,), self.state  # pyright: ignore


def frame(columns: object, blocks: object, rows: object = None) -> NewObject:
    """A table in the form of pandas 3, of parts that nobody checked."""
    rows = rows if rows is not None else Made(_new_index, pd.RangeIndex, {"start": 0, "stop": 2, "step": 1})
    manager = Made(pd.core.internals.managers.BlockManager, blocks, [columns, rows])  # pyright: ignore
    return NewObject(pd.DataFrame, {"_mgr": manager})


_new_index = pd.core.indexes.base._new_Index  # pyright: ignore
_block = pd._libs.internals._unpickle_block  # pyright: ignore


def names(*columns: object) -> Made:
    return Made(_new_index, pd.Index, {"data": np.array(columns, dtype=object), "name": None})


NUMBERS = Made(_block, np.arange(2).reshape(1, 2), slice(0, 1), 2)


def test_the_forger_makes_tables_that_are_read_where_nothing_is_wrong(tmp_path: Path):
    assert load_frame(write(tmp_path, frame(names("a"), (NUMBERS,))))["a"].tolist() == [0, 1]


def objects(*values: object) -> np.ndarray:
    array = np.empty((1, len(values)), dtype=object)
    array[0] = values
    return array


FORGED: dict[str, tuple[object, object, object]] = {
    "two columns in one place": (names("a", "b"), (Made(_block, np.zeros((2, 2)), slice(0, 1), 2),), None),
    "a column without data": (names("a", "b"), (NUMBERS,), None),
    "a column twice": (names("a"), (NUMBERS, NUMBERS), None),
    "a name twice": (names("a", "a"), (Made(_block, np.zeros((2, 2)), slice(0, 2), 2),), None),
    "a place outside": (names("a"), (Made(_block, np.zeros((1, 2)), np.array([7]), 2),), None),
    "a place below": (names("a"), (Made(_block, np.zeros((1, 2)), np.array([-1]), 2),), None),
    "places that are text": (names("a"), (Made(_block, np.zeros((1, 2)), "0", 2),), None),
    "other rows": (names("a"), (Made(_block, np.zeros((1, 3)), slice(0, 1), 2),), None),
    "rows without end": (names("a"), (NUMBERS,), Made(_new_index, pd.RangeIndex, {"start": 0, "stop": 1 << 80, "step": 1})),
    "step of nothing": (names("a"), (NUMBERS,), Made(_new_index, pd.RangeIndex, {"start": 0, "stop": 2, "step": 0})),
    "numbers as names": (names(3), (NUMBERS,), None),
    "values in a list": (names("a"), (Made(_block, [[1, 2]], slice(0, 1), 2),), None),
    "blocks that are none": (names("a"), ([1, 2],), None),
    "a block without places": (names("a"), (Made(_block, np.zeros((1, 2))),), None),
    "an index that is a list": (["a"], (NUMBERS,), None),
    "a class as a value": (names("a"), (Made(_block, objects(1, pd.DataFrame), slice(0, 1), 2),), None),
    "a function as a value": (names("a"), (Made(_block, objects(1, np.dtype), slice(0, 1), 2),), None),
    "a list as a value": (names("a"), (Made(_block, objects(1, [2]), slice(0, 1), 2),), None),
    "a table as a value": (names("a"), (Made(_block, objects(1, PLAIN), slice(0, 1), 2),), None),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_forged_blocks_are_refused_in_one_line(tmp_path: Path, name: str):
    file = write(tmp_path, frame(*FORGED[name]))
    with pytest.raises(DataError, match="no table in a known form") as caught:
        load_frame(file)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")


def arrow(parts: tuple[object, ...]) -> Made:
    import pyarrow.lib as lib

    return Made(lib._restore_array, parts)  # pyright: ignore


def text_type(name: str = "large_string") -> Made:
    import pyarrow.lib as lib

    return Made(lib.type_for_alias, name)  # pyright: ignore


ENDS = np.array([0, 1, 2], dtype="<i8").tobytes()
ARROW: dict[str, tuple[object, ...]] = {
    "length": (text_type(), 1 << 50, 0, 0, [None, ENDS, b"ab"], [], None),
    "offset": (text_type(), 2, 0, 1, [None, ENDS, b"ab"], [], None),
    "negative offset": (text_type(), 2, 0, -1, [None, ENDS, b"ab"], [], None),
    "letters": (text_type(), 2, 0, 0, [None, ENDS, b"a"], [], None),
    "falling": (text_type(), 2, 0, 0, [None, ENDS[8:16] * 2 + ENDS[:8], b"ab"], [], None),
    "negative": (text_type(), 2, 0, 0, [None, b"\xff" * 8 + ENDS[8:], b"ab"], [], None),
    "validity": (text_type(), 2, 0, 0, [b"", ENDS, b"ab"], [], None),
    "children": (text_type(), 2, 0, 0, [None, ENDS, b"ab"], [1], None),
    "other type": (text_type("int64"), 2, 0, 0, [None, ENDS], [], None),
    "size as a buffer": (text_type(), 2, 0, 0, [None, Made(bytearray, 1 << 40), b"ab"], [], None),
    "broken letters": (text_type(), 2, 0, 0, [None, ENDS, b"\xff\xff"], [], None),
}


def strings(*parts: object) -> Made:
    state = {"_pa_array": arrow(parts), "_dtype": None, "_cache": {}}
    return Made(_block, NewObject(pd.arrays.ArrowStringArray, state), slice(0, 1), 2)


def test_the_forger_makes_text_that_is_read_where_nothing_is_wrong(tmp_path: Path):
    whole = (text_type(), 2, 0, 0, [None, ENDS, b"ab"], [], None)
    assert load_frame(write(tmp_path, frame(names("a"), (strings(*whole),))))["a"].tolist() == ["a", "b"]


@pytest.mark.parametrize("name", ARROW)
def test_forged_text_is_refused(tmp_path: Path, name: str):
    file = write(tmp_path, frame(names("a"), (strings(*ARROW[name]),)))
    with pytest.raises(DataError) as caught:
        load_frame(file)
    assert "\n" not in str(caught.value)


def poisons(canary: Path) -> dict[str, tuple[object, str]]:
    command = f"touch {canary}"
    bad = Made(os.system, command)
    block = Made(_block, objects(1, bad), slice(0, 1), 2)
    return {
        "system": (bad, "system"),
        "in a block": (frame(names("a"), (block,)), "system"),
        "as a block": (frame(names("a"), (bad,)), "system"),
        "as a name": (frame(names(bad), (NUMBERS,)), "system"),
        "in the index": (
            frame(names("a"), (NUMBERS,), Made(_new_index, pd.RangeIndex, {"start": bad})),
            "system",
        ),
        "as a place": (frame(names("a"), (Made(_block, np.zeros((1, 2)), Made(slice, bad), 2),)), "system"),
        "reduce in a reduce": (Made(_new_index, Made(os.system, command), {}), "system"),
        "as an attribute": (NewObject(pd.DataFrame, {"attrs": bad}), "system"),
        "object array": (objects(1, bad), "system"),
        "eval": (Made(eval, f"__import__('os').system({command!r})"), ".eval,"),
        "getattr": (Made(getattr, pd.DataFrame, "to_csv"), ".getattr,"),
        "open": (Made(open, str(canary), "w"), "open"),
        "pandas' reader": (Made(pd.read_pickle, str(canary)), "read_pickle"),
        "pandas' query": (Made(pd.eval, f"@os.system({command!r})"), "eval"),
        "import": (Made(__import__, "os"), "__import__"),
    }


@pytest.mark.parametrize("name", list(poisons(Path())))
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_poison_is_refused_by_name_and_never_runs(tmp_path: Path, name: str, protocol: int):
    canary = tmp_path / "canary"
    content, asked_for = poisons(canary)[name]
    file = write(tmp_path, content, protocol)
    with pytest.raises(DataError, match="which is refused") as caught:
        load_frame(file)
    assert "\n" not in str(caught.value)
    assert asked_for in str(caught.value)
    assert not canary.exists()


def test_the_poison_is_poison(tmp_path: Path):
    """What the tests above refuse would make the canary."""
    canary = tmp_path / "canary"
    pickle.loads(write(tmp_path, poisons(canary)["object array"][0]).read_bytes())
    assert canary.exists()


def build_on(module: str, name: str, state: bytes) -> bytes:
    return b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\n" + state + b"b."


@pytest.mark.parametrize("name", sorted(unpickle_frame._allowed_globals()))
@pytest.mark.parametrize(
    "state",
    [
        b"}X\x05\x00\x00\x00stateK\x01s",
        b"N}X\x0c\x00\x00\x00__setstate__Ns\x86",
        b"N}X\x05\x00\x00\x00stateNs\x86",
    ],
    ids=["dict", "slot method", "slot value"],
)
def test_no_file_changes_what_later_files_meet(tmp_path: Path, name: tuple[str, str], state: bytes):
    file = tmp_path / "list.pkl"
    file.write_bytes(build_on(*name, state))
    before = {
        key: dict(vars(value))
        for key, value in unpickle_frame._allowed_globals().items()
        if isinstance(value, type)
    }
    with pytest.raises(DataError):
        load_frame(file)
    after = {
        key: dict(vars(value))
        for key, value in unpickle_frame._allowed_globals().items()
        if isinstance(value, type)
    }
    assert after == before


def test_tables_are_known_to_this_reader_only(tmp_path: Path):
    with pytest.raises(DataError, match="refused"):
        load_pickle(write(tmp_path, PLAIN))
    for other in (PLAIN["name"], PLAIN.assign(name=PLAIN["name"].astype("category")), {"a": 1}, [PLAIN]):
        with pytest.raises(DataError):
            load_frame(write(tmp_path, other))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(place=st.integers(0, 10_000), value=st.binary(min_size=1, max_size=3))
def test_a_damaged_table_is_a_table_or_one_line(tmp_path: Path, place: int, value: bytes):
    raw = bytearray(pickle.dumps(TABLE, protocol=4))
    place %= len(raw)
    raw[place : place + len(value)] = value
    file = tmp_path / "list.pkl"
    file.write_bytes(bytes(raw))
    try:
        assert len({len(column) for column in load_frame(file).values()}) == 1
    except DataError as error:
        message = str(error)
    else:
        return
    assert "\n" not in message
