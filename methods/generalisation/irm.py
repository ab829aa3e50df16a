"""IRM: one head is the best for every domain (Arjovsky et al. 2019, arXiv 1907.02893, IRMv1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_errors
from ..method import fixed, searched
from ..shared.domains import domain_means
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

    DomainBed multiplies the slopes of two halves of the batch, which is unbiased but has no lower bound on a
    finite training set; here the slope is squared, as the paper writes it.
    """

    Params = IRMParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "annealing by a tenth of the epochs, no reset of the optimiser",
    }
    needs_domains: ClassVar[int] = 2
    term = "irm"

    def risks(self, prediction: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The errors, and the mean squared slope of the domains' risks."""
        penalty = invariance_penalty(prediction, batch.target, batch.domain, self.spec)
        return task_errors(prediction, batch.target, self.spec), penalty


def scale_slopes(prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
    """d error(w f, y) / dw at w = 1 of every sample, [batch], written out: no second backward pass is needed.

    Cross-entropy: sum_k softmax(f)_k f_k - f_y. L1: sign(f - y) f.
    """
    if spec.kind == "classification":
        own = prediction.gather(1, target.unsqueeze(1)).squeeze(1)
        return (prediction.softmax(dim=-1) * prediction).sum(dim=-1) - own
    return (prediction - target.to(prediction.dtype)).sign() * prediction


def invariance_penalty(prediction: Tensor, target: Tensor, domain: Tensor, spec: Spec) -> Tensor:
    """The squared slope of a domain's risk, mean over the domains that the batch has; a scalar."""
    slopes, seen = domain_means(scale_slopes(prediction, target, spec), domain, spec.domains)
    return masked_mean(slopes.square(), seen)
