"""A table of clips that a user wrote: every cell is text, and an error names file, row and column."""

from __future__ import annotations

import csv
import io
import numbers
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path

from ..counting import counted
from ..dataset import DataError, data_error
from ..layout.entries import nearest

_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
SUFFIXES = (".csv", ".tsv", ".parquet")
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:[.,]\d+)?)|(\d+(?:\.\d*)?|\.\d+)", re.ASCII)
#: The first line of a table that tells a spreadsheet what separates its cells.
_SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?[ ,;\t]*[\r\n]+', re.IGNORECASE)


@dataclass(frozen=True)
class ClipTable:
    """A table in memory.

    Attributes:
        file: where it was read.
        columns: name -> [rows], text without spaces at its ends; an empty cell is empty text.
        numbers: [rows], the number that each row has for a reader: from 2 below a header, from 1 without; empty
            lines count.
        unreadable: name -> what is wrong with a column whose cells are no text; its cells are empty in ``columns``.
    """

    file: Path
    columns: Mapping[str, tuple[str, ...]]
    numbers: tuple[int, ...]
    unreadable: Mapping[str, DataError] = field(default_factory=dict[str, DataError])

    def __len__(self) -> int:
        return len(self.numbers)

    def column(self, name: str) -> tuple[str, ...]:
        """A column. Raises DataError: there is none of that name, or its cells are no text."""
        if name in self.unreadable:
            raise self.unreadable[name]
        if name not in self.columns:
            wrong = f"no column {name!r}{nearest(name, self.columns)}"
            raise data_error(self.file, "", wrong, f"it beside {', '.join(self.columns) or 'no column'}")
        return self.columns[name]

    def where(self, column: str, values: Collection[str]) -> ClipTable:
        """The rows whose cell is one of some values.

        Args:
            column: whose cell.
            values: that are kept.
        """
        rows = [row for row, cell in enumerate(self.column(column)) if cell in values]
        kept = {name: tuple(cells[row] for row in rows) for name, cells in self.columns.items()}
        return replace(self, columns=kept, numbers=tuple(self.numbers[row] for row in rows))

    def wrong(self, row: int, column: str, wrong: str, expected: str) -> DataError:
        """A DataError that names file, row and column.

        Args:
            row: its index.
            column: its name.
            wrong: what is wrong.
            expected: what should be there.
        """
        return data_error(self.file, f"row {self.numbers[row]}, column {column}", wrong, expected)


def read_table(file: Path) -> ClipTable:
    """Reads a .csv (commas), .tsv (tabs) or .parquet table.

    Empty lines, and rows of empty cells alone, are passed over. A first line ``sep=;``, as spreadsheets write it,
    says what separates the cells.

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


def _lines(file: Path, delimiter: str) -> ClipTable:
    rows: list[list[str]] = []
    before = 0
    try:
        # utf-8-sig: spreadsheets write a mark at the beginning
        text = file.read_bytes().decode("utf-8-sig")
        if stated := _SEPARATOR_LINE.match(text):
            delimiter, text, before = stated[1], text[stated.end() :], 1
        with _cells_of_any_length():
            rows.extend(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
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
        raise data_error(file, f"row {before + len(rows) + 1}", wrong, expected) from None
    filled = [(number, row) for number, row in enumerate(rows, before + 1) if any(map(str.strip, row))]
    if not filled:
        raise data_error(file, "", "empty", "a header and a row for each clip")
    top, header = filled[0][0], [name.strip() for name in filled[0][1]]
    others = [name for sign, name in _SEPARATORS.items() if sign in header[0]]
    if len(header) == 1 and others:
        known = _SEPARATORS.get(delimiter, repr(delimiter))
        expected = f"columns separated by {known} in a {file.suffix.lower()}"
        raise data_error(file, f"row {top}", f"one column, with {' and '.join(others)} in its name", expected)
    for name in header:
        if header.count(name) > 1:
            raise data_error(file, f"row {top}", f"column {name!r} is named twice", "each column once")
    for number, row in filled[1:]:
        if len(row) != len(header):
            wrong = f"{counted(len(row), 'cell')} (a comma in a text needs quotes around the text)"
            raise data_error(file, f"row {number}", wrong, f"{len(header)}, as in the header")
    cells = zip(*(row for _, row in filled[1:]), strict=True) if len(filled) > 1 else ([] for _ in header)
    columns = {name: tuple(c.strip() for c in column) for name, column in zip(header, cells, strict=True)}
    return ClipTable(file, columns, tuple(number for number, _ in filled[1:]))


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Lifts the limit of Python's reader, 131,072 letters a cell, which is no limit of the format."""
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # what a C long holds everywhere
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _parquet(file: Path) -> ClipTable:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(file)
        values = {name: table[name].to_pylist() for name in table.column_names}
    except OSError as error:
        raise data_error(file, "", f"cannot be read ({error})", "a readable file") from None
    except (pyarrow.ArrowException, KeyError) as error:
        raise data_error(file, "", f"not a table ({error})", "parquet with each column once") from None
    columns: dict[str, tuple[str, ...]] = {}
    unreadable: dict[str, DataError] = {}
    for name, column in values.items():
        cells: list[str] = []
        try:
            for value in column:
                cells.append(_text(value))
        except ValueError as error:
            # only a column that is asked for has to be text
            place = f"row {len(cells) + 1}, column {name}"
            unreadable[name] = data_error(file, place, str(error), "text, a number, or nothing")
            cells = [""] * len(column)
        columns[name] = tuple(cells)
    return ClipTable(file, columns, tuple(range(1, table.num_rows + 1)), unreadable)


def _text(value: object) -> str:
    """A cell as text, as it would stand in a CSV. Raises ValueError, with what it is, where it has no text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bytes):
        try:
            return value.decode().strip()
        except UnicodeDecodeError:
            raise ValueError("bytes that are not text in UTF-8") from None
    if isinstance(value, timedelta):
        return _text(value.total_seconds())
    if isinstance(value, (bool, int, date, time)):
        return str(value)
    if isinstance(value, (numbers.Real, Decimal)):
        if value != value:
            return ""
        # a column of numbers with a hole in it is read as fractions: 3.0 is 3
        whole = float(value).is_integer()
        return format(Decimal(str(value)), ".0f") if whole else format(Decimal(str(value)), "f")
    raise ValueError(f"a {type(value).__name__}, which is no text")


def seconds(text: str) -> float | None:
    """Seconds from ``12.5``, ``01:09.14``, ``00:01:09.14`` or, as in subtitles, ``00:01:09,140``; None where it is
    none of them."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, rest, plain = match.groups()
    return (
        float(plain)
        if plain
        else 3600.0 * int(hours or 0) + 60.0 * int(minutes) + float(rest.replace(",", "."))
    )
