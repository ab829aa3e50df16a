"""Parts of CP + SL: gates, the statistics that embeddings are to tell, and the rule that scales a dominant gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean
from .networks import Stacked

#: Modalities with more features are described by two numbers a sample.
WIDE = 128
#: Added to a standard deviation before its logarithm.
LEAST = 1e-3


class CrossModalGate(nn.Module):
    """f_m = h_m + sigmoid(W [h_m; c_m]) * c_m, c_m what the other modalities of the sample say to this one.

    c_m = sum over the other known n of a_mn W' h_n, a_m the softmax over them of h_m W'' h_n / sqrt(width).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(2 * width, width)

    def forward(self, stacked: Tensor, known: Tensor) -> Tensor:
        """Adds what the others say.

        Args:
            stacked: h, [batch, modality, width].
            known: [batch, modality], bool.

        Returns:
            f, [batch, modality, width]; h where there is no other modality.
        """
        count, width = stacked.shape[1:]
        others = known.unsqueeze(1) & ~torch.eye(count, dtype=torch.bool, device=known.device)
        scores = stacked @ self.score(stacked).transpose(1, 2) / width**0.5
        weights = scores.masked_fill(~others, -1e9).softmax(dim=-1).where(others, 0)
        said = weights @ self.value(stacked)
        opened = self.gate(torch.cat([stacked, said], dim=-1)).sigmoid()
        return stacked + opened * said


class ChannelGates(nn.Module):
    """h_m * sigmoid(G_m h_m), [batch, modality, width], each modality by a map of its own."""

    def __init__(self, modalities: int, width: int) -> None:
        """Builds the gates.

        Args:
            modalities: how many.
            width: of an embedding.
        """
        super().__init__()
        self.maps = Stacked(modalities, lambda: nn.Linear(width, width))

    def forward(self, stacked: Tensor) -> Tensor:
        """[batch, modality, width] -> the same, each number between 0 and what it was."""
        return stacked * self.maps(stacked).sigmoid()


def by_features(spec: Spec, modality: str, asked: str) -> bool:
    """Whether a modality is described by two numbers over all of its features, and not by two for each.

    Args:
        spec: sizes, and steps where they are known.
        modality: its name.
        asked: ``steps``, ``features`` or ``auto``: the former, but for modalities that are wide or have a single step.
    """
    single = spec.steps.get(modality) == 1
    return asked == "features" or (asked == "auto" and (spec.modalities[modality] > WIDE or single))


def input_statistics(batch: Batch, modality: str, over_features: bool) -> tuple[Tensor, Tensor]:
    """The empirical mean of a sample's standardised input, and the logarithm of its standard deviation.

    Args:
        batch: the samples; only observed entries of valid steps of samples that have the modality are read.
        modality: its name.
        over_features: over steps and features together; otherwise over steps, of each feature.

    Returns:
        [batch, 2] or [batch, 2 * features], means before logarithms, 0 where they are not defined; and where they are,
        bool of that shape: a mean has an entry, a deviation two.
    """
    there = batch.observed_entries(modality)
    values = batch.features[modality].where(there, 0).to(torch.float32)
    if over_features:
        there, values = there.flatten(1).unsqueeze(-1), values.flatten(1).unsqueeze(-1)
    count = there.sum(dim=1)
    mean = values.sum(dim=1) / count.clamp(min=1)
    squares = (values - mean.unsqueeze(1)).square().where(there, 0).sum(dim=1)
    logarithm = ((squares / count.clamp(min=1)).sqrt() + LEAST).log()
    defined = torch.cat([count > 0, count > 1], dim=1)
    return torch.cat([mean, logarithm], dim=1).where(defined, 0), defined


class StatisticsHeads(nn.Module):
    """What each embedding tells of its input's statistics: a linear map for each modality, and the scale of the goals."""

    fitted: Tensor  # bool, whether the scale of the training split is known

    def __init__(self, spec: Spec, described: Sequence[str], width: int, asked: str) -> None:
        """Builds the maps.

        Args:
            spec: names all modalities.
            described: those that have statistics, in the order of the spec.
            width: of an embedding.
            asked: as in ``by_features``.
        """
        super().__init__()
        self.places = {m: place for place, m in enumerate(spec.modalities) if m in described}
        self.over_features = {m: by_features(spec, m, asked) for m in self.places}
        self.maps = nn.ModuleList()
        for i, m in enumerate(self.places):
            size = 2 if self.over_features[m] else 2 * spec.modalities[m]
            self.maps.append(nn.Linear(width, size))
            self.register_buffer(f"centre_{i}", torch.zeros(size))
            self.register_buffer(f"scale_{i}", torch.ones(size))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    def forward(self, stacked: Tensor, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """How far what is told lies from what is so, in deviations of the training split.

        Args:
            stacked: embeddings, [batch, modality, width].
            batch: the samples.

        Returns:
            Modality -> the mean squared error of each sample, [batch], 0 where nothing is defined; and where something
            is, [batch] bool.
        """
        found = {}
        for i, (m, place) in enumerate(self.places.items()):
            goal, defined = input_statistics(batch, m, self.over_features[m])
            goal = (goal - self.get_buffer(f"centre_{i}")) / self.get_buffer(f"scale_{i}")
            errors = (self.maps[i](stacked[:, place]) - goal).square().where(defined, 0)
            found[m] = (errors.sum(dim=1) / defined.sum(dim=1).clamp(min=1), defined.any(dim=1))
        return found

    @torch.no_grad()
    def fit(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """Takes the mean and the deviation of the goals from the training split, once; later calls change nothing."""
        if bool(self.fitted):
            return
        device = self.fitted.device
        sizes = [len(self.get_buffer(f"centre_{i}")) for i in range(len(self.places))]
        sums = [torch.zeros(3, size, device=device) for size in sizes]
        for batch in batches():
            for i, m in enumerate(self.places):
                goal, defined = input_statistics(batch, m, self.over_features[m])
                sums[i] += torch.stack([defined.to(goal.dtype), goal, goal.square()]).sum(dim=1)
        for i, (count, first, second) in enumerate(sums):
            mean = first / count.clamp(min=1)
            deviation = (second / count.clamp(min=1) - mean.square()).clamp(min=0).sqrt()
            self.get_buffer(f"centre_{i}").copy_(mean)
            # What is the same in every sample tells nothing: its error is not divided.
            self.get_buffer(f"scale_{i}").copy_(deviation.where(deviation > 1e-4, 1.0))
        self.fitted.fill_(True)


def moment_gap(said: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """How far the moments of predictions over a batch lie from those of the targets; a mean over modalities.

    The squared difference of the means plus that of the standard deviations, over the samples that have the modality.

    Args:
        said: [batch, modality, outputs], scores or probabilities.
        target: [batch, outputs].
        known: [batch, modality], bool.
    """
    there = known.unsqueeze(-1)
    count = there.sum(dim=0).clamp(min=1)

    def moments(values: Tensor) -> Tensor:
        mean = values.where(there, 0).sum(dim=0) / count
        variance = (values - mean).square().where(there, 0).sum(dim=0) / count
        return torch.stack([mean, (variance + 1e-8).sqrt()])

    gap = moments(said) - moments(target.unsqueeze(1).expand_as(said))
    return gap.square().mean()


def norm_ratios(norms: Tensor, has_gradient: Tensor) -> Tensor:
    """rho_m = n_m / mean over the others of n, [modality]; 1 where there is nothing to compare.

    Args:
        norms: n, [modality], not negative.
        has_gradient: [modality], bool; others have a ratio of 1 and take no part.
    """
    others = has_gradient.sum() - 1
    there = norms.where(has_gradient, 0)
    rest = (there.sum() - there) / others.clamp(min=1)
    ratio = torch.where(rest > 0, norms / rest.clamp(min=torch.finfo(norms.dtype).tiny), torch.inf)
    ratio = ratio.where((norms > 0) | (rest > 0), 1.0)
    return ratio.where(has_gradient & (others > 0) & norms.isfinite().all(), 1.0)


def penalties(ratios: Tensor, strength: float, kappa: float, least: float) -> Tensor:
    """k_m = max(least, rho_m^-strength) where rho_m > 1 and some rho exceeds kappa, else 1; [modality].

    Args:
        ratios: rho, [modality].
        strength: lambda, at least 0.
        kappa: from which ratio on two gradients are in conflict.
        least: the smallest factor.
    """
    if not bool(ratios.max() > kappa):
        return torch.ones_like(ratios)
    return ratios.clamp(min=1).pow(-strength).clamp(min=least)


def likeness(gated: Tensor, known: Tensor) -> Tensor:
    """The squared cosine of the embeddings of two modalities; a mean over known pairs.

    Args:
        gated: [batch, modality, width].
        known: [batch, modality], bool.
    """
    rows = F.normalize(gated, dim=-1, eps=1e-6)
    pairs = list(combinations(range(gated.shape[1]), 2))
    cosines = torch.stack([(rows[:, i] * rows[:, j]).sum(dim=-1) for i, j in pairs], dim=1)
    return masked_mean(cosines.square(), torch.stack([known[:, i] & known[:, j] for i, j in pairs], dim=1))


def gradients_above(loss: Tensor, cut: Mapping[str, Tensor], keep: bool = False) -> dict[str, Tensor]:
    """Adds the gradients of a loss to all that lies above the embeddings, and returns those of the embeddings.

    Args:
        loss: a scalar.
        cut: modality -> embedding, a leaf that requires a gradient; it has none afterwards.
        keep: whether another loss of the same graph follows.

    Returns:
        Modality -> [batch, width].
    """
    loss.backward(retain_graph=keep)
    found = {}
    for name, values in cut.items():
        found[name] = torch.zeros_like(values) if values.grad is None else values.grad
        values.grad = None
    return found


def gradients_below(
    embeddings: Mapping[str, Tensor],
    trained: Sequence[nn.Parameter],
    upper: Mapping[str, Tensor],
    keep: bool = False,
) -> dict[nn.Parameter, Tensor]:
    """The gradients of the encoders' parameters, for those of their embeddings; without an entry where there is none.

    Args:
        embeddings: modality -> [batch, width], with the graph of its encoder.
        trained: the parameters.
        upper: modality -> [batch, width].
        keep: whether they are asked for again.
    """
    names = [m for m in embeddings if embeddings[m].requires_grad]
    if not names or not trained:
        return {}
    found = torch.autograd.grad(
        [embeddings[m] for m in names],
        trained,
        [upper[m] for m in names],
        retain_graph=keep,
        allow_unused=True,
    )
    return {p: g for p, g in zip(trained, found, strict=True) if g is not None}
