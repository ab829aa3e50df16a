"""Imputation by simple rules: what stands at entries of a series that were not observed, for methods that read series whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from .batch import Batch, Spec
from .imputation_rules import Rule


def impute(batch: Batch, spec: Spec) -> Batch:
    """The batch as a network reads it that was trained with imputation; without imputation it is the batch itself.

    Every entry of a valid step then counts as observed, and a modality no longer says which were. A sample of which
    nothing is observed still lacks the modality. Context and undamaged samples are filled, too.

    Args:
        batch: samples, after all damage.
        spec: of the network; ``imputation`` is the rule, ``imputed`` the values of each feature.
    """
    if spec.imputation == "off" or not batch.observed:
        return batch
    features = dict(batch.features)
    for name in batch.observed.keys() & spec.imputed.keys():
        values, observed = batch.features[name], batch.observed_entries(name)
        valid, steps = batch.mask[name], torch.arange(values.shape[1], device=values.device)
        times = batch.time.get(name, steps.expand(valid.shape)).to(torch.float32)
        constant = torch.tensor(spec.imputed[name], dtype=values.dtype, device=values.device)
        filled = fill(values, observed, times, constant, spec.imputation)
        there = (valid & batch.present[name].unsqueeze(-1)).unsqueeze(-1)
        features[name] = filled.where(there, 0)
    observed = {name: kept for name, kept in batch.observed.items() if name not in spec.imputed}
    return replace(
        batch,
        features=features,
        observed=observed,
        context=None if batch.context is None else impute(batch.context, spec),
        clean=None if batch.clean is None else impute(batch.clean, spec),
    )


def fill(values: Tensor, observed: Tensor, times: Tensor, constant: Tensor, rule: Rule) -> Tensor:
    """Fills entries that were not observed; the others are as they were.

    Args:
        values: [batch, time, feature], float; what stands at unobserved entries is not read.
        observed: [batch, time, feature], bool.
        times: [batch, time], float; they never run back over observed steps. Read by ``linear`` alone.
        constant: [feature]: what ``mean`` and ``zero`` put there, and the others where a rule has no observed value.
        rule: a ``Rule`` but ``off``.

    Returns:
        [batch, time, feature].
    """
    values = values.where(observed, constant)
    if rule in ("mean", "zero"):
        return values
    length = values.shape[1]
    steps = torch.arange(length, device=values.device).view(1, -1, 1)
    before = steps.where(observed, -1).cummax(dim=1).values
    has_before = before >= 0
    before_value = values.gather(1, before.clamp(min=0))
    if rule == "forward":
        return before_value.where(has_before, constant)
    after = steps.where(observed, length).flip(1).cummin(dim=1).values.flip(1)
    has_after = after < length
    after_value = values.gather(1, after.clamp(max=length - 1))
    moments = times.unsqueeze(-1).expand(values.shape)
    start, end = moments.gather(1, before.clamp(min=0)), moments.gather(1, after.clamp(max=length - 1))
    span = end - start
    # two observations at one moment: the earlier; at an observed entry before and after are itself
    share = ((moments - start) / span.where(span > 0, 1)).to(values.dtype)
    between = before_value + share * (after_value - before_value)
    nearest = before_value.where(has_before, after_value.where(has_after, constant))
    return between.where(has_before & has_after, nearest)


def constants(
    train: Batch, names: tuple[str, ...], rule: Rule, zeros: Mapping[str, Tensor]
) -> dict[str, tuple[float, ...]]:
    """What is put where a rule has no observed value, for each feature.

    Args:
        train: the sources' training samples, and no others.
        names: the modalities that are filled.
        rule: a ``Rule``.
        zeros: modality -> [feature], where 0 of the data's unit lies in ``train``; read for ``zero`` alone.

    Returns:
        Modality -> a number a feature: the mean of its observed entries, 0 where there are none; or where 0 lies.
    """
    if rule == "off":
        return {}
    if rule == "zero":
        return {name: tuple(zeros[name].tolist()) for name in names}
    found = {}
    for name in names:
        entries = train.observed_entries(name)
        count = entries.sum((0, 1)).clamp(min=1)
        mean = train.features[name].where(entries, 0).sum((0, 1), dtype=torch.float64) / count
        found[name] = tuple(mean.tolist())
    return found
