"""Imputation: what stands at entries of a series that were not observed, for methods that read series whole.

Simple rules are here; what is fitted before (``imputation_rules.LEARNED``) comes with the specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from .batch import Batch, Spec
from .imputation_rules import FillRule, Rule


def impute(batch: Batch, spec: Spec) -> Batch:
    """The batch as a network reads it that was trained with imputation; without imputation it is the batch itself.

    Every entry of a valid step then counts as observed, and a modality no longer says which were. Under a simple rule a
    sample of which nothing is observed still lacks the modality; what is fitted fills that, too. Context and undamaged
    samples are filled as well. A batch that was filled is not changed again.

    Args:
        batch: samples, after all damage.
        spec: of the network; ``imputation`` is the rule, ``imputed`` the values of each feature, ``imputer`` what was fitted.

    Raises:
        ValueError: the rule is one that is fitted, and nothing was.
    """
    rule = spec.imputation
    if rule == "off":
        return batch
    if rule == "knn" or rule == "csdi" or rule == "trace":
        if spec.imputer is None:
            raise ValueError(f"imputation {rule}: no fitted imputer was given")
        filled = _filled_by_rule(spec.imputer.complete(batch), spec, "mean")
    elif batch.observed:
        filled = _filled_by_rule(batch, spec, rule)
    else:
        return batch
    return replace(
        filled,
        context=None if batch.context is None else impute(batch.context, spec),
        clean=None if batch.clean is None else impute(batch.clean, spec),
    )


def imputed_once(batch: Batch, spec: Spec) -> Batch:
    """Samples that are read every epoch, filled for all of them where that takes long.

    Args:
        batch: samples that nothing damages any more.
        spec: of the network.
    """
    return impute(batch, spec) if spec.imputer is not None else batch


def _filled_by_rule(batch: Batch, spec: Spec, rule: FillRule) -> Batch:
    """The batch with the modalities filled that say which of their entries were observed."""
    if not batch.observed:
        return batch
    features = dict(batch.features)
    for name in batch.observed.keys() & spec.imputed.keys():
        there = (batch.mask[name] & batch.present[name].unsqueeze(-1)).unsqueeze(-1)
        features[name] = estimate(batch, spec, name, rule).where(there, 0)
    observed = {name: kept for name, kept in batch.observed.items() if name not in spec.imputed}
    return replace(batch, features=features, observed=observed)


def estimate(batch: Batch, spec: Spec, modality: str, rule: FillRule) -> Tensor:
    """[batch, time, feature]: the values of a modality, and what a rule puts where none was observed.

    Args:
        batch: the samples.
        spec: ``imputed`` has the values of each feature.
        modality: its name.
        rule: the rule.
    """
    values = batch.features[modality]
    steps = torch.arange(values.shape[1], device=values.device)
    times = batch.time.get(modality, steps.expand(values.shape[:2])).to(torch.float32)
    constant = torch.tensor(spec.imputed[modality], dtype=values.dtype, device=values.device)
    return fill(values, batch.observed_entries(modality), times, constant, rule)


def fill(values: Tensor, observed: Tensor, times: Tensor, constant: Tensor, rule: FillRule) -> Tensor:
    """Fills entries that were not observed; the others are as they were.

    Args:
        values: [batch, time, feature], float; what stands at unobserved entries is not read.
        observed: [batch, time, feature], bool.
        times: [batch, time], float; they never run back over observed steps. Read by ``linear`` alone.
        constant: [feature]: what ``mean`` and ``zero`` put there, and the others where a rule has no observed value.
        rule: the rule.

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
        Modality -> a number a feature: the mean of its observed entries, 0 where there are none; for ``zero`` where 0 lies.
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
