"""Numbers that others published, from CSV files: those of this folder, and those that a user adds.

A file has the columns of ``COLUMNS``, and a row for each number. ``value`` and ``sd`` are in the unit of the metric:
fractions, not percent. Nothing heavy is imported here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..labels import MISSING

#: What is known of a number: it was read where it was published; in another publication that prints it again; it was
#: transcribed by others or is remembered, and must be checked before it is cited; or it is no published number but what
#: others' weights or formulas give where they are run.
TAGS = ("published", "reprinted", "not verified", "our reading")
COLUMNS = (
    "dataset",
    "modalities",
    "method",
    "condition",
    "metric",
    "value",
    "sd",
    "seeds",
    "selection",
    "features",
    "source",
    "tag",
)


@dataclass(frozen=True)
class Number:
    """A published number.

    Attributes:
        dataset: name of the dataset or task, such as ``"mosi"``.
        modalities: how many there were; 0 where it is for any.
        method: name of the method, as ``--methods`` takes it where mmbench has it.
        condition: as tables call it: ``"clean"``, ``"missing:text"``, ``"mean:random-frames"``.
        metric: name of the metric.
        value: in the unit of the metric.
        sd: standard deviation over seeds, in the same unit; None where it is not stated.
        seeds: how many; None where it is not stated.
        selection: what chose the network or the epoch.
        features: of which features.
        source: where it stands.
        tag: one of ``TAGS``.
    """

    dataset: str
    modalities: int
    method: str
    condition: str
    metric: str
    value: float
    sd: float | None
    seeds: int | None
    selection: str
    features: str
    source: str
    tag: str


#: The files from outside, as ``use`` was told last.
_OUTSIDE: list[Path] = []


def numbers() -> tuple[Number, ...]:
    """Every number that is known, in the order of the files.

    Raises:
        ValueError: a file is not as it should be.
    """
    own = sorted(Path(__file__).parent.glob("*.csv"))
    return tuple(number for file in [*own, *_OUTSIDE] for number in read(file))


def use(files: Sequence[Path]) -> None:
    """Makes the numbers of these files from outside known in this process, in place of those that were known before.

    Raises:
        ValueError: a file is not as it should be.
    """
    for file in files:
        read(file)
    _OUTSIDE[:] = files


def numbers_for(task: str, modalities: str) -> list[Number]:
    """The numbers that were published for a task with as many modalities.

    Args:
        task: such as ``"mosi"``.
        modalities: joined by ``+``.
    """
    count = modalities.count("+") + 1
    return [one for one in numbers() if one.dataset == task and one.modalities in (0, count)]


def base_name(label: str) -> str:
    """The method of a row's label, without its parameters: ``"mult(width=40)"`` -> ``"mult"``."""
    return label.partition("(")[0].partition(" [")[0].strip()


def condition_key(condition: str) -> tuple[str, frozenset[str]]:
    """What two names of one condition have in common: missing modalities count in any order."""
    if condition.startswith(MISSING):
        return MISSING, frozenset(condition.removeprefix(MISSING).split("+"))
    return condition, frozenset()


def read(file: Path) -> tuple[Number, ...]:
    """Reads a file of numbers.

    Args:
        file: a CSV file in UTF-8 with a header of ``COLUMNS``.

    Returns:
        Its numbers, in its order.

    Raises:
        ValueError: it cannot be read, lacks a column, or a row is not as it should be; the message names file and line.
    """
    try:
        return _read(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise ValueError(f"{file}: cannot be read: {error.strerror}") from None


@cache
def _read(file: Path, changed: int) -> tuple[Number, ...]:
    with file.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream)
        lacking = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if lacking:
            raise ValueError(f"{file}: lacks the column {lacking[0]!r}; expected {', '.join(COLUMNS)}")
        return tuple(_checked(file, rows))


def _checked(file: Path, rows: csv.DictReader[str]) -> Iterable[Number]:
    for row in rows:
        try:
            yield _number(row)
        except ValueError as error:
            raise ValueError(f"{file}, line {rows.line_num}: {error}") from None


def _number(row: dict[str, str]) -> Number:
    text = {name: (row[name] or "").strip() for name in COLUMNS}
    empty = [name for name in ("dataset", "method", "condition", "metric", "source") if not text[name]]
    if empty:
        raise ValueError(f"no {empty[0]}")
    if text["tag"] not in TAGS:
        raise ValueError(f"tag {text['tag']!r}: expected one of {', '.join(TAGS)}")
    return Number(
        dataset=text["dataset"],
        modalities=_whole("modalities", text["modalities"]) or 0,
        method=text["method"],
        condition=text["condition"],
        metric=text["metric"],
        value=_real("value", text["value"]),
        sd=_real("sd", text["sd"]) if text["sd"] else None,
        seeds=_whole("seeds", text["seeds"]),
        selection=text["selection"] or "not stated",
        features=text["features"] or "not stated",
        source=text["source"],
        tag=text["tag"],
    )


def _real(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name} {text!r}: expected a number") from None
    if value - value != 0:  # NaN or infinite
        raise ValueError(f"{name} {text!r}: expected a finite number")
    return value


def _whole(name: str, text: str) -> int | None:
    if text and not text.isdecimal():
        raise ValueError(f"{name} {text!r}: expected a whole number")
    return int(text) if text else None
