"""What a job.json of this version holds, checked field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ...leaderboards.metrics.registry import FAMILIES
from ..core.job import Job
from ..core.protocol import Protocol
from ..core.strings import single_line
from ..core.task import Task
from .job_folder import SCHEMA
from .names import checked_name


class RefusedError(ValueError):
    """What is not taken. The message says why, in one line."""


def checked_job(values: Any) -> Job:
    """The job that the values of a job.json describe, every field checked.

    Raises:
        RefusedError: a field is missing, unknown or of another type, or names nothing that can be tabled.
    """
    found = validated(_JobFile, values, "job.json")
    if not all(text.isprintable() for text in _texts(values)):
        raise RefusedError("job.json: holds characters that cannot be printed")
    try:
        job = Job.from_dict({key: value for key, value in values.items() if key != "schema"})
        if Task.parse(job.task).name != job.task:
            raise ValueError(f"task {job.task!r} is not written as mmbench writes it")
        Protocol.model_validate(found.protocol)
        if job.label != job.method and not job.label.startswith(f"{job.method}("):
            raise ValueError(f"label {job.label!r} is none of method {job.method}")
        checked_name(job.id)
    except (ValueError, TypeError) as error:
        raise RefusedError(f"job.json: {single_line(str(error))}") from None
    return job


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    fingerprint: str
    format: str
    synthetic: bool


class _Trial(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    role: Literal["trial", "repeat"]
    index: int = Field(ge=0)
    draws: int = Field(ge=0)
    repeats: int = Field(ge=0)
    sampler: str
    pruner: str
    searched: list[str]
    pinned: list[str]


class _JobFile(BaseModel):
    """job.json of this schema. ``rules``, ``train_missing``, ``needs_domains``, ``role``, ``search`` came later."""

    model_config = ConfigDict(extra="forbid", strict=True)
    written: Literal[1] = Field(alias="schema")
    task: str
    method: str = Field(min_length=1)
    params: dict[str, JsonValue]
    version: str
    modalities: list[str] = Field(min_length=1)
    data: list[_Data] = Field(min_length=1)
    protocol: dict[str, JsonValue]
    seed: int = Field(ge=0)
    label: str
    rules: str = ""
    metrics: str = Field(pattern=f"^({'|'.join(FAMILIES)})$")
    train_missing: str = "none"
    needs_domains: int = Field(default=1, ge=1)
    role: Literal["", "companion"] = ""
    search: _Trial | None = None


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: Any, name: str) -> Model:
    """The values of a file of a store as a model.

    Args:
        model: what they should be.
        values: as JSON gives them.
        name: of the file, for the message.

    Raises:
        RefusedError: another schema, or a field is missing, unknown or of another type.
    """
    if isinstance(values, dict) and values.get("schema") != SCHEMA:
        raise RefusedError(f"{name}: written by another version of mmbench (schema {values.get('schema')!r})")
    try:
        return model.model_validate(values)
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
