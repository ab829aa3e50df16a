"""AGM: adaptive gradient modulation by the contributions of the modalities (Li et al., ICCV 2023)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..erm import ERM
from ..losses import label_unit, masked_mean, plain_errors, task_loss
from ..method import Output, fixed, searched
from ..shared.networks import SharedNetworkParams, as_prediction, known_modalities

#: With M modalities the head is asked 2^M times for each sample.
MOST_MODALITIES = 10
#: Limit of the exponents of the ratios, so that no two of them are infinite.
LIMIT = 10.0


@dataclass(frozen=True)
class AGMParams(SharedNetworkParams):
    """The strength of the modulation, its limit, and how long it acts."""

    alpha: float = searched(
        1.0,
        low=0.0,
        high=2.0,
        digits=1,
        source="Li et al. 2023, code; 0 is plain training of the same network",
    )
    limit: float = fixed(
        7.0, source="Li et al. 2023, code: 7, and 10 in the script of two modalities; of tau - r"
    )
    until: float = fixed(
        1.0, least=0, source="ours: a share of the training; the code's first 20 epochs are not one"
    )


class AGM(ERM):
    """ERM whose prediction is split into what each modality contributes; the gradient through each share is scaled.

    phi_m is the Shapley value of modality m in the outputs of the head, F(S) those for the embeddings of S alone, with
    F of no modality left out: sum_m phi_m = F(all). s_m is the error of phi_m taken for the prediction, a mean over the
    batch, and r_m = exp((mean s - s_m) M / (M - 1)), above 1 where m is better than the mean. tau_m is r_m of the mean
    errors of all batches so far. The gradient through phi_m is multiplied by kappa_m = exp(alpha min(tau_m - r_m,
    limit)), for the encoders and for the head: a modality that is further ahead than usual learns less.

    Of scores (ours) s_m is the absolute error divided by a sixth of the range of the labels. A modality that no sample of
    a batch has is neither compared nor scaled.
    """

    Params = AGMParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "embeddings are taken away, not inputs, so that encoders are run once and with dropout in every F; encoders and "
            "head of mmbench; it acts in the whole training, not in the first 20 epochs; exponents are limited to 10; "
            "scores, more than three modalities, and absent modalities are ours"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without modulation": {"alpha": 0.0},
        "turned round": {"alpha": -1.0},
    }
    params: AGMParams
    error_sum: Tensor  # [modality], of the batches that had the modality
    batches: Tensor  # int64 [modality], how many these were
    factor: Tensor  # [modality], the mean kappa so far
    modulated: Tensor  # int64

    def __init__(self, params: AGMParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        count = len(self.names)
        if count > MOST_MODALITIES:
            raise ValueError(
                f"agm asks the head 2^M times with M modalities: it takes at most {MOST_MODALITIES}, not {count}"
            )
        self.register_buffer("error_sum", torch.zeros(count))
        self.register_buffer("batches", torch.zeros(count, dtype=torch.int64))
        self.register_buffer("factor", torch.ones(count))
        self.register_buffer("modulated", torch.zeros((), dtype=torch.int64))
        self.active = True

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """As ERM; what modulation did so far is among the diagnostics."""
        output = super().fuse(embeddings, batch)
        told = {f"agm_factor/{m}": self.factor[i].expand(len(batch)) for i, m in enumerate(self.names)}
        return Output(output.prediction, embeddings=output.embeddings, fused=output.fused, diagnostics=told)

    def contributions(self, embeddings: Mapping[str, Tensor]) -> Tensor:
        """phi, [batch, modality, outputs]; the sum over the modalities is what the head says of all.

        Args:
            embeddings: modality -> [batch, width], 0 where the modality is absent.
        """
        stacked = torch.stack([embeddings[m] for m in self.names], dim=1)
        members = subsets(len(self.names)).to(stacked.device)
        kept = stacked.unsqueeze(0).where(members[:, None, :, None], 0)
        said = self.head(kept.flatten(2).flatten(0, 1)).unflatten(0, kept.shape[:2])
        return torch.einsum("ms,sbo->bmo", shapley_weights(len(self.names)).to(said), said)

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Modulates in the first part of the training alone."""
        self.active = done < self.params.until

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss of the sum of the contributions, with plain gradients."""
        return self._terms(batch)[0]

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """The gradients of the task's loss, those through each contribution scaled; then the errors are noted.

        Returns:
            The loss term.
        """
        terms, errors, known = self._terms(batch, modulate=True)
        terms["task"].backward()
        self.error_sum += errors.where(known, 0)
        self.batches += known
        return terms

    def _terms(self, batch: Batch, modulate: bool = False) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The loss; the errors s [modality]; which modalities the batch has, [modality] bool."""
        embeddings = super().fuse(self.encode_all(batch), batch).embeddings
        shares = self.contributions(embeddings)
        there = known_modalities(batch, self.names)
        known = there.any(dim=0)
        errors = self.errors(shares.detach(), batch, there).float()
        if modulate and self.active and int(known.sum()) > 1:
            kappa = torch.ones_like(errors)
            kappa[known] = self.factors(errors[known], known)
            self.modulated += 1
            self.factor += (kappa - self.factor) / self.modulated
            scale = kappa[:, None]
            shares = scale * shares + (1 - scale) * shares.detach()  # the same value, another gradient
        prediction = as_prediction(shares.sum(dim=1), self.spec)
        return {"task": task_loss(prediction, batch.target, self.spec)}, errors, known

    @torch.no_grad()
    def errors(self, shares: Tensor, batch: Batch, there: Tensor) -> Tensor:
        """s, [modality]: the error of each contribution alone.

        Args:
            shares: phi, [batch, modality, outputs].
            batch: with the targets.
            there: [batch, modality], bool: which samples count for a modality.
        """
        unit = 1.0 if self.spec.kind == "classification" else label_unit(self.spec)
        found = [
            masked_mean(
                plain_errors(as_prediction(shares[:, i], self.spec), batch.target, self.spec), there[:, i]
            )
            for i in range(len(self.names))
        ]
        return torch.stack(found) / unit

    @torch.no_grad()
    def factors(self, errors: Tensor, known: Tensor) -> Tensor:
        """kappa of the modalities that a batch has; 1 before all of them have been met.

        Args:
            errors: s, [known modalities].
            known: [modality], bool.
        """
        if not bool(self.batches[known].all()):
            return torch.ones_like(errors)
        usual = self.error_sum[known] / self.batches[known]
        return modulation(leads(errors), leads(usual), self.params.alpha, self.params.limit)


def subsets(count: int) -> Tensor:
    """[2^count, count], bool: every subset of the modalities, the empty one first."""
    return (torch.arange(2**count)[:, None] >> torch.arange(count) & 1).bool()


def shapley_weights(count: int) -> Tensor:
    """w, [count, 2^count], with phi_m = sum over subsets S of w_mS F(S); no weight on the empty subset.

    S with m counts (|S| - 1)! (M - |S|)! / M!, S without m minus |S|! (M - |S| - 1)! / M!.
    """
    weights = torch.zeros(count, 2**count)
    for place, members in enumerate(subsets(count).tolist()):
        size = sum(members)
        for m in range(count) if size else ():
            pair = (size - 1, count - size) if members[m] else (size, count - size - 1)
            share = math.factorial(pair[0]) * math.factorial(pair[1]) / math.factorial(count)
            weights[m, place] = share if members[m] else -share
    return weights


def leads(errors: Tensor) -> Tensor:
    """r_m = exp((mean s - s_m) M / (M - 1)), [modality]: with two modalities the exponential of the difference.

    Args:
        errors: s, [modality], of two and more.
    """
    count = len(errors)
    return ((errors.mean() - errors) * count / (count - 1)).clamp(-LIMIT, LIMIT).exp()


def modulation(ratios: Tensor, usual: Tensor, alpha: float, limit: float) -> Tensor:
    """kappa_m = exp(alpha min(tau_m - r_m, limit)), [modality]; at most exp(|alpha| limit).

    Args:
        ratios: r.
        usual: tau, of the whole training so far.
        alpha: the strength; below 0 the factors are turned round, and the limit is that of r_m - tau_m.
        limit: the largest difference that lengthens a gradient.
    """
    apart = usual - ratios
    return (alpha * (apart.clamp(max=limit) if alpha >= 0 else apart.clamp(min=-limit))).exp()
