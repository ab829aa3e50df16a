"""The text files of the PhysioNet / Computing in Cardiology Challenge 2012: one for each stay, and the outcomes of all.

::

    Time,Parameter,Value              RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death
    00:00,RecordID,132539             132539,6,1,5,-1,0
    00:00,Age,54
    00:07,HR,73

Descriptors stand at 00:00; of those, -1 is unknown. Weight is both: the first at 00:00 is a descriptor, each further one is a
measurement. No value can be below 0, so that one below 0 was not observed, whatever it is of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from ..counting import counted
from ..dataset import SPLITS, VALIDATION_SEED, Samples, data_error
from .icu_names import DESCRIPTORS, DOMAINS, HEADER, MEASURED, OUTCOME_HEADER, SHARES, STATIC
from .padded import Series, longest, padded

_PLACES = {
    name: (modality, column) for modality, names in MEASURED.items() for column, name in enumerate(names)
}


@dataclass(frozen=True)
class Stay:
    """What the file of one stay says.

    Attributes:
        record: its number.
        domain: the type of unit.
        series: ``vitals``, ``labs`` (a step for each time at which one of them was measured) and ``static`` (one step).
    """

    record: str
    domain: str
    series: Mapping[str, Series]


def read_stays(outcomes: Path, folder: Path) -> dict[str, Samples]:
    """Reads and checks every split of a set.

    Args:
        outcomes: ``Outcomes-a.txt``, or that of another set.
        folder: of the stays' files.

    Raises:
        DataError: a file is faulty, or stays and outcomes are not of the same records.
    """
    died = read_outcomes(outcomes)
    files = {file.stem: file for file in stay_files(folder)}
    for record in sorted(died.keys() - files.keys())[:1]:
        raise data_error(folder, "", f"no {record}.txt", f"a file of every stay in {outcomes.name}")
    for record in sorted(files.keys() - died.keys())[:1]:
        expected = f"an outcome of every stay in {folder.name}"
        raise data_error(outcomes, "", f"no line for record {record}", expected)
    stays = [read_stay(files[record]) for record in sorted(died)]
    split = draw_splits([(stay.record, stay.domain, died[stay.record]) for stay in stays])
    steps = {name: longest([stay.series[name] for stay in stays]) for name in stays[0].series}
    found = {}
    for part in SPLITS:
        members = [stay for stay, place in zip(stays, split, strict=True) if place == part]
        if not members:
            raise data_error(outcomes, part, "no samples", f"more than {counted(len(stays), 'stay')}")
        arrays = padded({name: [stay.series[name] for stay in members] for name in steps}, steps)
        found[part] = Samples(
            features=arrays.features,
            mask=arrays.mask,
            present=arrays.present,
            target=np.array([died[stay.record] for stay in members], np.int64),
            sample_id=np.array([stay.record for stay in members]),
            domain=np.array([stay.domain for stay in members]),
            previous=np.full(len(members), -1, np.int64),
            observed=arrays.observed,
            time=arrays.time,
        )
    return found


def stay_files(folder: Path) -> list[Path]:
    """The files of the stays in a folder, by name. Raises DataError where there are none."""
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".txt")
    except OSError as error:
        raise data_error(
            folder, "", f"cannot be read ({error.strerror})", "the folder of the stays"
        ) from None
    if not files:
        raise data_error(folder, "", "no file of a stay", "a text file for each stay, named by its record")
    return files


def read_outcomes(file: Path) -> dict[str, int]:
    """Record -> 1 where the patient died in hospital, else 0.

    Raises:
        DataError: another header, a line of another form, or a record that stands twice.
    """
    died: dict[str, int] = {}
    column = OUTCOME_HEADER.index("In-hospital_death")
    for number, parts in _lines(file, OUTCOME_HEADER):
        record, said = parts[0].strip(), parts[column].strip()
        if said not in ("0", "1"):
            raise data_error(file, f"line {number}", f"in-hospital death is {said!r}", "0 or 1")
        if record in died:
            raise data_error(file, f"line {number}", f"record {record} stands twice", "each stay once")
        died[record] = int(said)
    if not died:
        raise data_error(file, "", "no stay", "a line for each stay")
    return died


def read_stay(file: Path) -> Stay:
    """Reads the file of one stay.

    Values of one variable at one minute are averaged.

    Raises:
        DataError: another header, a line of another form, an unknown variable or type of unit, or a record that is not that
            of the file's name.
    """
    described: dict[str, float] = {}
    measured: dict[str, dict[int, dict[int, list[float]]]] = {name: {} for name in MEASURED}
    for number, (time, name, said) in _lines(file, HEADER):
        minute = _minute(time, file, number)
        value = _number(said, name, file, number)
        if name in DESCRIPTORS and minute == 0 and name not in described:
            described[name] = value
            continue
        place = _PLACES.get(name)
        if place is None:
            wrong = (
                f"{name!r} again, or not at 00:00" if name in DESCRIPTORS else f"unknown variable {name!r}"
            )
            raise data_error(file, f"line {number}", wrong, "a variable of the challenge, a descriptor once")
        if value >= 0:
            measured[place[0]].setdefault(minute, {}).setdefault(place[1], []).append(value)
    record, unit = described.get("RecordID", -1), described.get("ICUType", -1)
    if f"{record:.0f}" != file.stem:
        raise data_error(file, "RecordID", f"is {record:.0f}", f"that of the file's name, {file.stem}")
    if unit not in DOMAINS:
        raise data_error(file, "ICUType", f"is {unit:g}", f"one of {', '.join(map(str, DOMAINS))}")
    series = {name: _series(of_minute, len(MEASURED[name])) for name, of_minute in measured.items()}
    values = np.array([[described.get(name, -1) for name in STATIC]])
    known = values >= 0
    series["static"] = Series(np.where(known, values, 0).astype(np.float32), known)
    return Stay(file.stem, DOMAINS[int(unit)], series)


def draw_splits(stays: Sequence[tuple[str, str, int]]) -> list[str]:
    """The split of every stay: by the hash of its record, a share of each type of unit and outcome.

    Args:
        stays: record, type of unit and outcome of each; their order does not matter.
    """
    split: dict[str, str] = {}
    for stratum in sorted({stay[1:] for stay in stays}):
        members = [stay[0] for stay in stays if stay[1:] == stratum]
        members.sort(key=lambda record: sha256(f"{VALIDATION_SEED}\0{record}".encode()).digest())
        ends = [round(len(members) * share) for share in np.cumsum(list(SHARES.values()))]
        for place, record in enumerate(members):
            split[record] = SPLITS[sum(place >= end for end in ends[:-1])]
    return [split[stay[0]] for stay in stays]


def _lines(file: Path, header: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The number and the parts of each line after the header. Raises DataError."""
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise data_error(file, "", f"cannot be read ({error.strerror})", "a readable file") from None
    except UnicodeDecodeError:
        raise data_error(file, "", "is no plain text", "lines of numbers and names") from None
    first = ",".join(header)
    if not lines or lines[0].strip() != first:
        said = lines[0].strip()[:60] if lines else ""
        raise data_error(file, "line 1", f"is {said!r}", repr(first))
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        parts = line.split(",")
        if len(parts) != len(header):
            raise data_error(
                file, f"line {number}", f"is {line[:60]!r}", f"{counted(len(header), 'part')}: {first}"
            )
        yield number, parts


def _minute(text: str, file: Path, number: int) -> int:
    hours, colon, minutes = text.strip().partition(":")
    if not (colon and len(hours) == len(minutes) == 2 and (hours + minutes).isdigit() and minutes < "60"):
        raise data_error(file, f"line {number}", f"the time is {text!r}", "hours and minutes, as 07:30")
    return 60 * int(hours) + int(minutes)


def _number(text: str, name: str, file: Path, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not abs(value) < np.finfo(np.float32).max:
        raise data_error(file, f"line {number}", f"{name} is {text.strip()!r}", "a finite number")
    return value


def _series(measured: Mapping[int, Mapping[int, Sequence[float]]], width: int) -> Series:
    """Minute -> column -> values, as a series; a step for each minute."""
    minutes = sorted(measured)
    values, observed = np.zeros((len(minutes), width), np.float32), np.zeros((len(minutes), width), bool)
    for step, minute in enumerate(minutes):
        for column, said in measured[minute].items():
            values[step, column], observed[step, column] = np.mean(said), True
    return Series(values, observed, 60.0 * np.array(minutes, np.float64))
