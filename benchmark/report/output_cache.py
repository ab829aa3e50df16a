"""The printed output of earlier commands: it is printed again where nothing has changed that decides it.

Nothing heavy is imported here: over thousands of jobs the answer takes less than a second.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..core.atomic_files import as_json, read_json, write_json
from ..core.registry import entries
from ..store.store import Store

#: The folder in a store for what is made of it and may be deleted.
RECORDS = "made"
#: The files of a job that tables are made of.
_OF_JOB = ("job.json", "done.json", "predictions.parquet", "fit.json", "environment.json", "evaluations")
#: Those of a job that is not done.
_STATE = ("job.json", "failed.json", "progress.json", "pruned.json")
_PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True)
class PrintedOutput:
    """What a command printed.

    Attributes:
        text: all of it.
        complete: whether the results that its tables need were all there.
    """

    text: str
    complete: bool


def signature(store: Path, options: Iterable[object], plugins: Sequence[Path] = ()) -> str:
    """A hash of all that decides what the command prints and writes.

    Args:
        store: folder of the results; their sizes and times count.
        options: of the command.
        plugins: plug-in files; their sizes and times count, and those of the code that makes tables.
    """
    digest = hashlib.sha256(repr([str(option) for option in options]).encode())
    for line in (*_stamps(_code(plugins)), *_stamps(_results(store))):
        digest.update(line.encode())
    return digest.hexdigest()


def signature_of_code(plugins: Sequence[Path] = ()) -> str:
    """A hash of sizes and times of the code that makes tables, with plug-in files and installed packages."""
    return hashlib.sha256("\n".join(_stamps(_code(plugins))).encode()).hexdigest()


def signature_of_jobs(store: Path, jobs: Iterable[str], code: str) -> str:
    """As ``signature``, of some jobs alone and whatever is asked.

    Args:
        store: folder of the results.
        jobs: their folders.
        code: of ``signature_of_code``.
    """
    stamps = [*_stamps(published_files(store)), *_stamps(_of_jobs(store, jobs))]
    return hashlib.sha256("\n".join([code, *stamps]).encode()).hexdigest()


def published_files(store: Path) -> list[Path]:
    """The files of published numbers that a user has put into a store, beside those that come with mmbench."""
    return sorted((store / "published").glob("*.csv"))


def stored_output(store: Path, folder: Path, signature_now: str) -> PrintedOutput | None:
    """What was printed when these tables were made, where every file of theirs is as it was written.

    Args:
        store: folder of the results.
        folder: where the files of the command are written.
        signature_now: of ``signature``, at present.

    Returns:
        The output; None where there is none, or something has changed since.
    """
    record = read_json(_record(store, folder))
    if not isinstance(record, dict) or record.get("signature") != signature_now:
        return None
    if record.pop("sha256", None) != _hash(record):
        return None
    if list(_stamps(Path(file) for file in record["files"])) != record["stamps"]:
        return None
    return PrintedOutput(record["text"], record["complete"])


def store_output(
    store: Path, folder: Path, signature_now: str, printed: PrintedOutput, files: Iterable[Path]
) -> None:
    """Keeps in the store what was printed; without a file there is nothing to keep, and where the store cannot be
    written, tables are made again next time.

    Args:
        store: folder of the results.
        folder: where the files of the command were written.
        signature_now: of ``signature``, taken before anything was read.
        printed: what the command printed.
        files: what it wrote.
    """
    names = [str(file.absolute()) for file in files]
    if names and not (store / RECORDS).is_symlink():
        stamps = list(_stamps(map(Path, names)))
        record = {"signature": signature_now, "text": printed.text, "complete": printed.complete}
        with suppress(OSError):
            _record(store, folder).parent.mkdir(exist_ok=True)
            record |= {"files": names, "stamps": stamps}
            write_json(_record(store, folder), {**record, "sha256": _hash(record)})


def _hash(record: Mapping[str, object]) -> str:
    """A hash of a record, which shows a bit that flipped on the disk."""
    return hashlib.sha256(as_json(record)).hexdigest()


def _record(store: Path, folder: Path) -> Path:
    """Where the record of the tables in a folder lies."""
    return store / RECORDS / f"{hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]}.json"


def _code(plugins: Sequence[Path]) -> Iterator[Path]:
    """Every file whose change may change a table."""
    for folder in ("benchmark", "leaderboards"):
        yield from sorted(file for file in (_PACKAGE / folder).rglob("*.*") if file.suffix != ".pyc")
    yield from (file.absolute() for file in plugins)
    for installed in (entries("table"), entries("metric")):
        yield from sorted({entry.source() for entry in installed.values()})


def _results(store: Path) -> Iterator[str | Path]:
    """Files, and of jobs that are not done whether they are running."""
    yield from sorted((store / "external").glob("*.csv"))
    yield from published_files(store)
    jobs = os.path.join(store, "jobs")
    yield from _of_jobs(store, sorted(os.listdir(jobs)) if os.path.isdir(jobs) else ())


def _of_jobs(store: Path, jobs: Iterable[str]) -> Iterator[str | Path]:
    for name in jobs:
        folder = os.path.join(store, "jobs", name)
        if os.path.exists(os.path.join(folder, "done.json")):
            yield from (os.path.join(folder, file) for file in _OF_JOB)
            yield from _inside(os.path.join(folder, "evaluations"))
        else:
            yield from (os.path.join(folder, file) for file in _STATE)
            yield f"held {Store(store).job(name).is_held()}" if os.path.isdir(folder) else "no folder"


def _inside(folder: str) -> list[str]:
    return sorted(os.path.join(folder, name) for name in os.listdir(folder)) if os.path.isdir(folder) else []


def _stamps(files: Iterable[str | Path]) -> Iterator[str]:
    for file in files:
        try:
            status = os.stat(file)
            yield f"{file} {status.st_size} {status.st_mtime_ns}"
        except OSError:
            yield f"{file} none"
