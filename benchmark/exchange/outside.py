"""Predictions that were made outside mmbench under exported masks: read, and checked to be about the very same breakage.

The masks are computed anew from the data, and everything but the outputs is taken from there, also the targets.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...datasets.dataset import DataError
from ...methods import METHODS
from ..core.errors import UsageError
from ..core.selection import selection_metric
from ..core.strings import counted, single_line
from ..data.split import Split
from ..store.job_schema import RefusedError
from ..train.context import Context
from ..train.predict import to_parquet
from .breakage import Breakage, breakage_of, samples_digest
from .foreign_files import MOST_JSON, parse_json, read_file
from .foreign_tables import read_outside_table
from .job_reader import Incoming, check_names
from .manifest import MANIFEST, METHOD, Manifest, parse_manifest
from .mask_export import condition_about, file_digest, masks_of
from .mask_files import MaskFiles

_PREDICTIONS = ("predictions.parquet", "predictions.csv")
_NAME = re.compile(r"[A-Za-z]\w[\w.-]{0,60}")


class _Method(BaseModel):
    """The content of ``method.json``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    masks: str
    method: str
    seed: int = Field(default=0, ge=0, lt=2**31)
    params: dict[str, str | int | float | bool] = Field(default_factory=dict)
    train_missing: str = Field(default="not known", max_length=100)


@dataclass(frozen=True)
class Verified:
    """Masks that are those that mmbench applies.

    Attributes:
        manifest: what they say of themselves.
        breakage: the samples and conditions, from the data.
    """

    manifest: Manifest
    breakage: Breakage


def answer_folders(folder: Path) -> list[Path]:
    """The folders with predictions beside exported masks: the folder itself and those in it that hold ``method.json``."""
    inner = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())
    return [place for place in (folder, *inner) if os.path.lexists(place / METHOD)]


def verify_masks(folder: Path, context: Context) -> Verified:
    """Checks exported masks against the data.

    Args:
        folder: that holds ``manifest.json`` and, as far as they were kept, the files that it names.
        context: where the data lie.

    Raises:
        RefusedError: they are not what mmbench applies to these samples; one line says what differs.
    """
    manifest = parse_manifest(parse_json(MANIFEST, read_file(folder / MANIFEST, MOST_JSON)))
    for name, expected in manifest.files.items():
        file = folder / name
        if Path(name).name != name:
            raise RefusedError(f"{MANIFEST}: {single_line(name)} is no name of a file of masks")
        if file.is_file() and file_digest(file) != expected:
            raise RefusedError(
                f"{name}: was changed after it was exported: its content is not that of its hash"
            )
    job = manifest.job("outside")
    check_names(job)
    try:
        breakage = breakage_of(job, tuple(manifest.corruptions), context)
    except (UsageError, DataError) as error:
        words = str(error).replace(
            "since the job was planned; run again to plan anew", "since the masks were exported"
        )
        raise RefusedError(f"{MANIFEST}: cannot be compared with the data: {single_line(words)}") from None
    for name, about in manifest.splits.items():
        if name not in ("valid", "test") or about.sha256 != samples_digest(breakage.split(name)):
            raise RefusedError(
                f"{MANIFEST}: {name}: masks of other samples than those of {manifest.task} here"
            )
    stated = {about.name: about for about in manifest.conditions}
    files = MaskFiles(folder, job.modalities, most_rows(manifest))
    for tested in breakage.tested:
        parts = masks_of(breakage, tested)
        own = condition_about(tested, parts)
        about = stated.pop(own["name"], None)
        if about is None:
            raise RefusedError(
                f"{MANIFEST}: lacks the condition {own['name']}, which {manifest.corruptions} have"
            )
        if about.model_dump() != own:
            raise RefusedError(
                f"{MANIFEST}: {own['name']}: another mask than mmbench applies to these samples "
                f"(sha256 {about.sha256[:12]} there, {own['sha256'][:12]} here)"
            )
        files.check(tested.condition.name, parts)
    if stated:
        raise RefusedError(
            f"{MANIFEST}: names the condition {next(iter(stated))}, which mmbench does not apply"
        )
    return Verified(manifest, breakage)


def read_answers(folder: Path, verified: Verified) -> Incoming:
    """Reads and checks predictions, as the finished job of a store.

    Args:
        folder: holds ``method.json`` and ``predictions.parquet`` or ``.csv``.
        verified: the masks under which they were made.

    Raises:
        RefusedError: they are about other masks or samples, are not complete, or not in the form that the manifest states.
    """
    manifest = verified.manifest
    method = _method(parse_json(METHOD, read_file(folder / METHOD, MOST_JSON)), manifest)
    job = replace(manifest.job(method.method, method.seed, method.params), train_missing=method.train_missing)
    check_names(job)
    classes = len(verified.breakage.data.target.classes)
    outputs = [f"logit_{c}" for c in range(classes)] if classes else ["score"]
    found = [name for name in _PREDICTIONS if os.path.lexists(folder / name)]
    if len(found) != 1:
        saved = next(
            (name for name in ("predictions.pt", "predictions.pth") if os.path.lexists(folder / name)), ""
        )
        instead = f"{saved} is not read when it comes from elsewhere: " if saved and not found else ""
        raise RefusedError(f"{folder.name}: {instead}expected one of {' and '.join(_PREDICTIONS)}")
    rows = read_outside_table(read_file(folder / found[0]), found[0], outputs, most_rows(manifest))
    tables = _tables(rows, found[0], verified, outputs)
    fit = {
        "selection": "outside",
        "metric": selection_metric(verified.breakage.data.target.kind, manifest.protocol["name"]),
        "test_domains": sorted(set(verified.breakage.data.test.domain.astype(str).tolist())),
        "masks": manifest.model_dump(exclude={"returns", "protocol"}),
    }
    files = {"predictions.parquet": tables.pop(""), "fit.json": (json.dumps(fit, indent=1) + "\n").encode()}
    return Incoming(job, files, {}, tables, {}, ())


def most_rows(manifest: Manifest) -> int:
    """The rows that a table of all conditions can have at most."""
    return sum(len(about.splits) for about in manifest.conditions) * max(
        about.samples for about in manifest.splits.values()
    )


def _method(values: Any, manifest: Manifest) -> _Method:
    try:
        found = _Method.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise RefusedError(
            f"{METHOD}: {'.'.join(map(str, first['loc']))}: {single_line(first['msg'])}"
        ) from None
    if found.masks != manifest.id:
        raise RefusedError(
            f"{METHOD}: predictions under the masks {found.masks[:12]!a}, and {MANIFEST} is of {manifest.id[:12]}"
        )
    if found.method in METHODS:
        raise RefusedError(f"{METHOD}: {found.method!r} is a method of mmbench: give yours another name")
    if not _NAME.fullmatch(found.method) or "masks" in found.params:
        raise RefusedError(
            f"{METHOD}: {single_line(found.method, 60)!a} is no name: use letters, digits, _ . -"
        )
    return found


def _tables(rows: pd.DataFrame, name: str, verified: Verified, outputs: Sequence[str]) -> dict[str, bytes]:
    """The prediction table of each evaluation, as mmbench writes it; that of clean and missing modalities is ``""``."""
    known = {(split, tested.condition.name) for tested in verified.breakage.tested for split in tested.splits}
    groups: dict[tuple[str, str], pd.DataFrame] = {}
    for pair, part in rows.groupby(["split", "condition"], observed=True):
        split, condition = pair  # pyright: ignore[reportGeneralTypeIssues]: a tuple, as there are two keys
        groups[str(split), str(condition)] = part
    for split, condition in groups.keys() - known:
        raise RefusedError(
            f"{name}: {single_line(split)}, {single_line(condition)}: no condition of the manifest"
        )
    parts: dict[str, list[pa.Table]] = {}
    wanted = [(split, one) for split in ("valid", "test") for one in verified.breakage.tested]
    for split, tested in wanted:
        if split not in tested.splits:
            continue
        condition = tested.condition.name
        part = groups.get((split, condition))
        if part is None:
            raise RefusedError(f"{name}: lacks the condition {condition} of {split}")
        samples = verified.breakage.split(split)
        ordered = _in_order(part, samples, f"{name}: {split}, {condition}")
        parts.setdefault(tested.evaluation, []).append(_table(ordered, split, condition, samples, outputs))
    return {evaluation: to_parquet(pa.concat_tables(tables)) for evaluation, tables in parts.items()}


def _in_order(part: pd.DataFrame, samples: Split, where: str) -> pd.DataFrame:
    """The rows of a condition in the order of the samples, of which each must be there once."""
    ids = samples.sample_id.astype(str)
    given = [str(one) for one in part["sample_id"].tolist()]
    if len(set(given)) < len(given):
        twice = Counter(given).most_common(1)[0][0]
        raise RefusedError(f"{where}: names the sample {single_line(twice)} twice")
    unknown = sorted(set(given) - set(ids))
    lacking = sorted(set(ids) - set(given))
    if unknown:
        raise RefusedError(
            f"{where}: predictions of other samples: {len(unknown)} of {len(given)} are not in the data, first "
            f"{single_line(unknown[0])}"
        )
    if lacking:
        raise RefusedError(
            f"{where}: lacks {len(lacking)} of {counted(len(ids), 'sample')}, first {lacking[0]}"
        )
    return part.assign(sample_id=given).set_index("sample_id").loc[ids]


def _table(
    part: pd.DataFrame, split: str, condition: str, samples: Split, outputs: Sequence[str]
) -> pa.Table:
    """The rows of a condition with targets and domains from the data; columns as of ``predict.prediction_table``."""
    count = len(part)
    columns: dict[str, Any] = {
        "split": pa.array([split] * count).dictionary_encode(),
        "condition": pa.array([condition] * count).dictionary_encode(),
        "sample_id": pa.array(samples.sample_id.astype(str)),
        "domain": pa.array(samples.domain.astype(str)).dictionary_encode(),
        "target": pa.array(samples.target),
    }
    more = ["log_variance"] if "log_variance" in part else []
    for column in (*outputs, *more):
        columns[column] = pa.array(part[column].to_numpy(np.float32))
    return pa.table(columns)
