"""NEL: non-polarised embedding learning, after MMDG-Bench (arXiv 2605.06643), on the shared network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import info_nce, task_loss
from ..method import fixed, searched
from ..shared.branches import Branches, BranchParams
from ..shared.contrast import (
    ContrastParams,
    dropout_projection,
    label_classes,
    projection,
    supervised_contrast,
)
from ..shared.networks import Stacked, known_modalities


@dataclass(frozen=True)
class NELParams(ContrastParams, BranchParams):
    """Weights, temperatures and sizes.

    Temperatures are searched from 0.05, not from 0, under both protocols: the published search rounds draws
    from 0 to 1 to one decimal, and a draw of 0 divides by it (section 6.15).
    """

    alpha: float = searched(0.7, low=0.0, high=1.0, digits=1, least=0, most=1, source="MMDG-Bench: alpha")
    beta: float = searched(
        0.0417, low=0.0, high=1.0, source="MMDG-Bench 3.6: beta, 1 / batch; its sentiment batch is 24"
    )
    temperature_labels: float = searched(
        0.1, low=0.05, high=1.0, digits=2, nonzero=True, above=0, source="MMDG-Bench: temp_s"
    )
    temperature_views: float = searched(
        0.25, low=0.05, high=1.0, digits=2, nonzero=True, above=0, source="MMDG-Bench: temp_u"
    )
    neighbours: int = searched(8, choices=(4, 8, 12, 16), least=1, source="MMDG-Bench: k")
    weight: float = fixed(
        1.0, source="MMDG-Bench 3.6; 0.2 in its sentiment code, of the three terms together"
    )
    hidden: int = fixed(
        128, least=1, source="MMDG-Bench 3.6, sentiment, the output's width, too; 256 in motor faults"
    )
    projection_width: int = fixed(
        0,
        least=0,
        source="MMDG-Bench 3.6, motor faults: 64, of projections of three layers with batch norms; 0: two layers",
        since="0.2",
    )
    projected_half: bool = fixed(
        False,
        source="MMDG-Bench 3.6, action recognition: the first half of an embedding is projected",
        since="0.2",
    )
    paired_views: bool = fixed(
        False,
        source="MMDG-Bench 3.6, sentiment: L_C and neighbours are over both views, L_NEE over a dropout copy, too",
        since="0.2",
    )
    modality_views: bool = fixed(
        False, source="MMDG-Bench 3.6, motor faults: the modalities are the views of L_UNC", since="0.1"
    )
    raw_spectrum: bool = fixed(
        False, source="MMDG-Bench 3.6, action and motor faults: E without norms", since="0.1"
    )


class NEL(Branches):
    """Contrasts samples and their neighbourhoods, and spreads the spectrum of the fused embeddings.

    L = task + weight * (alpha L_UNC + (1 - alpha) L_C + beta L_NEE), g_m the projection of e_m on the unit
    sphere:

    * L_C: SupCon with the known modalities as views; of a regression the classes are negative, neutral, positive;
    * L_UNC: InfoNCE between two views of a sample, against the other samples of the second view. A view is the
      mean shift n(g_i / 2 + mean of its k nearest neighbours / 2) of each modality (cosine, in the batch),
      concatenated, 0 for an absent one. The two views are two projections of the same embeddings, which
      differ by dropout (MMDG-Bench's sentiment variant): this works for one modality and without augmentation;
    * L_NEE = sum_i l_i log l_i, l the eigenvalues of E^T E / n as shares of their sum, E the fused embeddings
      with rows of unit norm. Its minimum is the maximum of the spectral entropy.

    Nothing needs two modalities or two sources.

    Under ``as-published`` (section 3.6): the modalities as views of each other, the released contrast and projections
    of three layers (HUST), raw E (action recognition, HUST), projections of first halves (action recognition); in
    sentiment a weight of 0.2, the whole network's embeddings, and all terms over both views of all samples. Not
    reproduced: two augmented copies of each clip (action recognition: features have none).
    """

    Params = NELParams
    version = 2
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "no temperature is searched down to 0",
        "action": (
            "mmbench's own network (40 wide, 8,448 parameters in a head of three modalities) in "
            "place of trunks that are trained along, embeddings of 2,304, 2,048 and 512, and a head "
            "of 2,494,984; views are two dropout projections, not two augmented clips, the loss of "
            "which is halved there; projections of two layers of 128, not three of 2,048"
        ),
    }
    #: Section 3.6; beta is 1 / batch.
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {"released_encoder": True, "whole_network": True, "weight": 0.2, "paired_views": True},
        "hust": {
            "modality_views": True,
            "raw_spectrum": True,
            "beta": 0.0078125,
            "contrast": "released",
            "hidden": 256,
            "projection_width": 64,
        },
        "action": {"raw_spectrum": True, "beta": 0.0625, "projected_half": True},
    }
    #: Section 1.4: 15 epochs, the rate falls to 1 %. Sentiment clips the backbone.
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {"clip_part": "backbone"},
        "action": {"epochs": 15, "schedule": "cosine-to-1%"},
    }
    params: NELParams

    def __init__(self, params: NELParams, spec: Spec) -> None:
        super().__init__(params, spec)
        read = self.seen // 2 if params.projected_half else self.seen

        def make() -> nn.Module:
            if params.projection_width:
                return projection(read, params.hidden, params.projection_width, batch_norm=True)
            return dropout_projection(read, params.hidden, params.hidden)

        self.projections = Stacked(len(self.names), make)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss and the three terms."""
        s, output, known = self.params, self(batch), known_modalities(batch, self.names)
        assert output.fused is not None
        classes = label_classes(batch.target, self.spec)
        embeddings = torch.stack([output.embeddings[m] for m in self.names], dim=1)
        rows = self.spectrum_rows(output.fused)
        if s.modality_views:
            views = self.project(embeddings, known)
            shifted = mean_shift(views, known, s.neighbours)
            alike = likeness_of_modalities(shifted, known, s.temperature_views)
        else:
            one, other = self.project(embeddings, known), self.project(embeddings, known)
            if s.paired_views:
                views, classes, known = torch.cat([one, other]), classes.repeat(2), known.repeat(2, 1)
                first, second = mean_shift(views, known, s.neighbours).chunk(2)
            else:
                views = one
                first, second = (mean_shift(view, known, s.neighbours) for view in (one, other))
            some = known.any(dim=1)[: len(first)]
            alike = info_nce(first.flatten(1), second.flatten(1), some, s.temperature_views)
        contrast = supervised_contrast(views, known, classes, s.temperature_labels, s.contrast)
        return {
            "task": task_loss(output.prediction, batch.target, self.spec),
            "views": s.weight * s.alpha * alike,
            "contrast": s.weight * (1 - s.alpha) * contrast,
            "spectrum": s.weight * s.beta * -spectral_entropy(rows),
        }

    def project(self, embeddings: Tensor, known: Tensor) -> Tensor:
        """g_m, by dropout that is drawn at each call; batch norms see the known alone.

        Args:
            embeddings: [batch, modality, seen].
            known: [batch, modality], bool.

        Returns:
            [batch, modality, width], of unit norm.
        """
        read = embeddings[..., : self.seen // 2] if self.params.projected_half else embeddings
        seen = known if self.params.projection_width else None
        return F.normalize(self.projections(read, seen), dim=-1, eps=1e-6)

    def spectrum_rows(self, fused: Tensor) -> Tensor:
        """E, [rows, width], from the fused embeddings [batch, width]; with ``paired_views`` twice as many rows."""
        if self.params.raw_spectrum:
            return fused
        copies = [fused, F.dropout(fused, 0.2)] if self.params.paired_views else [fused]
        return F.normalize(torch.cat(copies), dim=-1, eps=1e-6)


def likeness_of_modalities(shifted: Tensor, known: Tensor, temperature: float) -> Tensor:
    """InfoNCE between two modalities of a sample, over those that have both, mean over ordered pairs; else 0.

    Args:
        shifted: [batch, modality, width].
        known: [batch, modality], bool.
        temperature: divides the similarities.
    """
    terms = [
        info_nce(shifted[:, a], shifted[:, b], known[:, a] & known[:, b], temperature)
        for a, b in permutations(range(shifted.shape[1]), 2)
    ]
    return torch.stack(terms).mean() if terms else shifted.new_zeros(())


def mean_shift(projected: Tensor, known: Tensor, neighbours: int) -> Tensor:
    """n(g_i / 2 + the mean of its k nearest neighbours / 2), of each modality; 0 where it is not known.

    A neighbour is another sample of the batch that has the modality. Where there are fewer than k, it is the
    mean of those; where there is none, g_i stays.

    Args:
        projected: [batch, modality, width], of unit norm.
        known: [batch, modality], bool.
        neighbours: k, at least 1.
    """
    rows = projected.transpose(0, 1)  # [modality, batch, width]
    itself = torch.eye(rows.shape[1], dtype=torch.bool, device=rows.device)
    near = (rows @ rows.mT).masked_fill(itself | ~known.T.unsqueeze(1), -torch.inf)
    chosen = near.detach().topk(min(neighbours, rows.shape[1]), dim=-1)
    weight = torch.zeros_like(near).scatter(2, chosen.indices, chosen.values.isfinite().to(near.dtype))
    mean = weight @ rows / weight.sum(dim=-1, keepdim=True).clamp(min=1)
    shifted = F.normalize(0.5 * rows + 0.5 * mean, dim=-1, eps=1e-6).transpose(0, 1)
    return shifted.where(known.unsqueeze(-1), 0)


def spectral_entropy(rows: Tensor) -> Tensor:
    """- sum_i l_i log l_i, l the eigenvalues of E^T E / n as shares of their sum, those above 1e-6.

    Args:
        rows: E, [n, width]; of E^T E and E E^T the smaller is used, their eigenvalues above 0 are the same.

    Returns:
        In nats, from 0 (one direction) to log(min(n, width)).
    """
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    values = torch.linalg.eigvalsh(gram / len(rows))
    shares = values / values.sum().clamp(min=1e-12)
    shares = shares.where(shares > 1e-6, 1)  # 1 log 1 is 0
    return -(shares * shares.log()).sum()
