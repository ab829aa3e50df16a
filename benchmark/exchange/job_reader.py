"""Reads the folder of a finished job that came from elsewhere, without trusting its content.

Every file is opened once, without following links, and the bytes that were checked are the bytes that are stored. Only
JSON, parquet and safetensors are read, and none of them can hold a program.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, deserialize

from ..core.errors import UsageError
from ..core.job import OUTSIDE, Job
from ..core.method_fields import word
from ..core.strings import single_line
from ..planning.variants import Variant
from ..store.job_folder import INPUTS, RESULTS, SUBMITTED, WEIGHTS
from ..store.job_schema import RefusedError, parse_job, validate_as
from ..store.names import StoreError, safe_name
from ..store.weights_header import job_of
from .foreign_files import MOST_BYTES, MOST_JSON, parse_json, read_file
from .foreign_tables import check_evaluation, read_predictions

#: The files of a job that are copied; the done marker and job.json are written anew.
TAKEN = (*RESULTS, WEIGHTS, INPUTS, "environment.json")
#: What a job's folder holds besides while it runs or after it failed.
_PASSING = ("lock", "progress.json", "failed.json", "pruned.json", SUBMITTED)
_MOST_MODALITIES = 12
#: The most bytes of the name of an evaluation: what is written beside it under a temporary name is longer, and no file
#: name may have more than 255.
_LONGEST_NAME = 200


class UnfinishedError(RefusedError):
    """A job that was not done when its folder was copied."""


@dataclass(frozen=True)
class Incoming:
    """A finished job from elsewhere, checked.

    Attributes:
        job: what was asked.
        files: name -> content of its results.
        environment: versions, machine, seconds.
        evaluations: name -> outputs under further conditions.
        refused: name -> why a further output is not taken.
        ignored: files that are not of a job.
    """

    job: Job
    files: Mapping[str, bytes]
    environment: Mapping[str, Any]
    evaluations: Mapping[str, bytes]
    refused: Mapping[str, str]
    ignored: tuple[str, ...]


def read_job(folder: Path) -> Incoming:
    """Reads and checks a job's folder.

    Raises:
        UnfinishedError: it has no done marker.
        RefusedError: anything in it is not what a finished job of this version writes.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise RefusedError("is a link, or no folder")
    asked = read_file(folder / "job.json", MOST_JSON)
    job = parse_job(parse_json("job.json", asked))
    check_names(job)
    if len(job.modalities) > _MOST_MODALITIES:  # which may be missing in every combination
        raise RefusedError(f"job.json: has {len(job.modalities)} modalities, more than {_MOST_MODALITIES}")
    if job.id != folder.name:
        raise RefusedError(f"job.json describes {job.id}: the folder was renamed or the file was edited")
    if not os.path.lexists(folder / "done.json"):
        failed = _read_failure(folder / "failed.json")
        raise UnfinishedError(f"failed there: {failed}" if failed else "not finished there")
    marker = validate_as(
        _Done, parse_json("done.json", read_file(folder / "done.json", MOST_JSON)), "done.json"
    )
    if set(marker.files) - {*TAKEN, "job.json"} or not {*RESULTS, "job.json"} <= set(marker.files):
        raise RefusedError("done.json names other files than those of a job")
    _check_hash(marker.files["job.json"], asked, "job.json")
    files: dict[str, bytes] = {}
    for name in marker.files:
        if name != "job.json":
            stated = marker.files[name]
            files[name] = read_file(
                folder / name, _most(stated, MOST_JSON if name.endswith(".json") else MOST_BYTES)
            )
            _check_hash(stated, files[name], name)
    files.pop("environment.json", None)
    fit = parse_json("fit.json", files["fit.json"])
    if job.role == OUTSIDE:
        _checked_model(_OutsideFit, fit, "fit.json")
        if WEIGHTS in files:
            raise RefusedError(f"{WEIGHTS}: a method outside mmbench has none")
    elif WEIGHTS in files:
        _check_weights(files[WEIGHTS], _check_fit(fit), job)
    else:
        _check_fit(fit)
    if INPUTS in files:
        _check_tensors(files[INPUTS], INPUTS)  # who predicts with it checks what it says
    own = read_predictions(files["predictions.parquet"], job)
    evaluations, refused, ignored = _read_evaluations(folder / "evaluations", job, own)
    known = {*TAKEN, *_PASSING, "job.json", "done.json", "evaluations", "scores"}  # scores are made anew
    others = sorted(entry.name for entry in os.scandir(folder) if entry.name not in known)
    return Incoming(job, files, _read_environment(folder), evaluations, refused, (*others, *ignored))


class _Hash(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    sha256: str
    size: int | None = None


class _Done(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    written: Literal[1] = Field(alias="schema")
    files: dict[str, _Hash]


class _Evaluated(_Hash):
    written: Literal[1] = Field(alias="schema")


def _most(expected: _Hash, most: int) -> int:
    """How many bytes of a file are read: no more than its marker says that it has."""
    return most if expected.size is None else min(most, max(0, expected.size))


def _check_hash(expected: _Hash, content: bytes, name: str) -> None:
    if hashlib.sha256(content).hexdigest() != expected.sha256 or expected.size not in (None, len(content)):
        raise RefusedError(f"{name}: its content is not that of its hash")


class _Epoch(BaseModel):
    """As ``selection.Epoch``; what later versions add is left as it is."""

    model_config = ConfigDict(strict=True)
    epoch: int = Field(ge=0)
    stage: int
    train: dict[str, float]
    loss: float
    metric: float


class _Fit(BaseModel):
    """What tables and searches read of a fit record."""

    model_config = ConfigDict(strict=True)
    selection: str = ""
    selected_epoch: int = Field(ge=0)
    selected_by: dict[str, float | None] = Field(default_factory=dict)
    companions: list[str] = Field(default_factory=list)
    metric: str
    parameters: int = Field(ge=0)
    test_domains: list[str] = Field(default_factory=list)
    bases: dict[str, str] = Field(default_factory=dict)
    epochs: list[_Epoch] = Field(min_length=1)


class _OutsideFit(BaseModel):
    """What tables read of the record of a job whose predictions were made outside."""

    model_config = ConfigDict(strict=True)
    metric: str = Field(pattern=r"^[\w-]{1,60}$")
    test_domains: list[str] = Field(default_factory=list)
    masks: dict[str, Any]


class _Environment(BaseModel):
    """What tables and estimates read of an environment."""

    model_config = ConfigDict(strict=True)
    code_changed: bool | None = None
    leaks: dict[str, list[str]] = Field(default_factory=dict)
    drawn_validation: dict[str, str] = Field(default_factory=dict)
    single_labels: dict[str, str] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    processor_seconds: float | None = None
    energy_joules: dict[str, float | None] | None = None
    peak_process_memory_bytes: float = 0
    peak_gpu_memory_bytes: float = 0
    flops_per_sample: float | None = None
    latency_seconds: float | None = None


def _checked_model(kind: type[BaseModel], values: Any, name: str) -> Any:
    """The values as a model. Raises RefusedError, and says where, where a number is a text or the like."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RefusedError(f"{name}: {where}: {single_line(first['msg'])}") from None


def _check_fit(values: Any) -> _Fit:
    fit = _checked_model(_Fit, values, "fit.json")
    if fit.selected_epoch >= len(fit.epochs):
        raise RefusedError(f"fit.json: selected epoch {fit.selected_epoch} of {len(fit.epochs)}")
    if not all(
        text.isprintable()
        for text in (fit.metric, fit.selection, *fit.test_domains, *fit.bases, *fit.bases.values())
    ):
        raise RefusedError("fit.json: holds characters that cannot be printed")
    return fit


def _check_weights(content: bytes, fit: _Fit, job: Job) -> None:
    """Checks that a file is safetensors, is of the job, where it says of which, and holds a network of the size that the
    fit record states."""
    numbers = _check_tensors(content, WEIGHTS)
    if (owner := job_of(content)) not in ("", job.id):
        raise RefusedError(f"{WEIGHTS}: are those of another job, {single_line(owner, 60)!a}")
    if numbers < fit.parameters:
        raise RefusedError(
            f"{WEIGHTS}: holds {numbers} numbers, and the network has {fit.parameters} parameters"
        )


def _check_tensors(content: bytes, name: str) -> int:
    """Checks that a file is safetensors, and returns how many numbers it holds."""
    try:
        return sum(math.prod(about["shape"]) for _, about in deserialize(content))
    except SafetensorError as error:
        raise RefusedError(f"{name}: not safetensors: {single_line(str(error))}") from None


#: What the names and labels of a job are made of: nothing that a page, a terminal or a spreadsheet takes for its own.
_LABEL = re.compile(r"[\w .,:;=+/()%@*-]{0,500}")


def check_names(job: Job) -> None:
    """Checks what tables print of a job. Its label is made anew of its method and parameters, and not believed.

    Raises:
        RefusedError: a name holds other characters than names do, or the label is not that of the method and its
            parameters.
    """
    domains = (
        job.task,
        job.modality_set,
        *(item.name for item in job.data),
        *(item.format for item in job.data),
    )
    for text in (job.method, job.label, job.version, job.rules, job.train_missing, *domains):
        if not _LABEL.fullmatch(text.replace("->", "-")):
            raise RefusedError(f"job.json: {single_line(text, 60)!a} is no name that mmbench writes")
    try:
        variant = Variant.parse(job.label)
        words = ",".join(f"{key}={word(job.params[key])}" for key in sorted(variant.overrides))
    except (UsageError, ValueError, KeyError) as error:
        raise RefusedError(f"job.json: label {job.label!r}: {single_line(str(error))}") from None
    if job.label != (f"{job.method}({words})" if words else job.method):
        raise RefusedError(f"job.json: label {job.label!r} is not that of its method and parameters")


def _read_environment(folder: Path) -> Mapping[str, Any]:
    name = "environment.json"
    if not os.path.lexists(folder / name):
        return {}
    values = parse_json(name, read_file(folder / name, MOST_JSON))
    _checked_model(_Environment, values, name)
    return values


def _read_failure(file: Path) -> str:
    """Why a job failed there; empty where that is not said."""
    try:
        values = parse_json(file.name, read_file(file, MOST_JSON))
    except RefusedError:
        return ""
    text = single_line(str(values.get("reason", ""))) if isinstance(values, dict) else ""
    return "".join(character for character in text if character.isprintable())


def _read_evaluations(
    folder: Path, job: Job, own: pd.DataFrame
) -> tuple[dict[str, bytes], dict[str, str], tuple[str, ...]]:
    """Reads the evaluations of a job.

    Args:
        folder: the folder of evaluations; it may be missing.
        job: the job.
        own: the predictions of the job.

    Returns:
        Name -> content of those that are whole, name -> reason for those that are refused, and the files that belong to
        none.
    """
    if not os.path.lexists(folder):
        return {}, {}, ()
    if folder.is_symlink() or not folder.is_dir():
        return {}, {folder.name: "is a link, or no folder"}, ()
    names = sorted(entry.name for entry in os.scandir(folder))
    stems = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    taken: dict[str, bytes] = {}
    refused: dict[str, str] = {}
    conditions = set(own["condition"].astype(str))
    for stem in stems:
        try:
            safe_name(stem)
            if len(os.fsencode(stem)) > _LONGEST_NAME:
                raise RefusedError(f"has a name of more than {_LONGEST_NAME} bytes")
            values = parse_json(stem, read_file(folder / f"{stem}.json", MOST_JSON))
            marker = validate_as(_Evaluated, values, f"{stem}.json")
            content = read_file(folder / f"{stem}.parquet", _most(marker, MOST_BYTES))
            _check_hash(marker, content, f"{stem}.parquet")
            tested = check_evaluation(content, stem, job, own)
            if tested & conditions:
                raise RefusedError(f"{stem}.parquet: tests {sorted(tested & conditions)[0]!r} a second time")
        except (RefusedError, StoreError) as error:
            refused[f"evaluations/{stem}"] = str(error)
            continue
        taken[stem] = content
        conditions |= tested
    whole = {f"{stem}{suffix}" for stem in stems for suffix in (".json", ".parquet")}
    return taken, refused, tuple(f"evaluations/{name}" for name in names if name not in whole)
