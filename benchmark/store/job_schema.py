"""Checks the fields of a job.json of this version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ...leaderboards.metrics.families import FAMILIES
from ..core.job import Job
from ..core.protocol import Protocol
from ..core.strings import single_line
from ..core.task import Task
from .job_folder import SCHEMA
from .names import safe_name


class RefusedError(ValueError):
    """A file that is refused. The message says why, in one line."""


def parse_job(values: Any) -> Job:
    """The job that the values of a job.json describe, every field checked.

    Raises:
        RefusedError: a field is missing, unknown or of another type, or names nothing that can be tabled.
    """
    _check_schema(values, "job.json")
    if not isinstance(values, dict) or type(values.get("schema")) is not int:
        raise RefusedError("job.json: schema: should be a whole number")
    if not all(text.isprintable() for text in _texts(values)):
        raise RefusedError("job.json: holds characters that cannot be printed")
    job = _validate(Job, {key: value for key, value in values.items() if key != "schema"}, "job.json")
    try:
        if Task.parse(job.task).name != job.task:
            raise ValueError(f"task {job.task!r} is not written as mmbench writes it")
        rules = Protocol.model_validate(job.protocol)
        if odd := [name for name, value in job.protocol.items() if getattr(rules, name) != value]:
            raise ValueError(f"protocol.{odd[0]} is not written as mmbench writes it")
        if job.metrics not in FAMILIES:
            raise ValueError(f"metrics: {job.metrics!r} is none of {', '.join(FAMILIES)}")
        if job.label != job.method and not job.label.startswith(f"{job.method}("):
            raise ValueError(f"label {job.label!r} is none of method {job.method}")
        safe_name(job.id)
    except (ValueError, TypeError) as error:
        raise RefusedError(f"job.json: {single_line(str(error))}") from None
    return job


Kind = TypeVar("Kind")


def validate_as(kind: type[Kind], values: Any, name: str) -> Kind:
    """The values of a file of a store as a model or dataclass.

    Args:
        kind: what they should be; a model or dataclass with a field ``schema``.
        values: as JSON gives them.
        name: of the file, for the message.

    Raises:
        RefusedError: another schema, or a field is missing, unknown or of another type.
    """
    _check_schema(values, name)
    return _validate(kind, values, name)


def _check_schema(values: Any, name: str) -> None:
    schema = values.get("schema") if isinstance(values, dict) else SCHEMA
    if type(schema) is not int or schema != SCHEMA:  # true and 1.0 are equal to 1
        raise RefusedError(f"{name}: written by another version of mmbench (schema {values.get('schema')!r})")


@lru_cache
def _adapter(kind: type[Kind]) -> TypeAdapter[Kind]:
    return TypeAdapter(kind)


def _validate(kind: type[Kind], values: Any, name: str) -> Kind:
    try:
        # As JSON: of Python's values, strict reading would take no dict for a dataclass, and no list for a tuple.
        return _adapter(kind).validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RefusedError(f"{name}: {where}: {single_line(first['msg'])}") from None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
