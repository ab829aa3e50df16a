"""IRM: one head is the best for every domain (Arjovsky et al. 2019, arXiv 1907.02893, IRMv1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..losses import label_unit, masked_mean, weighed
from ..method import fixed, searched
from ..shared.domains import squared_domain_means
from ..shared.networks import SharedNetworkParams
from ..shared.penalty import Penalised


@dataclass(frozen=True)
class IRMParams(SharedNetworkParams):
    """How strongly invariance is asked for."""

    weight: float = searched(
        100.0,
        choices=(0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0, 100000.0),
        source="DomainBed: irm_lambda, default and 10^U(-1, 5) as a grid",
    )
    first_weight: float = fixed(1.0, source="DomainBed: until annealing ends")


class IRM(Penalised):
    """ERM with weight * the mean over source domains e of (d R_e(w f) / dw at w = 1)^2, R_e the domain's risk.

    The penalty is 0 where no domain would gain from scaling the prediction f. It is weak in a first tenth of
    the epochs, and off with one source domain (``Penalised``).

    The square of a batch's slope is too large by its variance, which a network lowers by predicting nothing. The slope
    of the domain is therefore squared by products of the slopes of different samples, all pairs of them: an unbiased
    estimate, as the product of two halves of the batch in DomainBed is, with half its variance. It may be below 0.

    R is the cross-entropy, and for scores half the squared error, as in the paper: the slope of an absolute error is
    sign(f - y) f, whose derivative says nothing of where the sign changes. The task's own loss stays ERM's.

    For scores the penalty does no harm, and hardly what it is for: a network that is not linear has ways to meet one
    equation a domain without leaving a cue that changes between them (docs/methods.md).
    """

    Params = IRMParams
    version = 2
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "annealing by a tenth of the epochs, no reset of the optimiser; slopes squared by all pairs of samples, not two halves; for scores the slope of the squared error",
    }
    needs_domains: ClassVar[int] = 2
    term = "irm"

    def penalty(self, prediction: Tensor, batch: Batch) -> Tensor:
        """The squared slopes of the domains' risks, their mean."""
        return invariance_penalty(prediction, batch.target, batch.domain, self.spec)


def scale_slopes(prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
    """d error(w f, y) / dw at w = 1 of every sample, [batch], written out: no second backward pass is needed.

    As the error itself it is weighed by class, where the protocol does so.

    Cross-entropy: sum_k softmax(f)_k f_k - f_y. Half the squared error of scores in [-1, 1]: (f - y) f / h^2, h half
    the range of the labels.

    Args:
        prediction: f; [batch] scores, or [batch, classes] logits.
        target: y, [batch].
        spec: says which task it is, and the range of the labels.
    """
    if spec.kind == "classification":
        expected = (prediction.softmax(dim=-1) * prediction).sum(dim=-1)
        return weighed(expected - prediction.gather(-1, target.unsqueeze(-1)).squeeze(-1), target, spec)
    half_range = 3 * label_unit(spec)
    return (prediction - target.to(prediction.dtype)) * prediction / half_range**2


def invariance_penalty(prediction: Tensor, target: Tensor, domain: Tensor, spec: Spec) -> Tensor:
    """The squared slope of a domain's risk, mean over the domains of which the batch has two samples.

    For scores it is in the unit of the labels, as their absolute error is.

    Args:
        prediction: [batch] scores or [batch, classes] logits, with a gradient.
        target: [batch], labels or class indices.
        domain: [batch], int64, in [0, spec.domains).
        spec: of the task.

    Returns:
        A scalar, 0 without such a domain. As the slope is estimated without bias, it can be below 0.
    """
    squares, seen = squared_domain_means(scale_slopes(prediction, target, spec), domain, spec.domains)
    scale = 1.0 if spec.kind == "classification" else label_unit(spec)
    return scale * masked_mean(squares, seen)
