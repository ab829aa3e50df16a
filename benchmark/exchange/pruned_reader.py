"""Reads the folder of a trial that a pruner ended elsewhere, trusting nothing of it.

As in ``job_reader``, every file is opened once, without following links, and only JSON is read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from ..core.job import Job
from ..core.strings import single_line
from ..store.job_schema import RefusedError, parse_job
from .foreign_files import parse_json, read_file
from .job_reader import check_names

_MOST_JSON = 2**24


class _Epoch(BaseModel):
    """As ``selection.Epoch``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    epoch: int = Field(ge=0)
    stage: int
    train: dict[str, float]
    loss: FiniteFloat
    metric: FiniteFloat
    target_loss: FiniteFloat | None = None
    target_metric: FiniteFloat | None = None
    diagnostics: dict[str, FiniteFloat] = Field(default_factory=dict)


class _Pruned(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    reason: str
    epochs: list[_Epoch] = Field(min_length=1)


@dataclass(frozen=True)
class PrunedTrial:
    """A trial that was ended early.

    Attributes:
        job: what was asked.
        values: the reason and its epochs, as ``Store.prune`` takes them.
    """

    job: Job
    values: Mapping[str, Any]


def read_pruned(folder: Path) -> PrunedTrial | None:
    """The pruned trial in a job's folder; None where it holds none.

    Raises:
        RefusedError: it is not what mmbench writes of a trial that is ended early.
    """
    there = {name: os.path.lexists(folder / name) for name in ("pruned.json", "done.json")}
    if folder.is_symlink() or there["done.json"] or not there["pruned.json"]:
        return None
    job = parse_job(_json(folder / "job.json"))
    if job.id != folder.name:
        raise RefusedError(f"job.json describes {job.id}: the folder was renamed or the file was edited")
    check_names(job)
    if job.search is None or job.search.role != "trial" or job.search.pruner == "none":
        raise RefusedError("pruned.json: its job is no trial of a search that prunes")
    try:
        found = _Pruned.model_validate(_json(folder / "pruned.json"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RefusedError(f"pruned.json: {where}: {single_line(first['msg'])}") from None
    if [epoch.epoch for epoch in found.epochs] != list(range(len(found.epochs))):
        raise RefusedError("pruned.json: its epochs are not 0, 1, 2, ...")
    if not found.reason.isprintable() or len(found.epochs) >= int(job.protocol["epochs"]):
        raise RefusedError("pruned.json: not what mmbench writes")
    return PrunedTrial(job, found.model_dump())


def _json(file: Path) -> Any:
    return parse_json(file.name, read_file(file, _MOST_JSON))
