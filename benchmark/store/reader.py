"""Reads the jobs of a store, and reports the folders that cannot be read instead of ending with them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path

from ..core.atomic_files import read_json
from ..core.errors import UsageError
from ..core.job import Job
from .job_folder import SCHEMA, Record
from .job_schema import RefusedError, parse_job
from .names import REGIMES, OtherVersionError, StoreError
from .store import Store, set_aside


def records(store: Store, only: Collection[str] = ()) -> tuple[list[Record], list[str]]:
    """The jobs of a store.

    A job of another schema that can still be identified is returned as failed. Its row in a table is then a hole, and
    not a mean over the seeds that happen to be left.

    Args:
        store: the store.
        only: the ids of the jobs to read; all where it is empty.

    Returns:
        The records of the jobs, and one line for each folder that this version cannot identify.
    """
    by_id: dict[str, Record] = {}
    broken: list[tuple[Path, Exception]] = []
    files = [store.job(job).path / "job.json" for job in sorted(only)] or store.job_files()
    for file in files:
        try:
            record = store.read_record(file)
        except (StoreError, UsageError, ValueError) as error:
            broken.append((file, error))
        else:
            by_id[record.job.id] = record
    faults: list[Exception] = []
    for file, error in broken:
        job, schema = _job_of_other_schema(file)
        if job is None or job.id in by_id:
            faults.append(error)
        else:
            reason = f"job.json was written by another version of mmbench (schema {schema}); {set_aside(store.path)}"
            by_id[job.id] = Record(job, "failed", reason)
    return list(by_id.values()), fault_lines(store, faults)


def fault_lines(store: Store, faults: Sequence[Exception]) -> list[str]:
    """One line for each job that cannot be read; those that another version wrote are one line together.

    Args:
        store: the store of the jobs.
        faults: why each cannot be read.
    """
    others = [fault for fault in faults if isinstance(fault, OtherVersionError)]
    lines = [str(fault) for fault in faults if not isinstance(fault, OtherVersionError)]
    if len(others) == 1:
        lines.append(str(others[0]))
    elif others:
        lines.append(
            f"{store.path}: {len(others)} jobs were written by another version of mmbench; {set_aside(store.path, 'them')}"
        )
    return lines


def of_other_versions(store: Store) -> list[str]:
    """The names of the folders of jobs that another version of mmbench wrote, in another form than this one reads."""
    names = []
    for file in store.job_files():
        try:
            store.read_record(file)
        except OtherVersionError:
            names.append(file.parent.name)
        except (StoreError, UsageError, ValueError):  # broken in another way
            continue
    return names


def _job_of_other_schema(file: Path) -> tuple[Job | None, object]:
    """What can be read of a job.json of another schema.

    Returns:
        The job, where the file has all fields that this version knows, else None; and the schema of the file.
    """
    values = read_json(file)
    if not isinstance(values, dict) or values.get("schema") == SCHEMA:
        return None, SCHEMA
    known = {item.name for item in fields(Job)}
    try:
        job = parse_job({**{key: values[key] for key in values if key in known}, "schema": SCHEMA})
    except RefusedError:
        return None, values.get("schema")
    return job, values.get("schema")


def store_at(path: Path) -> Store:
    """An existing store.

    Raises:
        UsageError: there is none.
    """
    store = Store(path.expanduser())
    if not store.jobs_folder.is_dir():
        raise UsageError(
            f"no results in {path}: run something first, or name the folder with --store{_segmenters(store)}"
        )
    return store


def no_jobs(store: Store) -> str:
    """What to do with a store that holds no job."""
    return f"no job in {store.path}: mmbench run fills it, --store names another folder{_segmenters(store)}"


def _segmenters(store: Store) -> str:
    """The end of a message that says where the jobs of segmenters are shown, which are apart; empty where there are none."""
    there = (store.path / REGIMES).is_dir()
    return f"; its segmenters are shown by mmbench regimes list --store {store.path}" if there else ""
