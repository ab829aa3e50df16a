"""A table of clips that a user wrote: every cell is text, and an error names file, row and column."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..dataset import DataError, data_error
from ..layout.entries import nearest

_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
SUFFIXES = (".csv", ".tsv", ".parquet")
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)|(\d+(?:\.\d*)?|\.\d+)", re.ASCII)


@dataclass(frozen=True)
class Table:
    """A table in memory.

    Attributes:
        file: where it was read.
        columns: name -> [rows], text without spaces at its ends; an empty cell is empty text.
        first: the number that the first row has for a reader: 2 below a header, 1 without.
    """

    file: Path
    columns: Mapping[str, tuple[str, ...]]
    first: int = 2

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def column(self, name: str) -> tuple[str, ...]:
        """A column. Raises DataError: there is none of that name."""
        if name not in self.columns:
            wrong = f"no column {name!r}{nearest(name, self.columns)}"
            raise data_error(self.file, "", wrong, f"it beside {', '.join(self.columns) or 'no column'}")
        return self.columns[name]

    def wrong(self, row: int, column: str, wrong: str, expected: str) -> DataError:
        """A DataError that names file, row and column."""
        return data_error(self.file, f"row {row + self.first}, column {column}", wrong, expected)


def read_table(file: Path) -> Table:
    """Reads a .csv (commas), .tsv (tabs) or .parquet table.

    Raises:
        DataError: not there, broken, of another kind, without a row; a column that is named twice; a row with
            more or fewer cells than the header.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise data_error(file, "", "a table of an unknown kind", ", ".join(SUFFIXES))
    if not file.is_file():
        raise data_error(file, "", "is not there", "a table of clips")
    table = _parquet(file) if suffix == ".parquet" else _lines(file, "\t" if suffix == ".tsv" else ",")
    if not len(table):
        raise data_error(file, "", "no clips", "at least one row")
    return table


def _lines(file: Path, delimiter: str) -> Table:
    rows: list[list[str]] = []
    try:
        content = file.read_bytes()
        # utf-8-sig: spreadsheets write a mark at the beginning
        stream = io.StringIO(content.decode("utf-8-sig"), newline="")
        rows.extend(csv.reader(stream, delimiter=delimiter, strict=True))
    except OSError as error:
        raise data_error(file, "", f"cannot be read ({error.strerror})", "a readable file") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise data_error(file, f"line {line}", "not text in UTF-8", "a table saved as UTF-8") from None
    except csv.Error as error:
        ended = "end of data" in str(error)
        wrong = "a quote opens and is not closed" if ended else f"{error} (is a quote before it not closed?)"
        expected = "quotes around a text, and each quote inside it twice"
        # a row with a text over several lines counts once, as in all messages
        raise data_error(file, f"row {len(rows) + 1}", wrong, expected) from None
    while rows and not rows[-1]:  # empty lines at the end
        rows.pop()
    if not rows:
        raise data_error(file, "", "empty", "a header and a row for each clip")
    header = [name.strip() for name in rows[0]]
    others = [name for sign, name in _SEPARATORS.items() if sign in header[0]]
    if len(header) == 1 and others:
        expected = f"columns separated by {_SEPARATORS[delimiter]} in a {file.suffix.lower()}"
        raise data_error(file, "row 1", f"one column, with {' and '.join(others)} in its name", expected)
    for name in header:
        if header.count(name) > 1:
            raise data_error(file, "row 1", f"column {name!r} is named twice", "each column once")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            wrong = f"{len(row)} cells (a comma in a text needs quotes around the text)"
            raise data_error(file, f"row {number}", wrong, f"{len(header)}, as in the header")
    cells = zip(*rows[1:], strict=True) if len(rows) > 1 else ([] for _ in header)
    return Table(
        file, {name: tuple(c.strip() for c in column) for name, column in zip(header, cells, strict=True)}
    )


def _parquet(file: Path) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        found = pyarrow.parquet.read_table(file)
        columns = {
            name: tuple(_text(value) for value in found[name].to_pylist()) for name in found.column_names
        }
    except OSError as error:
        raise data_error(file, "", f"cannot be read ({error})", "a readable file") from None
    except (pyarrow.ArrowException, KeyError) as error:
        raise data_error(file, "", f"not a table ({error})", "parquet with each column once") from None
    return Table(file, columns, first=1)


def _text(value: object) -> str:
    # a column of numbers with a hole in it is read as fractions: 3.0 is 3
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def seconds(text: str) -> float | None:
    """Seconds from ``12.5``, ``01:09.14`` or ``00:01:09.14``; None where it is none of them."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    hours, minutes, rest, plain = found.groups()
    return float(plain) if plain else 3600.0 * int(hours or 0) + 60.0 * int(minutes) + float(rest)
