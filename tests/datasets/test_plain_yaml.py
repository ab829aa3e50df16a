"""Every fault of a YAML file is one line with its place, and none costs more time or memory than a description can."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.datasets.dataset import DataError
from mmbench.datasets.layout.entries import Entries
from mmbench.datasets.layout.read_description import read_description
from mmbench.datasets.plain_yaml import PlainYamlError, parse_plain_yaml, plain_yaml_text, read_plain_yaml

LAUGHS = "\n".join(
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]",
        *(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]" for n in range(9)),
    ]
)
FAULTS = {
    "a: 2024-02-31": "line 1: '2024-02-31' is no timestamp",
    "a: 1\nb: " + "9" * 5000: "line 2: '999",
    "a: !!int 0x" + "f" * 5000: "line 1: a whole number beyond 2^63",
    "a: !!int _": "line 1: '_' is no int",
    "a: !!bool maybe": "line 1: 'maybe' is no bool",
    "a: !!timestamp x": "line 1: 'x' is no timestamp",
    "a: " + "[" * 1000 + "]" * 1000: "line 1: more than 50 levels",
    "\n".join(" " * level + "a:" for level in range(1000)): "line 50: more than 50 levels",
    'x: 1\nstore: "a\\0b"': "line 2: a text with a character",
    'a: "\\ud800"': "line 1: a text with a character",
    'a: "\\U00110000"': "chr()",
    "a: &x [*x]": "an alias that stands for what it is in",
    "a: !!python/object/apply:os.system [touch x]": "line 1: could not determine a constructor",
    "? [a]\n: 3": "line 1: while constructing a mapping, found unhashable key",
    "a: 1\na: 2": "line 2: 'a' again, first in line 1",
    LAUGHS: "stands for more than 1000000 values",
    "a: [1": "line 1: while parsing a flow sequence",
}


@pytest.mark.parametrize("text", list(FAULTS), ids=lambda text: text[:20])
def test_every_fault_is_one_line_with_its_place(text: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(PlainYamlError) as caught:
        parse_plain_yaml(text)
    said = str(caught.value)
    assert FAULTS[text] in said
    assert said.isprintable()
    assert len(said) < 400
    assert time.monotonic() - began < 10
    file = tmp_path / "dataset.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as described:
        read_description(file)
    assert len(str(described.value).splitlines()) == 1
    assert str(file) in str(described.value)


def test_what_people_write_is_read() -> None:
    text = "base: &b {epochs: 3, lr: 1e-3}\nother: *b\nseeds: [0, 1]\nday: 2024-02-29\nok: true\n"
    values = parse_plain_yaml(text)
    assert values["other"] == {"epochs": 3, "lr": 0.001}
    assert parse_plain_yaml("time: 90:00\naccount: 0123") == {"time": "90:00", "account": "0123"}
    assert parse_plain_yaml("nodes: 2\nok: true", scalars="text") == {"nodes": "2", "ok": "true"}
    assert (values["seeds"], str(values["day"]), values["ok"]) == ([0, 1], "2024-02-29", True)


def test_a_file_is_read_no_further_than_a_description_is_long(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    with open(file, "wb") as stream:
        stream.truncate(2**32)  # sparse
    with pytest.raises(PlainYamlError, match="more than the 4194304 bytes"):
        read_plain_yaml(file)
    file.write_bytes("a: 1".encode("utf-16"))
    with pytest.raises(PlainYamlError, match="not UTF-8"):
        read_plain_yaml(file)


def test_absurd_numbers_of_classes_are_refused_before_they_are_written_out() -> None:
    entries = Entries(Path("dataset.yaml"))
    began = time.monotonic()
    for number in (100_001, 100_000_000, 2**62):
        with pytest.raises(DataError, match="at most 100000 classes"):
            entries.classes(number)
    assert time.monotonic() - began < 1
    assert entries.classes(3) == ("0", "1", "2")
    assert len(entries.classes(100_000)) == 100_000


@pytest.mark.parametrize(
    "values",
    [
        ", ".join(f"{n * 99_999}-{n * 99_999 + 99_998}: train" for n in range(50)),
    ],
)
def test_long_ranges_are_refused_before_they_are_written_out(values: str, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"")
    file = tmp_path / "dataset.yaml"
    file.write_text(
        f"file: a.npz\nmodalities: {{text: t}}\nlabel: l\ntask: {{kind: classification, classes: 2}}\n"
        f"split: {{array: s, values: {{{values}, valid: valid, test: test}}}}\n"
    )
    began = time.monotonic()
    with pytest.raises(DataError, match="split/values"):
        read_description(file)
    assert time.monotonic() - began < 3


PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
NUMBERS_AS_TEXT = st.from_regex(r"[-+]?[0-9]{0,3}\.?[0-9]{0,3}([eE][-+]?[0-9]{1,2})?", fullmatch=True)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False), PLAIN, NUMBERS_AS_TEXT
)


@given(
    st.dictionaries(
        st.one_of(PLAIN, NUMBERS_AS_TEXT), st.one_of(VALUES, st.lists(VALUES, max_size=3)), max_size=4
    )
)
def test_what_is_written_is_read_back_of_the_same_types(values: dict[str, object]) -> None:
    read = parse_plain_yaml(plain_yaml_text(values))
    assert read == values
    assert repr(read) == repr(values)


@pytest.mark.parametrize(
    "text", ["0E0", "1e5", "-2e10", "1_0", ".5", "0123", "90:00", "yes", "~", "2024-02-29"]
)
def test_a_text_that_looks_like_a_value_stays_a_text(text: str) -> None:
    assert parse_plain_yaml(plain_yaml_text({text: [text]})) == {text: [text]}
