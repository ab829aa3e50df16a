"""Sequences in a part of each modality's own and a part that all share, of DMD (Li et al. 2023) and DLF (Wang et al. 2025)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import label_unit, masked_mean
from .cross_modal import CrossTransformer
from .equal_steps import step_encoders
from .networks import SharedNetworkParams, known_modalities
from .subnetworks import TEXT

#: Of the margin between samples whose labels differ by one unit.
MARGIN = 0.15


@dataclass(frozen=True)
class Parts:
    """What is made of the sequences, of each modality [batch, steps, width]; 0 where it is absent."""

    whole: list[Tensor]
    specific: list[Tensor]
    common: list[Tensor]
    rebuilt: list[Tensor]  # of both parts
    again: list[Tensor]  # the specific part of what was rebuilt


class Decoupling(nn.Module):
    """Sequences of one number of steps, convolved; their specific and common parts, and what both rebuild.

    Attributes:
        names: of the modalities, in order.
        steps: of each sequence behind its convolution.
    """

    def __init__(
        self,
        spec: Spec,
        params: SharedNetworkParams,
        width: int,
        steps: int,
        kernels: Mapping[str, int],
        part: Callable[[], nn.Module],
        text_dropout: float,
    ) -> None:
        """Builds the networks.

        Args:
            spec: names the modalities.
            params: sizes of mmbench's encoders, of what is one vector.
            width: of a step.
            steps: that the valid steps of a modality are brought to, by means over equal shares.
            kernels: modality -> steps that its convolution reads at once, without padding; under ``""`` those of any other.
            part: makes what gives a part, [batch, steps, width] -> the same shape.
            text_dropout: of the text, before the convolution.

        Raises:
            ValueError: there are fewer steps than a convolution reads at once.
        """
        super().__init__()
        self.names, self.count, self.rate = tuple(spec.modalities), steps, text_dropout
        self.encoders = step_encoders(spec, params)
        read = self.encoders.sizes
        sizes = [kernels.get(name, kernels[""]) for name in self.names]
        if steps < max(sizes):
            raise ValueError(f"steps is {steps}: a convolution reads {max(sizes)} at once")
        self.steps = [steps - kernel + 1 for kernel in sizes]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(read[name], width, kernel, bias=False)
            for name, kernel in zip(self.names, sizes, strict=True)
        )
        self.specific = nn.ModuleList(part() for _ in self.names)
        self.common = part()
        self.decoders = nn.ModuleList(nn.Linear(2 * width, width, bias=False) for _ in self.names)

    def forward(self, batch: Batch) -> tuple[Parts, Tensor]:
        """The parts, and which modalities each sample has, [batch, modality], bool."""
        known, found = known_modalities(batch, self.names), Parts([], [], [], [], [])
        dtype = self.decoders[0].weight.dtype
        for i, name in enumerate(self.names):
            there = known[:, i, None, None]
            x = self.encoders.steps(name, batch, self.count, dtype)  # type: ignore[arg-type]
            if name == TEXT:
                x = F.dropout(x, self.rate, self.training)
            whole = self.convolutions[i](x.transpose(1, 2)).transpose(1, 2).where(there, 0)
            specific, common = self.specific[i](whole).where(there, 0), self.common(whole).where(there, 0)
            rebuilt = self.decoders[i](torch.cat([specific, common], dim=-1)).where(there, 0)
            found.whole.append(whole)
            found.specific.append(specific)
            found.common.append(common)
            found.rebuilt.append(rebuilt)
            found.again.append(self.specific[i](rebuilt).where(there, 0))
        return found, known


class WholeAttention(nn.Module):
    """A transformer on all steps of a sequence, or from it to all steps of another (``CrossTransformer``)."""

    def __init__(self, layers: CrossTransformer) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor, source: Tensor | None = None, there: Tensor | None = None) -> Tensor:
        """Attends.

        Args:
            x: [batch, steps, width].
            source: [batch, source steps, width]; None for x itself.
            there: the samples that have the source, [batch], bool; None for all.

        Returns:
            [batch, steps, width].
        """
        steps = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        valid = steps if source is None else steps.new_ones(source.shape[:2])
        if there is not None:
            valid = valid & there.unsqueeze(1)
        return self.layers(x, steps, source, valid)


class ResidualHead(nn.Module):
    """h' = h + W_2 drop(r), r = ReLU(W_1 h); the outputs are a linear layer of h'."""

    def __init__(self, features: int, hidden: int, outputs: int, rate: float) -> None:
        """Builds the layers.

        Args:
            features: of h.
            hidden: of r.
            outputs: how many.
            rate: of dropout.
        """
        super().__init__()
        self.rate = rate
        self.inner, self.outer = nn.Linear(features, hidden), nn.Linear(hidden, features)
        self.out = nn.Linear(features, outputs)

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[batch, features] -> the outputs, h' and r."""
        inner = self.inner(h).relu()
        whole = h + self.outer(F.dropout(inner, self.rate, self.training))
        return self.out(whole), whole, inner


def over_known(errors: Sequence[Tensor], known: Tensor) -> Tensor:
    """The sum over modalities of the mean over the samples that have them.

    Args:
        errors: of each modality, [batch].
        known: [batch, modality], bool.
    """
    return torch.stack([masked_mean(x, known[:, i]) for i, x in enumerate(errors)]).sum()


def rebuilding(parts: Parts, known: Tensor) -> tuple[Tensor, Tensor]:
    """Squared errors of what is rebuilt, and of its specific part (the cycle), each summed over modalities.

    Args:
        parts: as of ``Decoupling``.
        known: [batch, modality], bool.
    """

    def errors(left: list[Tensor], right: list[Tensor]) -> Tensor:
        each = [(x - y).square().flatten(1).mean(dim=1) for x, y in zip(left, right, strict=True)]
        return over_known(each, known)

    return errors(parts.rebuilt, parts.whole), errors(parts.again, parts.specific)


def alignment(parts: Parts, known: Tensor) -> Tensor:
    """The cosine of the specific and the common part where it is positive, mean over steps, summed over modalities.

    Args:
        parts: as of ``Decoupling``.
        known: [batch, modality], bool.
    """
    cosines = [
        F.cosine_similarity(s, c, dim=-1).relu().mean(dim=1)
        for s, c in zip(parts.specific, parts.common, strict=True)
    ]
    return over_known(cosines, known)


def margin_hinge(vectors: Sequence[Tensor], known: Tensor, target: Tensor, spec: Spec) -> Tensor:
    """max(0, 0.15 d_ik - cos_ij + cos_ik) over anchors i, j of the same label and k of another, whatever their modality.

    d is the distance of the labels in ``label_unit``, or 1 of two classes. Means over j and k of an anchor, then over anchors.

    Args:
        vectors: of each modality, [batch, width].
        known: [batch, modality], bool; the others are neither anchors nor compared with.
        target: [batch].
        spec: says which task it is.
    """
    count = len(vectors)
    there = known.T.flatten()
    x = F.normalize(torch.cat(list(vectors))[there], dim=-1, eps=1e-4)
    label = target.repeat(count)[there]
    apart = (label[:, None] - label).abs().to(x.dtype)
    same = apart == 0
    apart = apart / label_unit(spec) if spec.kind == "regression" else (~same).to(x.dtype)
    cosine = x @ x.T
    others = same & ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    anchor, like = others.nonzero(as_tuple=True)
    if not len(anchor) or bool(same.all()):
        return x.sum() * 0
    errors = (MARGIN * apart[anchor] - cosine[anchor, like].unsqueeze(1) + cosine[anchor]).relu()
    unlike = ~same[anchor]
    each = errors.where(unlike, 0).sum(dim=1) / unlike.sum(dim=1).clamp(min=1)
    sums = x.new_zeros(len(x)).index_add(0, anchor, each)
    mean = sums / others.sum(dim=1).clamp(min=1)
    return masked_mean(mean, others.any(dim=1) & ~same.all(dim=1))
