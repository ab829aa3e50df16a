"""A graph whose edges say how much each modality teaches each other one (Luo et al. 2018), as in DMD (Li et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import masked_mean

#: DMD's release: how sharp the prior is, how soft the edges are, and the weights of their distance and of the vectors.
PRIOR, SOFTNESS, HOLD, VECTORS = 4.0, 8.0, 10.0, 10.0


class Distillation(nn.Module):
    """sum over pairs of (e_jk + p_jk) |z_j - sg(z_k)|_1 + 10 sum over pairs of (mean of e_jk - p_jk)^2.

    z_j are the outputs of modality j, which learns, z_k those of k, which teaches. e is a softmax over all pairs of a linear
    layer of both modalities' outputs and vectors, divided by 8; p a softmax of 4 where the dominant modality teaches and 0 elsewhere.
    A pair counts in the samples that have both.
    """

    prior: Tensor

    def __init__(
        self,
        outputs: int,
        width: int,
        hidden: int,
        modalities: int,
        dominant: int,
        learned: bool,
        repulsion: bool,
    ) -> None:
        """Builds the layers.

        Args:
            outputs: of a modality's head.
            width: of its vector.
            hidden: of what each of both is mapped to.
            modalities: how many.
            dominant: the place of the one that teaches by the prior.
            learned: whether edges are; else each is as large, and there is no prior.
            repulsion: whether the cosine of vectors is lowered where it is positive, with the weight 10.
        """
        super().__init__()
        self.learned, self.repulsion = learned, repulsion
        #: (what learns, what teaches)
        self.pairs = list(permutations(range(modalities), 2))
        self.of_outputs, self.of_vectors = nn.Linear(outputs, hidden), nn.Linear(width, hidden)
        self.edge = nn.Linear(4 * hidden, 1)
        leads = torch.tensor([PRIOR if teacher == dominant else 0.0 for _, teacher in self.pairs])
        prior = leads.softmax(dim=0) if self.pairs and learned else torch.zeros(len(self.pairs))
        self.register_buffer("prior", prior)

    def edges(self, outputs: Sequence[Tensor], vectors: Sequence[Tensor], known: Tensor) -> Tensor:
        """e, [batch, pair]; 0 where one of both is absent.

        Args:
            outputs: of each modality, [batch, outputs].
            vectors: of each modality, [batch, width].
            known: [batch, modality], bool.
        """
        there = torch.stack([known[:, j] & known[:, k] for j, k in self.pairs], dim=1)
        if not self.learned:
            return there.to(outputs[0].dtype) / len(self.pairs)
        both = [
            torch.cat([self.of_outputs(z), self.of_vectors(h)], dim=-1)
            for z, h in zip(outputs, vectors, strict=True)
        ]
        said = torch.cat([self.edge(torch.cat([both[j], both[k]], dim=-1)) for j, k in self.pairs], dim=1)
        return (said / SOFTNESS).masked_fill(~there, -1e4).softmax(dim=1).where(there, 0)

    def forward(self, outputs: Sequence[Tensor], vectors: Sequence[Tensor], known: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            outputs: of each modality, [batch, outputs].
            vectors: of each modality, [batch, width].
            known: [batch, modality], bool.
        """
        edges = self.edges(outputs, vectors, known)
        found = []
        for i, (j, k) in enumerate(self.pairs):
            there, weight = known[:, j] & known[:, k], edges[:, i] + self.prior[i]
            apart = (outputs[j] - outputs[k].detach()).abs().sum(dim=1)
            if self.repulsion:
                alike = F.cosine_similarity(vectors[j], vectors[k].detach(), dim=-1).relu()
                apart = apart + VECTORS * alike
            found.append(masked_mean(weight * apart, there))
            if self.learned:
                mean = masked_mean(edges[:, i], there)
                found.append(HOLD * (mean - self.prior[i]).square() * there.any())
        return torch.stack(found).sum()
