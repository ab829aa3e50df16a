"""Embeddings in two halves, modality-shared and modality-specific, and translation between modalities."""

from __future__ import annotations

from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import masked_mean
from .contrast import Contrast, projection, supervised_contrast
from .networks import Stacked


def translation_errors(translated: Tensor, goals: Tensor) -> Tensor:
    """|| n(translated) - n(goal) ||_2, n the L2 norm.

    Args:
        translated: [..., width].
        goals: [..., width].

    Returns:
        [...], in [0, 2].
    """
    difference = F.normalize(translated, dim=-1, eps=1e-6) - F.normalize(goals, dim=-1, eps=1e-6)
    return torch.linalg.vector_norm(difference, dim=-1)


def halves_likeness(shared: Tensor, specific: Tensor, known: Tensor, raw: bool = False) -> Tensor:
    """- MSE(n(shared), n(specific)), mean over the known modalities of all samples; minimising parts them.

    Args:
        shared, specific: [batch, modality, width].
        known: [batch, modality], bool.
        raw: without n (MMDG-Bench, action recognition): then it has no lower bound.
    """
    if not raw:
        shared, specific = (F.normalize(half, dim=-1, eps=1e-6) for half in (shared, specific))
    difference = shared - specific
    return -masked_mean(difference.square().mean(dim=-1), known)


class SharedSpecific(nn.Module):
    """The losses of SimMMDG on embeddings [batch, modality, width] whose first half is the shared part.

    A translator is an MLP of two hidden layers, with dropout 0.5 before its last layer, one for each ordered
    pair of modalities.
    """

    def __init__(
        self,
        modalities: int,
        width: int,
        hidden: int,
        contrast_width: int,
        raw: bool = False,
        batch_norm: bool = False,
        contrast: Contrast = "published",
    ) -> None:
        """Builds projections and translators.

        Args:
            modalities: how many.
            width: of an embedding; even.
            hidden: width of the hidden layers.
            contrast_width: width of a projection.
            raw: as of ``halves_likeness``.
            batch_norm: as of ``projection``.
            contrast: the form of ``supervised_contrast``.
        """
        super().__init__()
        self.raw, self.batch_norm = raw, batch_norm
        self.contrast: Contrast = contrast
        if width % 2:
            raise ValueError(f"width {width} must be even: an embedding has two halves")
        self.pairs = list(permutations(range(modalities), 2))
        self.projections = Stacked(
            modalities, lambda: projection(width // 2, hidden, contrast_width, batch_norm)
        )
        self.translators = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, hidden),
                nn.ReLU(),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
                nn.Dropout(0.5),
                nn.Linear(hidden, width),
            )
            for _ in self.pairs
        )

    def translate(self, sources: Tensor) -> Tensor:
        """T_ab(e_a) of every ordered pair: [batch, modality, width] -> [batch, pair, width]."""
        translated = [
            net(sources[:, start]) for net, (start, _) in zip(self.translators, self.pairs, strict=True)
        ]
        return torch.stack(translated, dim=1)

    def translation(self, sources: Tensor, embeddings: Tensor, known: Tensor) -> Tensor:
        """L_trans: the mean of ``translation_errors`` over samples and ordered pairs; goals get a gradient.

        Args:
            sources: what is translated, [batch, modality, width].
            embeddings: the goals, [batch, modality, width].
            known: [batch, modality], bool; a pair counts where both are known.
        """
        if not self.pairs:
            return embeddings.new_zeros(())
        starts, ends = [a for a, _ in self.pairs], [b for _, b in self.pairs]
        errors = translation_errors(self.translate(sources), embeddings[:, ends])
        return masked_mean(errors, known[:, starts] & known[:, ends])

    def terms(
        self, sources: Tensor, embeddings: Tensor, known: Tensor, classes: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """L_trans, SupCon of the projected shared halves, and L_dist.

        Args:
            sources: as of ``translation``.
            embeddings: [batch, modality, width]: the goals of the translation, and what is halved.
            known: [batch, modality], bool.
            classes: [batch], int64.
            temperature: tau of the contrast, above 0.

        Returns:
            Three scalars, without their weights.
        """
        shared, specific = embeddings.chunk(2, dim=-1)
        views = self.projections(shared, known if self.batch_norm else None)
        return (
            self.translation(sources, embeddings, known),
            supervised_contrast(views, known, classes, temperature, self.contrast),
            halves_likeness(shared, specific, known, self.raw),
        )
