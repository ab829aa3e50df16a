"""Predictions of a trained network under conditions, as the tables that all scores are computed from."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ...corruptions.condition import Clean, Condition
from ...corruptions.corruption import apply_all, prepare
from ...corruptions.missing import Missing
from ...datasets.batch import Batch
from ...methods.method import Method
from ..data.tensors import Split
from ..planning.evaluations import check_medium
from .minibatches import minibatches

#: Fixed, so that predictions do not depend on the training batch size.
EVALUATION_BATCH = 256


def default_conditions(modalities: Sequence[str]) -> list[Condition]:
    """The conditions of every job: clean, and every fixed pattern of missing modalities."""
    return [Clean(), *Missing.conditions(modalities)]


def corruption_conditions(corruption: Any, batch: Batch, without: Collection[str] = ()) -> list[Condition]:
    """The conditions of a corruption for a batch of features.

    Args:
        corruption: the corruption.
        batch: what it is applied to.
        without: the modalities that hold raw media, which it does not concern.

    Raises:
        UsageError: the corruption breaks another medium than the batch holds.
    """
    check_medium(corruption, batch.modalities)
    return list(corruption.conditions([name for name in batch.modalities if name not in without]))


def without_targets(batch: Batch) -> Batch:
    """The batch with its targets replaced by NaN or -1, and without those of single modalities, so that no method can
    read them when it predicts."""
    nothing = torch.nan if batch.target.is_floating_point() else -1
    return replace(batch, target=torch.full_like(batch.target, nothing), unimodal_target={})


@torch.inference_mode()
def outputs_under(
    method: Method, batch: Batch, conditions: Sequence[Condition]
) -> dict[str, tuple[Tensor, Tensor | None]]:
    """The outputs of a method for a batch under some conditions.

    Where the method encodes its modalities independently, a modality that a condition does not change is encoded once
    for all such conditions. With context every modality is encoded for each: what a condition takes away from the
    context may be part of the embedding of what the sample still has.

    Args:
        method: a trained method; it is put into evaluation mode.
        batch: the samples.
        conditions: what is done to them.

    Returns:
        Name of the condition -> prediction, float32 [samples] (regression) or [samples, classes], and log variance,
        float32 [samples], or None where the method gives none. Both lie on the CPU.
    """
    method.eval()
    batch = without_targets(batch)
    conditions = [prepare(condition, batch) for condition in conditions]
    found: dict[str, list[tuple[Tensor, Tensor | None]]] = {condition.name: [] for condition in conditions}
    for part in minibatches(batch, EVALUATION_BATCH):
        clean = method.encode_all(part) if method.separable() else {}
        for condition, changed in apply_all(conditions, part):
            if method.separable():
                names = sorted(condition.alters) if changed.context is None else changed.modalities
                again = method.encode_all(changed, names) if names else {}
                output = method.fuse({**clean, **again}, changed)
            else:
                output = method(changed)
            found[condition.name].append((output.prediction, output.log_variance))
    return {name: _concatenate(outputs) for name, outputs in found.items()}


def _concatenate(outputs: Sequence[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor | None]:
    prediction = torch.cat([prediction.float() for prediction, _ in outputs]).cpu()
    variances = [variance for _, variance in outputs if variance is not None]
    return prediction, torch.cat(variances).float().cpu() if variances else None


def prediction_table(
    method: Method, splits: dict[str, Split], conditions: Sequence[Condition] | None = None
) -> pa.Table:
    """The outputs for every sample of every split under every condition; by default clean and with every
    pattern of missing modalities.

    Columns: ``split``, ``condition``, ``sample_id``, ``domain``, ``target``, then ``score`` on the
    dataset's own label scale (regression) or ``logit_0`` ... (classification), and ``log_variance`` where
    the method gives one.
    """
    parts = []
    for name, split in splits.items():
        asked = default_conditions(split.batch.modalities) if conditions is None else conditions
        for condition, (prediction, log_variance) in outputs_under(method, split.batch, asked).items():
            parts.append(_rows(name, condition, split, prediction, log_variance))
    if not parts:  # the corruption concerns none of the modalities: the columns without a row
        return prediction_table(method, splits, [Clean()]).slice(0, 0)
    return pa.concat_tables(parts)


@torch.inference_mode()
def feature_table(method: Method, splits: dict[str, Split]) -> pa.Table:
    """The clean outputs for every sample, with the feature that the head reads.

    Columns: as ``prediction_table``, and ``fused``, float32 [width], where the method gives one.
    """
    method.eval()
    parts = []
    for name, split in splits.items():
        outputs = [method(part) for part in minibatches(without_targets(split.batch), EVALUATION_BATCH)]
        found = _concatenate([(output.prediction, output.log_variance) for output in outputs])
        table = _rows(name, Clean().name, split, *found)
        fused = [output.fused for output in outputs if output.fused is not None]
        if fused:
            values = torch.cat(fused).float().cpu().numpy()
            column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
            table = table.append_column("fused", column)
        parts.append(table)
    return pa.concat_tables(parts)


def _rows(
    name: str, condition: str, split: Split, prediction: Tensor, log_variance: Tensor | None
) -> pa.Table:
    count = len(split.batch)
    columns: dict[str, pa.Array] = {
        "split": pa.array([name] * count).dictionary_encode(),
        "condition": pa.array([condition] * count).dictionary_encode(),
        "sample_id": pa.array(split.sample_id.astype(str)),
        "domain": pa.array(split.domain.astype(str)).dictionary_encode(),
    }
    if prediction.ndim == 1:
        columns["target"] = pa.array(split.target)
        columns["score"] = pa.array((prediction.numpy() / split.scale).astype(np.float32))
    else:
        columns["target"] = pa.array(split.target)
        columns |= {f"logit_{c}": pa.array(prediction[:, c].numpy()) for c in range(prediction.shape[1])}
    if log_variance is not None:
        columns["log_variance"] = pa.array(
            (log_variance.numpy() - 2 * np.log(split.scale)).astype(np.float32)
        )
    return pa.table(columns)


def to_parquet(table: pa.Table) -> bytes:
    """The table as the bytes of a parquet file."""
    stream = io.BytesIO()
    pq.write_table(table.unify_dictionaries(), stream, compression="zstd")
    return stream.getvalue()
