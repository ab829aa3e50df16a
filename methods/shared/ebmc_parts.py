"""The parts and the formulas of EBMC (arXiv 2604.12518), on stacked tensors.

Stacked means [batch, modality, ...], the modalities in the specification's order; ``known`` [batch, modality]
is true where a sample has the modality.
"""

from __future__ import annotations

import math
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Spec
from ..losses import (
    gaussian_nll,
    info_nce,
    label_unit,
    masked_mean,
    normalised_entropy,
    plain_errors,
    task_errors,
)
from .networks import Stacked, outputs


def mlp(inputs: int, outputs: int) -> nn.Sequential:
    """Two linear layers with a ReLU between them.

    Args:
        inputs: width of its input.
        outputs: width of its hidden layer and of its output.
    """
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Linear(outputs, outputs))


class UnimodalBranches(nn.Module):
    """The unimodal heads T_m: what each modality's embedding says alone, and how sure of it it is.

    A regression branch gives a score and its log-variance (heteroscedastic), a classification branch logits.

    Labels from -3 to 3 have a unit of 1, and others are measured on that scale, so that deviations and
    energies mean the same for every label range.
    """

    def __init__(self, spec: Spec, width: int, squared: bool = False) -> None:
        """``squared``: regression is by squared errors, and the variance is not trained."""
        super().__init__()
        self.spec = spec
        self.squared = squared and spec.kind == "regression"
        self.unit = label_unit(spec)
        size = outputs(spec) + (spec.kind == "regression")
        self.heads = Stacked(len(spec.modalities), lambda: nn.Linear(width, size))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Raw outputs [batch, modality, ...] for embeddings [batch, modality, width]."""
        return self.heads(embeddings)

    def said(self, raw: Tensor) -> Tensor:
        """The predictions: [batch, modality] scores or [batch, modality, classes] logits."""
        return raw if self.spec.kind == "classification" else raw[..., 0]

    def log_variance(self, raw: Tensor) -> Tensor:
        """[batch, modality] of a regression, softly bounded: no branch can claim to be certain."""
        return 6 * (raw[..., 1] / 6).tanh() + 2 * math.log(self.unit)

    def deviation(self, raw: Tensor) -> Tensor:
        """sigma [batch, modality]: the predicted deviation; for classes the entropy, 1 for a blind guess."""
        if self.spec.kind == "classification":
            return normalised_entropy(raw)
        return (0.5 * self.log_variance(raw)).exp() / self.unit

    def uncertainty(self, raw: Tensor) -> Tensor:
        """u_m [batch, modality]: the entropy of a prediction; of a Gaussian, its variance."""
        deviation = self.deviation(raw)
        return deviation if self.spec.kind == "classification" else deviation.square()

    def errors(self, said: Tensor, target: Tensor) -> Tensor:
        """l_m: the task's loss of each branch, or the squared error.

        Args:
            said: [batch, modality] scores or [batch, modality, classes] logits.
            target: [batch], labels or class indices.

        Returns:
            [batch, modality], in nats, in label units, or in their square.
        """
        if self.squared:
            return (said - target.unsqueeze(1)).square()
        return torch.stack([task_errors(column, target, self.spec) for column in said.unbind(1)], dim=1)

    def relative_errors(self, said: Tensor, target: Tensor) -> Tensor:
        """``errors`` in units of the labels' scale, whatever the weights of the classes: they are compared
        with ``expected_errors``.

        Args:
            said: as of ``errors``.
            target: as of ``errors``.

        Returns:
            [batch, modality].
        """
        if self.squared:
            return self.errors(said, target) / self.unit**2
        plain = [plain_errors(column, target, self.spec) for column in said.unbind(1)]
        return torch.stack(plain, dim=1) / self.unit

    def expected_errors(self, raw: Tensor) -> Tensor:
        """What the branches expect of ``relative_errors``, [batch, modality]: no label is read."""
        deviation = self.deviation(raw)
        if self.spec.kind == "classification":
            return deviation * math.log(max(self.spec.classes, 2))  # the cross-entropy's mean is the entropy
        return deviation * math.sqrt(2 / math.pi)  # the mean absolute value of a Gaussian

    def losses(self, raw: Tensor, target: Tensor) -> Tensor:
        """L_uni of each branch: cross-entropy, Gaussian likelihood or squared error.

        Args:
            raw: [batch, modality, ...], as of ``forward``.
            target: [batch], labels or class indices.

        Returns:
            [batch, modality].
        """
        if self.spec.kind == "classification" or self.squared:
            return self.errors(self.said(raw), target)
        return gaussian_nll(self.said(raw), self.log_variance(raw), target.unsqueeze(1))


def draw_pattern(known: Tensor, probability: float) -> Tensor:
    """Hides modalities at random: with ``probability``, a sample keeps a non-empty subset of what it has.

    Every non-empty subset, the complete one included, is as likely as any other. A sample without any
    modality stays without.

    Args:
        known: [batch, modality], bool.
        probability: that a sample takes part.
    """
    count = known.sum(dim=1)
    subsets = 2.0**count - 1
    code = 1 + (torch.rand(len(known), device=known.device) * subsets).floor().clamp(max=subsets - 1)
    rank = known.cumsum(dim=1) - 1  # the bit of the code that stands for the modality
    kept = (code.long().unsqueeze(1) >> rank.clamp(min=0)) & 1
    hides = torch.rand(len(known), device=known.device) < probability
    return known & (kept.bool() | ~hides.unsqueeze(1))


def mean_of_others(values: Tensor, known: Tensor) -> Tensor:
    """For each modality, the mean over the other known ones.

    Args:
        values: [batch, modality, width].
        known: [batch, modality], bool.

    Returns:
        [batch, modality, width]; 0 where there are no others.
    """
    weight = known.unsqueeze(-1).to(values.dtype)
    masked = values.where(known.unsqueeze(-1), 0)
    others = masked.sum(dim=1, keepdim=True) - masked
    return others / (weight.sum(dim=1, keepdim=True) - weight).clamp(min=1)


def has_others(known: Tensor) -> Tensor:
    """[batch, modality] bool: whether the sample has a modality besides this one."""
    return known.sum(dim=1, keepdim=True) - known.to(torch.int64) > 0


def shared_contrast(shared: Tensor, known: Tensor, temperature: float) -> Tensor:
    """L_inv of each sample: its shared part finds the others' mean shared part among all samples.

    - log exp(sim(z_i^c, z_agg^c) / tau) / sum_k exp(sim(z_i^c, z_k^c) / tau), with the aggregate over the
      other known modalities, so that no anchor is part of its own positive; mean over modalities.

    Args:
        shared: [batch, modality, width]; normalised here.
        known: [batch, modality], bool.
        temperature: tau, above 0.

    Returns:
        A scalar.
    """
    others, valid = mean_of_others(shared, known), known & has_others(known)
    terms = [info_nce(shared[:, m], others[:, m], valid[:, m], temperature) for m in range(shared.shape[1])]
    return torch.stack(terms).mean()


def shared_contrast_of_batch(shared: Tensor, known: Tensor, temperature: float) -> Tensor:
    """L_inv as released: one positive and one negative number for the whole batch.

    The positive is the mean cosine between the parts and their sample's mean; the negative is the mean over
    rows of the sum of exp(sum of the pairs' cosines / tau), the diagonal included.

    Args:
        shared: [batch, modality, width], of at least two modalities; normalised here.
        known: [batch, modality], bool.
        temperature: tau, above 0.

    Returns:
        A scalar.
    """
    parts = F.normalize(shared, dim=-1, eps=1e-6)
    # The cosine does not see the scale: the sum stands for the mean.
    centre = F.normalize(shared.where(known.unsqueeze(-1), 0).sum(1, keepdim=True), dim=-1, eps=1e-6)
    positive = masked_mean((parts * centre).sum(-1), known)
    parts = parts.where(known.unsqueeze(-1), 0)
    similarity = torch.stack(
        [parts[:, i] @ parts[:, j].T for i, j in combinations(range(parts.shape[1]), 2)]
    ).sum(0)
    negative = (similarity / temperature).logsumexp(dim=(0, 1)) - torch.tensor(float(len(shared))).log()
    return negative - positive / temperature


def private_overlap(private: Tensor, known: Tensor, signed: bool = False) -> Tensor:
    """L_dis: the squared cosine of the private parts of two modalities, mean over known pairs.

    Args:
        private: [batch, modality, width], of at least two modalities; normalised here.
        known: [batch, modality], bool.
        signed: the cosine itself, as the paper writes it. Its minimum is opposition; the minimum of the
            square, which the release takes, is what the term is for: independence.

    Returns:
        A scalar, in [0, 1], or signed in [-1, 1].
    """
    parts = F.normalize(private, dim=-1, eps=1e-6)
    pairs = list(combinations(range(private.shape[1]), 2))
    cosine = torch.stack([(parts[:, i] * parts[:, j]).sum(-1) for i, j in pairs], dim=1)
    return masked_mean(
        cosine if signed else cosine.square(),
        torch.stack([known[:, i] & known[:, j] for i, j in pairs], dim=1),
    )


def energy_gap(energies: Tensor, known: Tensor) -> Tensor:
    """L_gap: sum over known pairs of (E_i - E_j)^2, mean over samples.

    Args:
        energies: [batch, modality], of at least two modalities.
        known: [batch, modality], bool.

    Returns:
        A scalar, at least 0.
    """
    gaps = [
        (energies[:, i] - energies[:, j]).square().where(known[:, i] & known[:, j], 0)
        for i, j in combinations(range(energies.shape[1]), 2)
    ]
    return torch.stack(gaps).sum(0).mean()


def energy_excess(energies: Tensor, known: Tensor) -> Tensor:
    """The one-sided gap: sum over modalities of max(0, E_m - min E)^2, the minimum without gradient.

    The two-sided gap can be closed by making the strongest modality worse; this one cannot.

    Args:
        energies: [batch, modality].
        known: [batch, modality], bool.

    Returns:
        A scalar, at least 0.
    """
    least = energies.masked_fill(~known, torch.inf).min(dim=1, keepdim=True).values.detach()
    excess = (energies - least.where(known.any(dim=1, keepdim=True), 0)).clamp(min=0).square()
    return excess.where(known, 0).sum(dim=1).mean()


def batch_mean(values: Tensor, known: Tensor) -> Tensor:
    """The mean over the samples that have the modality.

    Args:
        values: [batch, modality].
        known: [batch, modality], bool.

    Returns:
        [1, modality]; 0 where no sample has it.
    """
    return values.where(known, 0).sum(0, keepdim=True) / known.sum(0, keepdim=True).clamp(min=1)


def batch_variance(values: Tensor, known: Tensor) -> Tensor:
    """The variance over the n samples that have the modality, by n - 1.

    Args:
        values: [batch, modality].
        known: [batch, modality], bool.

    Returns:
        [1, modality], at least 0; 0 where fewer than two samples have it.
    """
    count = known.sum(0, keepdim=True)
    squares = (values - batch_mean(values, known)).square()
    return squares.where(known, 0).sum(0, keepdim=True) / (count - 1).clamp(min=1)


def trust_weights(deviation: Tensor, known: Tensor) -> Tensor:
    """alpha_m = c rho / sum_m c rho with c = exp(-sigma) and rho = 1 / (log(1 + sigma^2) + 0.1).

    The 0.1 (from the release) bounds rho where a deviation is near 0.

    Args:
        deviation: sigma, [batch, modality].
        known: the modalities that share the weight.

    Returns:
        [batch, modality], 0 where not known; each row sums to 1, or to 0 where nothing is known.
    """
    log_trust = -deviation - (deviation.square().log1p() + 0.1).log()
    return log_trust.masked_fill(~known, -1e9).softmax(dim=1).where(known, 0)
