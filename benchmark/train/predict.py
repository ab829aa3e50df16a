"""Predictions of a trained network under conditions, as the tables that all scores are computed from."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from ...corruptions.condition import Clean, Condition, LosesSteps
from ...corruptions.corruption import apply_all, prepare, reads_targets
from ...corruptions.missing import Missing
from ...datasets.batch import Batch
from ...datasets.imputation import impute
from ...methods.method import Method, Output
from ..data.split import Split
from ..planning.corruption_groups import check_medium, reaches_any_medium
from .minibatches import minibatches

#: Fixed, so that predictions do not depend on the training batch size.
EVALUATION_BATCH = 256
#: How the columns of the method's own confidences and of its diagnostics begin.
CONFIDENCE, DIAGNOSTIC = "confidence_", "diagnostic_"
_NO_SOUND: Mapping[str, int] = {}


def default_conditions(modalities: Sequence[str]) -> list[Condition]:
    """The conditions of every job: clean, and every fixed pattern of missing modalities."""
    return [Clean(), *Missing.conditions(modalities)]


def corruption_conditions(
    corruption: Any, batch: Batch, media: Collection[str] = (), sound_rates: Mapping[str, int] = _NO_SOUND
) -> list[Condition]:
    """The conditions of a corruption that is made for features, or for any medium.

    Args:
        corruption: the corruption.
        batch: what it is applied to.
        media: the modalities that hold raw media. They are damaged by a corruption that is made for any medium alone.
        sound_rates: modality -> samples a second, of those that hold raw sound.

    Raises:
        UsageError: the corruption breaks another medium than the batch holds.
    """
    check_medium(corruption, batch.modalities)
    conditions: list[Condition] = list(corruption.conditions(batch.modalities))
    if not reaches_any_medium(corruption):
        return [one for one in conditions if getattr(one, "modality", None) not in media]
    return [
        one.for_sound(sound_rates) if sound_rates and isinstance(one, LosesSteps) else one
        for one in conditions
    ]


def without_targets(batch: Batch) -> Batch:
    """The batch with its targets replaced by NaN or -1, and without those of single modalities, so that no method can
    read them when it predicts."""
    nothing = torch.nan if batch.target.is_floating_point() else -1
    return replace(batch, target=torch.full_like(batch.target, nothing), unimodal_target={})


@torch.inference_mode()
def outputs_under(
    method: Method, batch: Batch, conditions: Sequence[Condition], diagnostics: bool = False
) -> dict[str, Output]:
    """The outputs of a method for a batch under some conditions.

    Where the method encodes its modalities independently, a modality that a condition does not change is encoded once
    for all such conditions. With context every modality is encoded for each: what a condition takes away from the
    context may be part of the embedding of what the sample still has.

    Args:
        method: a trained method; it is put into evaluation mode.
        batch: the samples.
        conditions: what is done to them.
        diagnostics: whether diagnostics are kept.

    Returns:
        Name of the condition -> prediction, float32 [samples] (regression) or [samples, classes]; log variance and
        confidences, float32 [samples], where the method gives them; and diagnostics, where they are kept. All lie on the
        CPU.

    Raises:
        ValueError: a confidence or diagnostic is not one number a sample, or is given for some samples only.
    """
    method.eval()
    told, batch = batch, without_targets(batch)
    conditions = [prepare(condition, told if reads_targets(condition) else batch) for condition in conditions]
    found: dict[str, list[Output]] = {condition.name: [] for condition in conditions}
    for part in minibatches(batch, EVALUATION_BATCH):
        clean = method.encode_all(impute(part, method.spec)) if method.separable() else {}
        for condition, damaged in apply_all(conditions, part):
            changed = impute(damaged, method.spec)
            if method.separable():
                # what is filled by others changes with them
                alone = changed.context is None and method.spec.imputer is None
                names = sorted(condition.alters) if alone else changed.modalities
                again = method.encode_all(changed, names) if names else {}
                output = method.fuse({**clean, **again}, changed)
            else:
                output = method(changed)
            found[condition.name].append(_kept(output, diagnostics))
    return {name: _concatenate(outputs) for name, outputs in found.items()}


def _kept(output: Output, diagnostics: bool) -> Output:
    """The part of an output that tables hold."""
    return Output(
        output.prediction,
        output.log_variance,
        confidence=output.confidence,
        diagnostics=output.diagnostics if diagnostics else {},
    )


def _concatenate(outputs: Sequence[Output]) -> Output:
    """The outputs of successive samples as one, float32, on the CPU."""
    variances = [output.log_variance for output in outputs if output.log_variance is not None]
    return Output(
        torch.cat([output.prediction.float() for output in outputs]).cpu(),
        torch.cat(variances).float().cpu() if variances else None,
        confidence=_concatenate_named("confidence", [output.confidence for output in outputs], outputs),
        diagnostics=_concatenate_named("diagnostic", [output.diagnostics for output in outputs], outputs),
    )


def _concatenate_named(
    kind: str, parts: Sequence[Mapping[str, Tensor]], outputs: Sequence[Output]
) -> dict[str, Tensor]:
    """Values by name, [samples] each, of successive samples.

    Args:
        kind: what they are, for the message.
        parts: name -> [batch], of each batch.
        outputs: of the same batches, whose predictions have the expected number of samples.

    Raises:
        ValueError: a value is not one number a sample, or the names of a batch are others than those of the first.
    """
    for part, output in zip(parts, outputs, strict=True):
        if part.keys() != parts[0].keys():
            raise ValueError(
                f"{kind}: {', '.join(part) or 'none'} for some samples, {', '.join(parts[0]) or 'none'} for others; "
                "a method gives the same for all"
            )
        for name, values in part.items():
            if values.shape != (len(output.prediction),):
                raise ValueError(
                    f"{kind} {name} has shape {tuple(values.shape)}, expected {(len(output.prediction),)}"
                )
    return {name: torch.cat([part[name] for part in parts]).float().cpu() for name in parts[0]}


def prediction_table(
    method: Method,
    splits: dict[str, Split],
    conditions: Sequence[Condition] | None = None,
    diagnostics: bool = False,
) -> pa.Table:
    """The outputs for every sample of every split under every condition.

    Args:
        method: a trained method; it is put into evaluation mode.
        splits: name -> samples.
        conditions: what is done to them; by default clean and every pattern of missing modalities.
        diagnostics: whether diagnostics have columns.

    Returns:
        A table with the columns ``split``, ``condition``, ``sample_id``, ``domain``, ``target`` (``target_0`` ... of several
        labels), then ``score`` on the dataset's own label scale (regression) or ``logit_0`` ... (classes, labels), then,
        where the method gives them,
        ``log_variance`` on that scale, ``confidence_NAME`` ..., and ``diagnostic_NAME`` ... as the method gives them,
        float32.

    Raises:
        ValueError: as ``outputs_under``.
    """
    parts = []
    for name, split in splits.items():
        asked = default_conditions(split.batch.modalities) if conditions is None else conditions
        for condition, output in outputs_under(method, split.batch, asked, diagnostics).items():
            parts.append(rows_of(name, condition, split, output))
    if not parts:  # the corruption concerns none of the modalities: the columns without a row
        return prediction_table(method, splits, [Clean()], diagnostics).slice(0, 0)
    return pa.concat_tables(parts)


@torch.inference_mode()
def feature_table(method: Method, splits: dict[str, Split]) -> pa.Table:
    """The clean outputs for every sample, with the feature that the head reads.

    Columns: as ``prediction_table``, and ``fused``, float32 [width], where the method gives one.

    Args:
        method: a trained network; it is set to evaluation.
        splits: name -> samples, standardised.

    Returns:
        One row a split and sample.
    """
    method.eval()
    parts = []
    for name, split in splits.items():
        slices = minibatches(without_targets(split.batch), EVALUATION_BATCH)
        outputs = [method(impute(part, method.spec)) for part in slices]
        found = _concatenate([_kept(output, diagnostics=False) for output in outputs])
        table = rows_of(name, Clean().name, split, found)
        fused = [output.fused for output in outputs if output.fused is not None]
        if fused:
            values = torch.cat(fused).float().cpu().numpy()
            column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
            table = table.append_column("fused", column)
        parts.append(table)
    return pa.concat_tables(parts)


def rows_of(name: str, condition: str, split: Split, output: Output) -> pa.Table:
    """The rows of a prediction table for one split under one condition.

    Args:
        name: of the split.
        condition: its name.
        split: the samples.
        output: as ``outputs_under`` gives it.
    """
    count, prediction, log_variance = len(split.batch), output.prediction, output.log_variance
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
        if split.target.ndim == 2:
            columns |= {
                f"target_{c}": pa.array(split.target[:, c].astype(np.int8))
                for c in range(split.target.shape[1])
            }
        else:
            columns["target"] = pa.array(split.target)
        columns |= {f"logit_{c}": pa.array(prediction[:, c].numpy()) for c in range(prediction.shape[1])}
    if log_variance is not None:
        columns["log_variance"] = pa.array(
            (log_variance.numpy() - 2 * np.log(split.scale)).astype(np.float32)
        )
    columns |= {f"{CONFIDENCE}{name}": pa.array(values.numpy()) for name, values in output.confidence.items()}
    columns |= {
        f"{DIAGNOSTIC}{name}": pa.array(values.numpy()) for name, values in output.diagnostics.items()
    }
    return pa.table(columns)


def to_parquet(table: pa.Table) -> bytes:
    """The table as the bytes of a parquet file."""
    stream = io.BytesIO()
    pq.write_table(table.unify_dictionaries(), stream, compression="zstd")
    return stream.getvalue()
