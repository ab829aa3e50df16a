"""Mixup (Zhang et al., ICLR 2018, arXiv 1710.09412) of fused features, between source domains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..erm import ERM
from ..losses import task_errors, task_loss
from ..method import searched
from ..shared.networks import SharedNetworkParams, as_prediction


@dataclass(frozen=True)
class MixupParams(SharedNetworkParams):
    """How strongly, and how much is mixed."""

    weight: float = searched(
        0.5,
        choices=(0.1, 0.2, 0.5, 1.0),
        source="arXiv 2606.00891: 0.5, 0.1 for HAC, modality first; range: our choice",
    )
    alpha: float = searched(
        1.0,
        choices=(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
        above=0,
        source="arXiv 2606.00891; range: DomainBed, 10^U(-1, 1) as a grid (its default is 0.2)",
    )


class Mixup(ERM):
    """ERM that also learns from mixtures of two samples, each with the mixture of their targets.

    lambda ~ Beta(alpha, alpha) for each sample; the fused feature lambda z_i + (1 - lambda) z_j is to predict
    lambda y_i + (1 - lambda) y_j. Sample j is of another domain where the batch has one (arXiv 2606.00891,
    DomainBed), or any other.

    The paper mixes inputs. Sequences of different lengths, some of them missing, have no mixture, so features
    are mixed (Verma et al. 2019, at the last layer before the head).
    """

    Params = MixupParams
    version = 2
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "mixes fused features, between domains",
    }
    compares_domains: ClassVar[bool] = True
    params: MixupParams

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and the loss of the mixtures."""
        output = self(batch)
        assert output.fused is not None
        alpha = torch.full((len(batch),), self.params.alpha, device=output.fused.device)
        share = torch.distributions.Beta(alpha, alpha).sample()
        partner = partners(batch.domain)
        raw = self.head(mixture(output.fused, share.unsqueeze(-1), partner))
        errors = mixed_errors(as_prediction(raw, self.spec), batch.target, share, partner, self.spec)
        return {
            "task": task_loss(output.prediction, batch.target, self.spec),
            "mixup": self.params.weight * errors.mean(),
        }


def partners(domain: Tensor) -> Tensor:
    """For each sample a random other one, of another domain if there is one; [batch], rows of the batch."""
    score = torch.rand(len(domain), len(domain), device=domain.device)
    score = score + (domain.unsqueeze(1) != domain)
    return score.fill_diagonal_(-1).argmax(dim=1)  # itself, where it is alone


def mixture(values: Tensor, share: Tensor, partner: Tensor) -> Tensor:
    """lambda v_i + (1 - lambda) v_j, j being the partner of i.

    Args:
        values: [batch, ...].
        share: lambda, the share of each sample's own value, in [0, 1]; of a shape that broadcasts with the
            values.
        partner: [batch], int64, the row of each sample's partner.

    Returns:
        As the values.
    """
    return share * values + (1 - share) * values[partner]


def mixed_errors(prediction: Tensor, target: Tensor, share: Tensor, partner: Tensor, spec: Spec) -> Tensor:
    """The error of each mixture: cross-entropy to the mixed classes, or L1 to the mixed score.

    Cross-entropy is linear in the target, so that it may be mixed instead; L1 is not: the mixture of two
    distances is least at one of the two targets, not between them.

    Args:
        prediction: [batch] scores or [batch, classes] logits, of the mixtures.
        target: [batch], labels or class indices of the samples.
        share: [batch], lambda, in [0, 1].
        partner: [batch], int64, the row of each sample's partner.
        spec: of the task.

    Returns:
        [batch], in nats or in label units.
    """
    if spec.kind == "classification":
        own, other = task_errors(prediction, target, spec), task_errors(prediction, target[partner], spec)
        return share * own + (1 - share) * other
    return task_errors(prediction, mixture(target, share, partner), spec)
