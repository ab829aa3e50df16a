"""Tables of predictions that came from elsewhere: only what mmbench writes for the job is taken."""

from __future__ import annotations

import io
import re
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ...leaderboards.labels import CLEAN, CONFIDENCE, DIAGNOSTIC
from ...leaderboards.metrics.registry import family_metrics
from ...leaderboards.tables.results import missing_patterns
from ..core.job import Job
from ..core.strings import counted, single_line
from ..planning.evaluations import (
    DIAGNOSTICS,
    FEATURES,
    IMPUTATION,
    PROBES,
    SEMANTIC,
    STAND_IN,
    holds_diagnostics,
    holds_features,
    version_of,
)
from ..store.job_schema import RefusedError

_MOST_ROWS = 50_000_000
#: What confidences and diagnostics are called, and how many of them a method may give.
_CONFIDENCE = re.compile(rf"{CONFIDENCE}[A-Za-z_]\w{{0,60}}", re.ASCII)
_DIAGNOSTIC = re.compile(rf"{DIAGNOSTIC}[\w .:=+/()%@*-]{{1,200}}")
_MOST_NAMED = 256
#: The most conditions of an evaluation, letters of a text, and names of columns; and how many numbers a table may hold
#: however few bytes it has.
_MOST_CONDITIONS, _MOST_LETTERS, _MOST_COLUMNS, _FREE_CELLS = 4096, 4096, 100_010, 2**26


def read_predictions(content: bytes, job: Job) -> pd.DataFrame:
    """The prediction table: clean and every pattern of missing modalities, all of the same samples.

    Args:
        content: bytes of the parquet file.
        job: whose predictions they are; its modalities say which conditions there must be.

    Returns:
        The table: columns ``split``, ``condition``, ``sample_id``, ``domain`` and ``target``, and ``score`` or ``logit_0`` ...

    Raises:
        RefusedError: it is anything else, or too large for its bytes.
    """
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
    """Checks that every target is one of the classes that a network has outputs for, and of several labels 0 or 1;
    regression has none."""
    classes = sum(str(column).startswith("logit_") for column in table)
    targets = table[_targets(table)].to_numpy()
    if targets.shape[1] > 1:
        if not np.isin(targets, (0, 1)).all():
            raise RefusedError(f"{name}: has a label that is neither 0 nor 1")
        return
    if classes and not (np.isin(targets, np.arange(classes)).all()):
        raise RefusedError(f"{name}: has a target that is none of its {classes} classes")


def check_evaluation(content: bytes, stem: str, job: Job, own: pd.DataFrame) -> set[str]:
    """Checks the outputs of an evaluation.

    Args:
        content: the bytes of the parquet file.
        stem: the name of the evaluation.
        job: the job.
        own: the predictions of the job.

    Returns:
        The conditions that the outputs add to those of the predictions; none for features, diagnostics and probes.

    Raises:
        RefusedError: the outputs are not what mmbench writes for this job.
    """
    name = f"{stem}.parquet"
    features, diagnostics = holds_features(stem), holds_diagnostics(stem) or stem == IMPUTATION
    clean = own.loc[(own["split"] == "test") & (own["condition"] == CLEAN)]
    rows = len(content) if features else _MOST_CONDITIONS * len(clean)
    more = ("fused",) if features else ()
    table = _read_table(content, name, job, more, rows=rows, diagnostics=diagnostics)
    splits, found = _split_names(stem, job), set(table["split"])
    if found - splits or (stem == FEATURES and found != splits) or (features and not found):
        raise RefusedError(f"{name}: has other splits than {' and '.join(sorted(splits))}")
    if features and set(table["condition"]) != {CLEAN}:
        raise RefusedError(f"{name}: has other conditions than clean")
    for split, rows in table.groupby("split", observed=True):
        _check_samples(rows, clean if split == "test" else rows, f"{name}: {split}")
    conditions = set(table["condition"].astype(str))
    if stem == DIAGNOSTICS and conditions and conditions != {CLEAN, *missing_patterns(job.modality_set)}:
        raise RefusedError(f"{name}: has other conditions than clean and every missing pattern")
    return set() if features or diagnostics or stem == PROBES else conditions


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
    columns = _targets(wanted)
    expected = wanted.set_index("sample_id")[columns].sort_index()
    if not expected.index.is_unique:
        raise RefusedError(f"{where}: names a sample twice")
    for condition, part in rows.groupby("condition", observed=True):
        found = part.set_index("sample_id")[columns].sort_index()
        if len(found) != len(expected):
            raise RefusedError(
                f"{where}, {condition}: has {counted(len(found), 'row')}, expected {len(expected)}"
            )
        if not found.index.equals(expected.index) or not np.array_equal(found, expected):
            raise RefusedError(f"{where}, {condition}: has other samples or targets than {CLEAN}")


def _targets(table: pd.DataFrame) -> list[str]:
    """The columns of the target: one, or one for each of several labels."""
    return [name for name in table if name == "target" or str(name).startswith("target_")]


def _read_table(
    content: bytes,
    name: str,
    job: Job,
    more: tuple[str, ...] = (),
    *,
    rows: int,
    diagnostics: bool = False,
) -> pd.DataFrame:
    """Reads a table and checks that it has the columns of ``prediction_table`` and only finite values.

    Args:
        content: the bytes of a parquet file.
        name: of the file, for the message.
        job: the job, whose metrics decide which columns hold outputs.
        more: further columns that the table may have; they are checked and left out.
        rows: the most rows that it can have.
        diagnostics: whether it may have columns of diagnostics.

    Raises:
        RefusedError: the table is anything else.
    """
    try:
        check_table_size(content, name, min(rows, _MOST_ROWS))
        table = pq.ParquetFile(io.BytesIO(content)).read()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise RefusedError(f"{name}: not a parquet file: {single_line(str(error))}") from None
    logits = sorted((c for c in table.column_names if c.startswith("logit_")), key=len)
    outputs = [f"logit_{c}" for c in range(max(2, len(logits)))]
    task, targets = family_metrics(job.metrics)[0].task, ["target"]
    if task == "regression":
        outputs = ["score"]
    if task == "multi-label":
        targets = [f"target_{c}" for c in range(len(outputs))]
    texts = ["split", "condition", "sample_id", "domain"]
    named = [c for c in table.column_names if _CONFIDENCE.fullmatch(c)]
    named += [c for c in table.column_names if diagnostics and _DIAGNOSTIC.fullmatch(c)]
    if len(named) > _MOST_NAMED:
        raise RefusedError(f"{name}: has {len(named)} confidences and diagnostics, more than {_MOST_NAMED}")
    optional = {"log_variance", *named, *more}
    if set(table.column_names) - optional != {*texts, *targets, *outputs} or len(
        set(table.column_names)
    ) < len(table.column_names):
        raise RefusedError(
            f"{name}: has the columns {single_line(', '.join(map(ascii, table.column_names)))}"
        )
    for field in table.schema:
        _check_column(field.name, table[field.name], field.name in texts, name)
    return table.drop_columns([c for c in more if c in table.column_names]).to_pandas(ignore_metadata=True)


def read_outside_table(content: bytes, name: str, outputs: Sequence[str], rows: int) -> pd.DataFrame:
    """Reads predictions that were not made by mmbench.

    Args:
        content: the bytes of a parquet or CSV file.
        name: of the file; its suffix says which of the two it is.
        outputs: the columns that it must have beside ``split``, ``condition`` and ``sample_id``; ``log_variance`` it may have.
        rows: the most rows that it can have.

    Raises:
        RefusedError: the table is anything else, or has a value that is not finite.
    """
    texts = ("split", "condition", "sample_id")
    try:
        if name.endswith(".csv"):
            types: dict[Hashable, Any] = {
                **dict.fromkeys(texts, "str"),
                **dict.fromkeys((*outputs, "log_variance"), "float64"),
            }
            frame = pd.read_csv(io.BytesIO(content), dtype=types, keep_default_na=False, nrows=rows + 1)
            table = pa.Table.from_pandas(frame, preserve_index=False)
        else:
            check_table_size(content, name, min(rows, _MOST_ROWS))
            table = pq.ParquetFile(io.BytesIO(content)).read()
            table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        kind = "CSV" if name.endswith(".csv") else "parquet"
        raise RefusedError(f"{name}: not a {kind} file of predictions: {single_line(str(error))}") from None
    if table.num_rows > rows:
        raise RefusedError(f"{name}: has more than the {rows} rows of the table of masks")
    found = set(table.column_names)
    if found - {"log_variance"} != {*texts, *outputs} or len(found) < table.num_columns:
        has = single_line(", ".join(map(ascii, table.column_names)))
        raise RefusedError(f"{name}: has the columns {has}; expected {', '.join((*texts, *outputs))}")
    for field in table.schema:
        _check_column(field.name, table[field.name], field.name in texts, name)
    return table.to_pandas(ignore_metadata=True)


def check_table_size(content: bytes, name: str, rows: int) -> None:
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
    number = pa.types.is_floating(kind) or (column.startswith("target") and pa.types.is_integer(kind))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) if text else number):
        raise RefusedError(f"{name}: column {column} is of type {kind}")
    if values.null_count or (not text and not np.isfinite(values.to_numpy()).all()):
        raise RefusedError(f"{name}: column {column} has values that are not finite")
