"""Two views of the same samples: what is left of them once steps were lost, and all that they had."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ...datasets.batch import Batch
from ..losses import masked_mean
from .networks import valid_steps
from .step_sequences import block_means, valid_first


def two_views(batch: Batch, whole: Collection[str], training: bool) -> tuple[Batch, Batch]:
    """What is left, and all that there was: the protocol's damage where there is some, else in training the method's own.

    The method's own: of each sample and modality steps are lost at a rate that is 0 or uniform in [0, 1], evenly likely.

    Args:
        batch: the samples, with ``clean`` where the protocol damaged them.
        whole: modalities that are lost as a whole, as those whose steps a network does not read one by one.
        training: whether anything is to be lost.
    """
    if batch.clean is not None:
        return batch, batch.clean
    if not training:
        return batch, batch
    drawn = torch.rand(2, len(batch), len(batch.modalities))
    return lose(batch, drawn[0] * (drawn[1] >= 0.5), whole), batch


def lose(batch: Batch, rates: Tensor, whole: Collection[str] = ()) -> Batch:
    """The batch with steps that are lost at random, which are zeros from then on, with draws of torch's generator.

    A modality of one step is absent without it.

    Args:
        batch: the samples.
        rates: [batch, modality], in [0, 1], on the CPU.
        whole: modalities that are lost as a whole, at their rate.
    """
    features, observed, present, gone = dict(batch.features), {}, {}, {}
    for i, (name, values) in enumerate(batch.features.items()):
        rate = rates[:, i : i + 1]
        if name in whole or values.shape[1] == 1:
            present[name] = batch.present[name] & (torch.rand(rate.shape) >= rate)[:, 0].to(values.device)
            continue
        kept = (torch.rand(len(batch), values.shape[1]) >= rate).to(values.device)
        features[name] = values.where(kept.unsqueeze(-1), 0)
        if name in batch.observed:
            observed[name] = batch.observed[name] & kept.unsqueeze(-1)
        if name in batch.tokens:
            gone[name] = ~kept
    return (
        replace(batch, features=features).with_observed(observed).without_tokens(gone).with_present(present)
    )


def lost_steps(left: Batch, complete: Batch, modality: str) -> Tensor:
    """The steps of a modality that only the complete samples have, [batch, time], bool: gone, or zeros that were none.

    Args:
        left: what is left of the samples.
        complete: all that they had.
        modality: its name.
    """
    valid = valid_steps(complete, modality)
    gone = valid & ~valid_steps(left, modality)
    here, before = (one.features[modality].flatten(2).any(dim=-1) for one in (left, complete))
    empty = before & ~here
    return gone | (valid & empty)


def lost_share(left: Batch, complete: Batch, modality: str) -> Tensor:
    """The share of its valid steps that each sample has lost, [batch], in [0, 1]; 0 of a sample that had none.

    Args:
        left, complete, modality: as of ``lost_steps``.
    """
    lost = lost_steps(left, complete, modality).sum(dim=1)
    return lost / valid_steps(complete, modality).sum(dim=1).clamp(min=1)


def rebuilding_error(made: Tensor, left: Batch, complete: Batch, modality: str, block: int) -> Tensor:
    """The smooth L1 of lost steps that are rebuilt, a mean over their numbers, a scalar; 0 where nothing is lost.

    Args:
        made: [batch, time, feature], as ``step_sequences`` places the steps: valid ones first, and averaged over blocks.
        left: what is left of the samples.
        complete: all that they had.
        modality: one that is read step by step.
        block: steps that are averaged to one.
    """
    goal, lost = lost_in_place(left, complete, modality, block)
    wanted = lost[:, : made.shape[1], None].expand_as(made)
    return masked_mean(
        F.smooth_l1_loss(made, goal[:, : made.shape[1]].to(made.dtype), reduction="none"), wanted
    )


def lost_in_place(left: Batch, complete: Batch, modality: str, block: int) -> tuple[Tensor, Tensor]:
    """The complete steps [batch, time, feature], and which hold a lost one [batch, time], placed as by ``step_sequences``.

    Args:
        left, complete, modality, block: as of ``rebuilding_error``.
    """
    valid = valid_steps(complete, modality)
    lost = lost_steps(left, complete, modality).unsqueeze(-1).float()
    features = complete.features[modality].float()
    both, there = valid_first(torch.cat([features, lost], dim=-1), valid)
    both, there = block_means(both, there, block)
    return both[..., :-1], there & (both[..., -1] > 0)
