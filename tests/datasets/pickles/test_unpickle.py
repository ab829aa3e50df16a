from __future__ import annotations

import collections
import gzip
import os
import pickle
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.datasets.dataset import DataError
from mmbench.datasets.pickles.unpickle import load_pickle

PROTOCOLS = range(6)


class Call:
    """Asks to be rebuilt by any call."""

    def __init__(self, function: Callable[..., Any], *args: Any, state: Any = None) -> None:
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> Any:
        return self.parts


def write(folder: Path, content: object, protocol: int = 4) -> Path:
    file = folder / "data.pkl"
    file.write_bytes(pickle.dumps(content, protocol=protocol))
    return file


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24, dtype=np.int16).reshape(2, 3, 4)[:, ::2],
        np.zeros((0, 3)),
        np.array(3.5),
        np.array([True, False]),
        np.array(["a", "längere Wörter", "文字"]),
        np.array([b"a", b"bc"]),
        np.array([1, 2, 3], dtype=">i4"),
        np.array([0.5], dtype=np.float16),
        np.array([1 + 2j]),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_arrays_come_back(tmp_path: Path, array: np.ndarray, protocol: int) -> None:
    found = load_pickle(write(tmp_path, {"x": array}, protocol))
    assert isinstance(found, dict)
    result = np.asarray(found["x"])
    assert type(result) is np.ndarray
    assert result.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")  # numpy swaps bytes as it reads
    np.testing.assert_array_equal(result, array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_and_scalars_come_back(tmp_path: Path, protocol: int) -> None:
    content = {
        "a": [1, 2.5, "ä", b"\x00\xff", b"", None, True, (1, 2), {3}, frozenset({4})],
        "b": collections.OrderedDict(x=np.float32(1.5), y=np.int64(-3), z=np.bool_(True)),
        "c": np.array(["text", None, 3, [1, 2]], dtype=object),
    }
    found = load_pickle(write(tmp_path, content, protocol))
    assert isinstance(found, dict)
    assert found["a"] == content["a"]
    assert found["b"] == content["b"]
    assert type(found["b"]["x"]) is np.float32
    assert found["c"].tolist() == content["c"].tolist()


def test_names_of_numpy_1_are_known(tmp_path: Path) -> None:
    raw = pickle.dumps(np.arange(3.0), protocol=2)
    assert b"numpy._core" in raw
    file = tmp_path / "old.pkl"
    file.write_bytes(raw.replace(b"numpy._core", b"numpy.core"))
    np.testing.assert_array_equal(np.asarray(load_pickle(file)), np.arange(3.0))


def test_files_of_python_2_are_read(tmp_path: Path) -> None:
    # as Python 2 with numpy 1.11 wrote numpy.array([1.0]): text is bytes without an encoding
    raw = (
        b"cnumpy.core.multiarray\n_reconstruct\np0\n(cnumpy\nndarray\np1\n(I0\ntp2\nS'b'\np3\ntp4\nRp5\n"
        b"(I1\n(I1\ntp6\ncnumpy\ndtype\np7\n(S'f8'\np8\nI0\nI1\ntp9\nRp10\n(I3\nS'<'\np11\nNNNI-1\nI-1\nI0\n"
        b"tp12\nbI00\nS'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?'\np13\ntp14\nb."
    )
    file = tmp_path / "two.pkl"
    file.write_bytes(raw)
    assert np.asarray(load_pickle(file)).tolist() == [1.0]


def poisons(target: Path) -> dict[str, tuple[object, str]]:
    command = f"touch {target}"
    objects = np.empty(2, dtype=object)
    objects[:] = [1, Call(os.system, command)]
    return {
        "system": (Call(os.system, command), "system"),
        "in a dict": ({"train": {"text": Call(os.system, command)}}, "system"),
        "eval": (Call(eval, f"__import__('os').system({command!r})"), ".eval,"),
        "exec": (Call(exec, "1"), ".exec,"),
        "getattr": (Call(getattr, "x", "upper"), ".getattr,"),
        "import": (Call(__import__, "os"), "__import__"),
        "nested reduce": (Call(np.dtype, Call(os.system, command)), "system"),
        "array of objects": (objects, "system"),
        "list in an array of objects": (np.array([[Call(os.system, command)], 1], dtype=object), "system"),
        "numpy loader": (Call(np.load, "x.npy"), "numpy"),
        "state": (Call(collections.OrderedDict, state=Call(os.system, command)), "system"),
        "partial": (Call(__import__("functools").partial, os.system, command), "functools.partial"),
        "open": (Call(open, str(target), "w"), "open"),
        "other class": (Path("x"), "pathlib"),
    }


@pytest.mark.parametrize("name", list(poisons(Path())))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_poison_is_refused_by_name(tmp_path: Path, name: str, protocol: int) -> None:
    touched = tmp_path / "touched"
    content, asked_for = poisons(touched)[name]
    file = write(tmp_path, content, protocol)
    with pytest.raises(DataError, match="which is refused") as caught:
        load_pickle(file)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{file}: ")
    assert asked_for in message
    assert not touched.exists()


@pytest.mark.parametrize(("package", "remedy"), [("torch", r"\.numpy\(\)"), ("pandas", r"\.to_numpy\(\)")])
def test_common_containers_are_refused_with_a_remedy(tmp_path: Path, package: str, remedy: str) -> None:
    from pandas import Series
    from torch import tensor

    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps({"labels": {"torch": tensor([1.0]), "pandas": Series([1.0])}[package]}))
    with pytest.raises(DataError, match=rf"asks for {package}.*call {remedy} on each"):
        load_pickle(file)


def test_the_global_asked_for_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.pkl"
    file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(DataError, match=re.escape("asks for os.system, which is refused")):
        load_pickle(file)
    dotted = b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93."
    file.write_bytes(dotted)
    with pytest.raises(DataError, match="refused"):
        load_pickle(file)


FORGED = {
    # BUILD with a dict or a slot state on a function that a pickle may name
    "function state": b"\x80\x02cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb.",
    "function slots": b"\x80\x02cnumpy\ndtype\nN}X\x09\x00\x00\x00_functionNs\x86b.",
    # an object type whose elements would be read from bytes
    "objects from bytes": pickle.dumps(
        Call(np._core.multiarray._reconstruct, np.ndarray, (0,), b"b",  # pyright: ignore
             state=(1, (1,), np.dtype("O"), False, b"12345678")),
        protocol=2,
    ),
    "structured": pickle.dumps(np.zeros(2, dtype=[("a", "f4"), ("b", "i8")]), protocol=2),
    "forged fields": b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f8\x85R"
    b"(K\x03X\x01\x00\x00\x00<N(X\x01\x00\x00\x00at}K\x08K\x01K\x00tb.",
    "more data than shape": pickle.dumps(
        Call(np._core.multiarray._reconstruct, np.ndarray, (0,), b"b",  # pyright: ignore
             state=(1, (9,), np.dtype("f8"), False, b"12345678")),
        protocol=2,
    ),
    "more objects than there are": pickle.dumps(
        Call(np._core.multiarray._reconstruct, np.ndarray, (0,), b"b",  # pyright: ignore
             state=(1, (2000,), np.dtype("O"), False, [1])),
        protocol=2,
    ),
    "fewer objects than there are": pickle.dumps(
        Call(np._core.multiarray._reconstruct, np.ndarray, (0,), b"b",  # pyright: ignore
             state=(1, (1,), np.dtype("O"), False, [1, 2])),
        protocol=2,
    ),
    "a shape of text": pickle.dumps(
        Call(np._core.multiarray._reconstruct, np.ndarray, (0,), b"b",  # pyright: ignore
             state=(1, "12", np.dtype("f8"), False, b"12345678" * 2)),
        protocol=2,
    ),
    "a view of an array": pickle.dumps(
        Call(np._core.numeric._frombuffer, np.arange(4.0), np.dtype("f8"), (4,), "C"),  # pyright: ignore
        protocol=2,
    ),
    "dates": pickle.dumps(np.array(["2020-01-01"], dtype="M8[D]"), protocol=2),
    "bytes of any size": b"\x80\x02c__builtin__\nbytes\nK\x05\x85R.",
    "other encoding": b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00zlib\x86R.",
    "persistent": b"\x80\x02K\x01Q.",
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_forged_states_are_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "forged.pkl"
    file.write_bytes(FORGED[name])
    with pytest.raises(DataError) as caught:
        load_pickle(file)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_truncation_is_one_line(tmp_path: Path, protocol: int) -> None:
    raw = pickle.dumps({"train": np.arange(4.0), "id": ["a", "b"]}, protocol=protocol)
    file = tmp_path / "cut.pkl"
    for end in range(len(raw)):
        file.write_bytes(raw[:end])
        with pytest.raises(DataError) as caught:
            load_pickle(file)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "meaning"),
    [
        (b"", "empty"),
        (b"hello", ""),
        (b"\x80\x63x", ""),
        (b"PK\x03\x04", "a zip archive, as torch.save"),
        (b"(" * 50 + b".", ""),
        (gzip.compress(b"x"), "gzip: unpack it"),
        (b"<html>404</html>", "a web page"),
    ],
)
def test_other_files_are_one_line(tmp_path: Path, raw: bytes, meaning: str) -> None:
    file = tmp_path / "other.pkl"
    file.write_bytes(raw)
    with pytest.raises(DataError, match=rf"not a pickle \(.*{meaning}"):
        load_pickle(file)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_pickle(tmp_path / "none.pkl")


@pytest.mark.parametrize(
    "opcode", [b"\x96", b"\x8e", b"\x8d", b"\x95"], ids=["bytearray", "bytes", "text", "frame"]
)
@pytest.mark.parametrize("size", [2**30, 6 * 2**30, 2**62])
def test_announced_bytes_are_not_set_aside(tmp_path: Path, opcode: bytes, size: int) -> None:
    file = tmp_path / "data.pkl"
    file.write_bytes(b"\x80\x05" + opcode + size.to_bytes(8, "little") + b"abc.")
    began = time.monotonic()
    with pytest.raises(DataError, match=f"announces {size} bytes, more than are left in the file"):
        load_pickle(file)
    assert time.monotonic() - began < 1


def test_long_bytes_and_bytearrays_are_read(tmp_path: Path) -> None:
    content = {"a": bytearray(b"xyz" * 50_000), "b": b"1" * 200_000, "c": "é" * 100_000}
    assert load_pickle(write(tmp_path, content, 5)) == content
