"""Writes the masks of a task, so that a method outside mmbench is tested under the very same breakage."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.atomic_files import write_json
from ..core.errors import UsageError
from ..core.job import Job
from ..data.split import Split
from ..train.context import Context
from .breakage import (
    Breakage,
    Masks,
    Tested,
    breakage_of,
    digest_of,
    masks_under,
    samples_digest,
    values_under,
)
from .manifest import MANIFEST, MASKS, STEPS, Manifest, identity, returns_of
from .npz_writer import NpzWriter

#: The folder of values.
VALUES = "values"
#: Columns of the table of masks beside the modalities.
COLUMNS = ("split", "condition", "evaluation", "severity", "sample_id")
#: Told how many conditions are written, and of how many.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        folder: where.
        manifest: what it says.
        rows: of the table of masks.
    """

    folder: Path
    manifest: Manifest
    rows: int


def export_masks(
    job: Job,
    corruptions: tuple[str, ...],
    context: Context,
    folder: Path,
    values: bool = False,
    progress: Progress = lambda done, total: None,
) -> Export:
    """Writes the masks of a task: ``masks.parquet`` (presence of modalities), ``steps.npz`` (steps that keep their
    features), ``values/`` where asked for, and last ``manifest.json``. One condition is in memory at a time.

    Args:
        job: says task, modalities, protocol and content of the data; its method is not read.
        corruptions: kinds or groups beside clean and missing modalities.
        context: where the data lie.
        folder: where to; it is made.
        values: also write the standardised features: of all splits, and under each condition that changes them in another
            way than by zeroing steps.
        progress: told after each condition.

    Raises:
        UsageError: the folder holds masks already, a modality has the name of a column, or a corruption cannot be exported.
        DataError: the data are not there, or faulty.
    """
    if (folder / MANIFEST).exists():
        raise UsageError(f"{folder}: holds masks already: name another folder with --out")
    if clash := set(COLUMNS) & set(job.modalities):
        raise UsageError(
            f"modality {sorted(clash)[0]!r} has the name of a column of {MASKS}: call it otherwise"
        )
    breakage = breakage_of(job, corruptions, context)
    (folder / VALUES if values else folder).mkdir(parents=True, exist_ok=True)
    conditions, value_files, rows = [], {}, 0
    with ExitStack() as stack:
        steps = stack.enter_context(NpzWriter(folder / STEPS))
        table = stack.enter_context(
            pq.ParquetWriter(folder / MASKS, _schema(job.modalities), compression="zstd")
        )
        for name in ("valid", "test"):
            _write_steps_of_split(steps, name, breakage.split(name))
        for place, tested in enumerate(breakage.tested):
            parts = masks_of(breakage, tested)
            for name, (split, masks) in parts.items():
                part = _rows(tested, name, split, masks, job.modalities)
                table.write_table(part)
                rows += part.num_rows
                for modality, kept in masks.kept.items():
                    steps.add(f"{name}/{tested.condition.name}/{modality}", kept)
            about = condition_about(tested, parts)
            conditions.append(about)
            if values and about["kind"] == "values":
                file = f"{VALUES}/{place:04d}-{re.sub(r'[^A-Za-z0-9.]+', '-', tested.condition.name)}.npz"
                _write_values(folder / file, tested, breakage.data.test)
                value_files[tested.condition.name] = file
            progress(place + 1, len(breakage.tested))
    if values:
        for name, split in {
            "train": breakage.data.train,
            "valid": breakage.data.valid,
            "test": breakage.data.test,
        }.items():
            _write_split(folder / VALUES / f"{name}.npz", split, labels=name != "test")
            value_files[name] = f"{VALUES}/{name}.npz"
    found = {
        **manifest_values(job, corruptions, breakage, conditions),
        "files": {name: file_digest(folder / name) for name in (MASKS, STEPS)},
        "values": value_files,
        "returns": returns_of(breakage.data.target.kind, len(breakage.data.target.classes)),
        "mmbench": version("mmbench"),
    }
    write_json(folder / MANIFEST, found)
    return Export(folder, Manifest.model_validate(found), rows)


def masks_of(breakage: Breakage, tested: Tested) -> dict[str, tuple[Split, Masks]]:
    """What a condition leaves of each split that it is tested on.

    Args:
        breakage: the samples of the job.
        tested: the condition, and the names of its splits.

    Returns:
        Name of a split -> the split and its masks.
    """
    splits = {name: breakage.split(name) for name in tested.splits}
    return {name: (split, masks_under(tested.condition, split)) for name, split in splits.items()}


def condition_about(tested: Tested, parts: Mapping[str, tuple[Split, Masks]]) -> dict[str, Any]:
    """What the manifest says of a condition.

    Args:
        tested: the condition.
        parts: as of ``masks_of``, with ``"test"`` among the splits.

    Returns:
        Values that JSON can hold.
    """
    return {
        "name": tested.condition.name,
        "evaluation": tested.evaluation,
        "severity": tested.severity,
        "kind": parts["test"][1].kind,
        "splits": list(tested.splits),
        "sha256": digest_of(tested.condition.name, parts),
    }


def manifest_values(
    job: Job, corruptions: tuple[str, ...], breakage: Breakage, conditions: list[dict[str, Any]]
) -> dict[str, Any]:
    """The part of a manifest that decides the breakage, with its id.

    Args:
        job: the task.
        corruptions: that were asked for.
        breakage: the samples.
        conditions: as ``condition_about`` gives them.
    """
    target = breakage.data.target
    found = {
        "format": "mmbench masks",
        "version": 1,
        "task": job.task,
        "modalities": list(job.modalities),
        "data": [dict(vars(item)) for item in job.data],
        "protocol": dict(job.protocol),
        "metrics": job.metrics,
        "target": {
            "kind": target.kind,
            "range": None if target.label_range is None else list(target.label_range),
            "classes": list(target.classes),
        },
        "damage_seed": 0,
        "corruptions": list(corruptions),
        "splits": {
            name: {"samples": len(split.batch), "sha256": samples_digest(split)}
            for name, split in (("valid", breakage.data.valid), ("test", breakage.data.test))
        },
        "conditions": conditions,
    }
    return {**found, "id": identity(found)}


def file_digest(file: Path) -> str:
    """The SHA-256 (hex) of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _schema(modalities: tuple[str, ...]) -> pa.Schema:
    text = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [("split", text), ("condition", text), ("evaluation", text), ("severity", pa.float64()), ("sample_id", pa.string())]
        + [(name, pa.bool_()) for name in modalities]
    )  # fmt: skip


def _rows(tested: Tested, split: str, samples: Split, masks: Masks, modalities: tuple[str, ...]) -> pa.Table:
    """The rows of the table of masks for a condition and a split."""
    count = len(samples.batch)
    columns = {
        "split": pa.array([split] * count).dictionary_encode(),
        "condition": pa.array([tested.condition.name] * count).dictionary_encode(),
        "evaluation": pa.array([tested.evaluation] * count).dictionary_encode(),
        "severity": pa.array([tested.severity] * count, pa.float64()),
        "sample_id": pa.array(samples.sample_id.astype(str)),
        **{name: pa.array(masks.present[name]) for name in modalities},
    }
    return pa.table(columns, schema=_schema(modalities))


def _write_steps_of_split(steps: NpzWriter, name: str, split: Split) -> None:
    """Writes what all conditions share: the ids of the samples in the order of all arrays, and the valid steps."""
    steps.add(f"{name}/sample_id", split.sample_id.astype(str))
    for modality, mask in split.batch.mask.items():
        steps.add(f"{name}/clean/{modality}", mask.cpu().numpy())


def _write_values(file: Path, tested: Tested, split: Split) -> None:
    """Writes the features of the test samples under a condition, of the modalities that it alters."""
    with NpzWriter(file) as writer:
        for modality in sorted(tested.condition.alters):
            shape = tuple(split.batch.features[modality].shape)
            writer.add_rows(
                modality, shape, np.dtype(np.float32), values_under(tested.condition, split, modality)
            )


def _write_split(file: Path, split: Split, labels: bool) -> None:
    """Writes the clean features of a split as networks read them: standardised, zeros at padded steps."""
    batch = split.batch
    with NpzWriter(file) as writer:
        writer.add("sample_id", split.sample_id.astype(str))
        writer.add("previous", split.previous.cpu().numpy())
        for modality in batch.modalities:
            writer.add(modality, batch.features[modality].cpu().numpy())
            writer.add(f"{modality}_mask", batch.mask[modality].cpu().numpy())
            writer.add(f"{modality}_present", batch.present[modality].cpu().numpy())
        if labels:
            writer.add("target", split.target)
