"""Reads the folder of a finished job that came from elsewhere, without trusting its content.

Every file is opened once, without following links, and the bytes that were checked are the bytes that are stored. Only
JSON, parquet and safetensors are read, and none of them can hold a program.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, deserialize

from ...leaderboards.labels import CLEAN
from ...leaderboards.metrics.registry import family_metrics
from ...leaderboards.tables.results import missing_patterns
from ..core.errors import UsageError
from ..core.job import Job
from ..core.method_spec import word
from ..core.strings import single_line
from ..planning.evaluations import FEATURES, SEMANTIC, STAND_IN, holds_features, version_of
from ..planning.job_matrix import Variant
from ..store.job_folder import RESULTS, SUBMITTED, WEIGHTS
from ..store.job_schema import RefusedError, checked_job, validated
from ..store.names import StoreError, checked_name

#: The files of a job that are copied; the done marker and job.json are written anew.
TAKEN = (*RESULTS, WEIGHTS, "environment.json")
#: What a job's folder holds besides while it runs or after it failed.
_PASSING = ("lock", "progress.json", "failed.json", "pruned.json", SUBMITTED)
_MOST_JSON, _MOST_BYTES, _MOST_ROWS = 2**24, 2**32, 50_000_000
#: The most conditions of an evaluation, letters of a text, and names of columns; and how many numbers a table may hold
#: however few bytes it has.
_MOST_CONDITIONS, _MOST_LETTERS, _MOST_COLUMNS, _FREE_CELLS = 4096, 4096, 100_010, 2**26
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
    asked = read_file(folder / "job.json", _MOST_JSON)
    job = checked_job(parse_json("job.json", asked))
    check_names(job)
    if len(job.modalities) > _MOST_MODALITIES:  # which may be missing in every combination
        raise RefusedError(f"job.json: has {len(job.modalities)} modalities, more than {_MOST_MODALITIES}")
    if job.id != folder.name:
        raise RefusedError(f"job.json describes {job.id}: the folder was renamed or the file was edited")
    if not os.path.lexists(folder / "done.json"):
        failed = _read_failure(folder / "failed.json")
        raise UnfinishedError(f"failed there: {failed}" if failed else "not finished there")
    marker = validated(
        _Done, parse_json("done.json", read_file(folder / "done.json", _MOST_JSON)), "done.json"
    )
    if set(marker.files) - {*TAKEN, "job.json"} or not {*RESULTS, "job.json"} <= set(marker.files):
        raise RefusedError("done.json names other files than those of a job")
    _check_hash(marker.files["job.json"], asked, "job.json")
    files: dict[str, bytes] = {}
    for name in marker.files:
        if name != "job.json":
            files[name] = read_file(folder / name, _MOST_JSON if name.endswith(".json") else _MOST_BYTES)
            _check_hash(marker.files[name], files[name], name)
    files.pop("environment.json", None)
    fit = _check_fit(parse_json("fit.json", files["fit.json"]))
    if WEIGHTS in files:
        _check_weights(files[WEIGHTS], fit)
    own = _read_predictions(files["predictions.parquet"], job)
    evaluations, refused, ignored = _read_evaluations(folder / "evaluations", job, own)
    known = {*TAKEN, *_PASSING, "job.json", "done.json", "evaluations", "scores"}  # scores are made anew
    others = sorted(entry.name for entry in os.scandir(folder) if entry.name not in known)
    return Incoming(job, files, _read_environment(folder), evaluations, refused, (*others, *ignored))


def read_file(file: Path, most: int = _MOST_BYTES) -> bytes:
    """The content of a regular file that is no link.

    Raises:
        RefusedError: it is anything else, or larger than ``most`` bytes.
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = "is a link" if error.errno == errno.ELOOP else f"cannot be read ({error.strerror})"
        raise RefusedError(f"{file.name}: {why}") from None
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError(f"{file.name}: is no file")
        if status.st_size > most:
            raise RefusedError(f"{file.name}: has {status.st_size} bytes, more than the {most} that are read")
        return stream.read()


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


def parse_json(name: str, content: bytes) -> Any:
    """The value in a JSON file. Raises RefusedError where it is no JSON in UTF-8, or gives a key twice."""
    try:
        return json.loads(content.decode(), object_pairs_hook=_each_key_once)
    except RefusedError as error:
        raise RefusedError(f"{name}: {error}") from None
    except (ValueError, RecursionError):
        raise RefusedError(f"{name}: not JSON") from None


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object. Readers of JSON differ in which of two values they take where a key is given twice."""
    values = dict(pairs)
    if len(values) < len(pairs):
        raise RefusedError("gives a key twice")
    return values


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
    epochs: list[_Epoch] = Field(min_length=1)


class _Environment(BaseModel):
    """What tables and estimates read of an environment."""

    model_config = ConfigDict(strict=True)
    code_changed: bool | None = None
    leaks: dict[str, list[str]] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    energy_joules: dict[str, float | None] | None = None
    peak_process_memory_bytes: float = 0
    peak_gpu_memory_bytes: float = 0


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
    if not all(text.isprintable() for text in (fit.metric, fit.selection, *fit.test_domains)):
        raise RefusedError("fit.json: holds characters that cannot be printed")
    return fit


def _check_weights(content: bytes, fit: _Fit) -> None:
    """Checks that a file is safetensors and holds a network of the size that the fit record states."""
    try:
        tensors = deserialize(content)
    except SafetensorError as error:
        raise RefusedError(f"{WEIGHTS}: not safetensors: {single_line(str(error))}") from None
    numbers = sum(math.prod(about["shape"]) for _, about in tensors)
    if numbers < fit.parameters:
        raise RefusedError(
            f"{WEIGHTS}: holds {numbers} numbers, and the network has {fit.parameters} parameters"
        )


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
    values = parse_json(name, read_file(folder / name, _MOST_JSON))
    _checked_model(_Environment, values, name)
    return values


def _read_failure(file: Path) -> str:
    """Why a job failed there; empty where that is not said."""
    try:
        values = parse_json(file.name, read_file(file, _MOST_JSON))
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
            checked_name(stem)
            if len(os.fsencode(stem)) > _LONGEST_NAME:
                raise RefusedError(f"has a name of more than {_LONGEST_NAME} bytes")
            values = parse_json(stem, read_file(folder / f"{stem}.json", _MOST_JSON))
            marker = validated(_Evaluated, values, f"{stem}.json")
            content = read_file(folder / f"{stem}.parquet")
            _check_hash(marker, content, f"{stem}.parquet")
            tested = _check_evaluation(content, stem, job, own)
            if tested & conditions:
                raise RefusedError(f"{stem}.parquet: tests {sorted(tested & conditions)[0]!r} a second time")
        except (RefusedError, StoreError) as error:
            refused[f"evaluations/{stem}"] = str(error)
            continue
        taken[stem] = content
        conditions |= tested
    whole = {f"{stem}{suffix}" for stem in stems for suffix in (".json", ".parquet")}
    return taken, refused, tuple(f"evaluations/{name}" for name in names if name not in whole)


def _read_predictions(content: bytes, job: Job) -> pd.DataFrame:
    """The prediction table: clean and every pattern of missing modalities, all of the same samples."""
    name = "predictions.parquet"
    wanted = {CLEAN, *missing_patterns(job.modality_set)}
    # Every sample has a name of its own, which takes a byte at least.
    table = _read_table(content, name, job, rows=len(content) * len(wanted))
    if set(table["split"]) != {"valid", "test"}:
        raise RefusedError(f"{name}: has other splits than valid and test")
    for split, rows in table.groupby("split", observed=True):
        if set(rows["condition"]) != wanted:
            raise RefusedError(f"{name}: {split} has other conditions than clean and every missing pattern")
        _check_samples(rows, rows.loc[rows["condition"] == CLEAN], f"{name}: {split}")
    _check_classes(table, name)
    return table


def _check_classes(table: pd.DataFrame, name: str) -> None:
    """Checks that every target is one of the classes that a network has outputs for; regression has none."""
    classes = sum(str(column).startswith("logit_") for column in table)
    targets = table["target"].to_numpy()
    if classes and not (np.isin(targets, np.arange(classes)).all()):
        raise RefusedError(f"{name}: has a target that is none of its {classes} classes")


def _check_evaluation(content: bytes, stem: str, job: Job, own: pd.DataFrame) -> set[str]:
    """Checks the outputs of an evaluation.

    Args:
        content: the bytes of the parquet file.
        stem: the name of the evaluation.
        job: the job.
        own: the predictions of the job.

    Returns:
        The conditions that the outputs add to those of the predictions; none for features.

    Raises:
        RefusedError: the outputs are not what mmbench writes for this job.
    """
    name = f"{stem}.parquet"
    features = holds_features(stem)
    clean = own.loc[(own["split"] == "test") & (own["condition"] == CLEAN)]
    rows = len(content) if features else _MOST_CONDITIONS * len(clean)
    table = _read_table(content, name, job, ("fused",) if features else (), rows=rows)
    splits, found = _split_names(stem, job), set(table["split"])
    if found - splits or (stem == FEATURES and found != splits) or (features and not found):
        raise RefusedError(f"{name}: has other splits than {' and '.join(sorted(splits))}")
    if features and set(table["condition"]) != {CLEAN}:
        raise RefusedError(f"{name}: has other conditions than clean")
    for split, rows in table.groupby("split", observed=True):
        _check_samples(rows, clean if split == "test" else rows, f"{name}: {split}")
    return set() if features else set(table["condition"].astype(str))


def _split_names(stem: str, job: Job) -> set[str]:
    """The names of splits that an evaluation may hold."""
    if not holds_features(stem):
        return {"test"}
    if stem == FEATURES:
        return {"train", "test"}
    if stem == SEMANTIC:
        return {f"semantic:{'+'.join(job.protocol.get('held_out_classes', ()))}"}
    subject, _ = version_of(stem)
    return {"ood", *(f"{kind}:{subject}{mark}" for kind in ("near", "far") for mark in ("", STAND_IN))}


def _check_samples(rows: pd.DataFrame, wanted: pd.DataFrame, where: str) -> None:
    """Checks that every condition has every sample once, with its target.

    Args:
        rows: the rows to check.
        wanted: rows with the expected samples and targets.
        where: what is checked, for the message.
    """
    expected = wanted.set_index("sample_id")["target"].sort_index()
    if not expected.index.is_unique:
        raise RefusedError(f"{where}: names a sample twice")
    for condition, part in rows.groupby("condition", observed=True):
        found = part.set_index("sample_id")["target"].sort_index()
        if len(found) != len(expected):
            raise RefusedError(f"{where}, {condition}: has {len(found)} rows, expected {len(expected)}")
        if not found.index.equals(expected.index) or not np.array_equal(found, expected):
            raise RefusedError(f"{where}, {condition}: has other samples or targets than {CLEAN}")


def _read_table(
    content: bytes, name: str, job: Job, more: tuple[str, ...] = (), *, rows: int
) -> pd.DataFrame:
    """Reads a table and checks that it has the columns of ``prediction_table`` and only finite values.

    Args:
        content: the bytes of a parquet file.
        name: of the file, for the message.
        job: the job, whose metrics decide which columns hold outputs.
        more: further columns that the table may have; they are checked and left out.
        rows: the most rows that it can have.

    Raises:
        RefusedError: the table is anything else.
    """
    try:
        _check_size(content, name, min(rows, _MOST_ROWS))
        table = pq.ParquetFile(io.BytesIO(content)).read()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise RefusedError(f"{name}: not a parquet file: {single_line(str(error))}") from None
    logits = sorted((c for c in table.column_names if c.startswith("logit_")), key=len)
    outputs = [f"logit_{c}" for c in range(max(2, len(logits)))]
    if family_metrics(job.metrics)[0].task == "regression":
        outputs = ["score"]
    texts = ["split", "condition", "sample_id", "domain"]
    optional = {"log_variance", *more}
    if set(table.column_names) - optional != {*texts, "target", *outputs} or len(
        set(table.column_names)
    ) < len(table.column_names):
        raise RefusedError(
            f"{name}: has the columns {single_line(', '.join(map(ascii, table.column_names)))}"
        )
    for field in table.schema:
        _check_column(field.name, table[field.name], field.name in texts, name)
    return table.drop_columns([c for c in more if c in table.column_names]).to_pandas(ignore_metadata=True)


def _check_size(content: bytes, name: str, rows: int) -> None:
    """Refuses a table that takes far more memory than its file, before it is read: a value that is repeated takes
    hardly a byte.

    Args:
        content: the bytes of a parquet file.
        name: of the file, for the message.
        rows: the most rows that it can have.
    """
    about = pq.read_metadata(io.BytesIO(content))
    if about.num_rows > rows:
        raise RefusedError(f"{name}: has {about.num_rows} rows, more than the {rows} that it can have")
    if about.num_columns > _MOST_COLUMNS:
        raise RefusedError(f"{name}: has {about.num_columns} columns, more than {_MOST_COLUMNS}")
    cells = about.num_rows * about.num_columns
    if cells > max(_FREE_CELLS, 32 * len(content)):
        raise RefusedError(f"{name}: has {cells} numbers in {len(content)} bytes, which no network gives")
    texts = [field.name for field in pq.read_schema(io.BytesIO(content)) if _is_text(field.type)]
    if texts:
        # As dictionaries, so that a long text that is repeated is held once.
        file = pq.ParquetFile(io.BytesIO(content), read_dictionary=texts)
        for column in file.read(columns=texts).columns:
            for chunk in column.chunks:
                alike = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
                if any(len(text.as_py() or "") > _MOST_LETTERS for text in alike.unique()):
                    raise RefusedError(f"{name}: holds a text of more than {_MOST_LETTERS} letters")


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _check_column(column: str, values: pa.ChunkedArray, text: bool, name: str) -> None:
    kind = values.type
    if column == "fused" and pa.types.is_fixed_size_list(kind):
        values = pa.chunked_array([chunk.flatten() for chunk in values.chunks], kind.value_type)
        kind = kind.value_type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    number = pa.types.is_floating(kind) or (column == "target" and pa.types.is_integer(kind))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) if text else number):
        raise RefusedError(f"{name}: column {column} is of type {kind}")
    if values.null_count or (not text and not np.isfinite(values.to_numpy()).all()):
        raise RefusedError(f"{name}: column {column} has values that are not finite")
