"""PMR: prototypical modal rebalance (Fan et al., CVPR 2023)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..erm import ERM
from ..losses import masked_mean, task_loss, weighed
from ..method import Output, fixed, searched
from ..shared.networks import SharedNetworkParams, known_modalities

#: Of scores: classes of equal size that these are divided into.
SCORE_CLASSES = 5


@dataclass(frozen=True)
class PMRParams(SharedNetworkParams):
    """The weight of the prototypes' loss, which modalities have it, and how prototypes move."""

    alpha: float = searched(
        1.0, low=0.0, high=2.0, digits=1, source="Fan et al. 2023, code; 0 is plain training"
    )
    helped: Literal["behind", "all", "leading"] = fixed(
        "behind", source="published: the modality that is behind; controls: all, or the one that leads"
    )
    graded: bool = fixed(
        False,
        source="ours: those behind are helped by how far they are; always with three modalities and more",
    )
    momentum: float = fixed(
        0.2, least=0, most=1, source="Fan et al. 2023, code: the share of the old prototypes"
    )
    until: float = fixed(0.67, least=0, source="Fan et al. 2023, code: the first 100 of 150 epochs")


class PMR(ERM):
    """ERM with a loss on the embeddings of the modality that is behind: they are to be nearest to their class's mean.

    P_m^c is the mean embedding of class c, computed before each epoch over the training split and averaged with the one
    before: P <- (1 - momentum) new + momentum old. Of a batch S_m is the sum of the true class's softmax(-|h_m - P_m|).
    The modality with the smaller S_m has alpha CE(-|h_m - P_m|, y) beside the joint loss, the other one nothing; with
    more modalities (ours), or ``graded``, each has the share 1 - S_m / max S of alpha.

    Of scores (ours) the classes are fifths of the training scores. S_m is a mean over the samples that have the
    modality. Class weights reach the joint loss and this one.
    """

    Params = PMRParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "prototypes are of the whole training split, not of its first tenth; no regulariser by entropy, which the "
            "paper has and its code has not; encoders and head of mmbench; scores, three modalities and more, and absent "
            "modalities are ours"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without prototypes": {"alpha": 0.0},
        "all modalities": {"helped": "all"},
        "the leading one": {"helped": "leading"},
    }
    params: PMRParams
    prototypes: Tensor  # [modality, class, width]
    met: Tensor  # [modality, class], bool: which prototypes there are
    edges: Tensor  # [classes - 1], of scores
    fitted: Tensor  # bool, whether the edges are known

    def __init__(self, params: PMRParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        count = spec.classes if spec.kind == "classification" else SCORE_CLASSES
        self.register_buffer("prototypes", torch.zeros(len(self.names), count, self.width))
        self.register_buffer("met", torch.zeros(len(self.names), count, dtype=torch.bool))
        self.register_buffer("edges", torch.zeros(count - 1))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))
        self.active = True

    @torch.no_grad()
    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Computes the prototypes of the present encoders, in evaluation mode, from the training split."""
        self.active = done < self.params.until and len(self.names) > 1
        if not self.active or self.params.alpha == 0:
            return
        if self.spec.kind == "regression" and not bool(self.fitted):
            scores = torch.cat([batch.target for batch in batches()]).float()
            shares = torch.arange(1, SCORE_CLASSES, device=scores.device) / SCORE_CLASSES
            self.edges.copy_(scores.quantile(shares))
            self.fitted.fill_(True)
        was_training = self.training
        self.eval()
        sums, counts = torch.zeros_like(self.prototypes), torch.zeros_like(self.met, dtype=torch.float32)
        for batch in batches():
            embeddings, known = self.encode_all(batch), known_modalities(batch, self.names)
            classes = self.classes(batch.target)
            for i, m in enumerate(self.names):
                rows = known[:, i]
                sums[i].index_add_(0, classes[rows], embeddings[m][rows].to(sums.dtype))
                counts[i] += classes[rows].bincount(minlength=counts.shape[1])
        self.train(was_training)
        found = counts > 0
        new = sums / counts.clamp(min=1).unsqueeze(-1)
        old_share = (self.params.momentum * (self.met & found)).unsqueeze(-1)
        moved = (1 - old_share) * new + old_share * self.prototypes
        self.prototypes.copy_(moved.where(found.unsqueeze(-1), self.prototypes))
        self.met |= found

    def classes(self, target: Tensor) -> Tensor:
        """The class of each sample, [batch] int64: its own, or the fifth that its score lies in.

        Args:
            target: [batch].
        """
        return target if self.spec.kind == "classification" else torch.bucketize(target.float(), self.edges)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """``task``, and ``prototypes``, the weighted loss of the modalities that are behind."""
        output = self(batch)
        terms = {"task": task_loss(output.prediction, batch.target, self.spec)}
        if self.active and self.params.alpha:
            terms["prototypes"] = self.params.alpha * self.prototype_loss(output, batch)
        return terms

    def prototype_loss(self, output: Output, batch: Batch) -> Tensor:
        """The cross-entropy of the modalities that are helped, each by its share; a scalar.

        Args:
            output: that of ``fuse``.
            batch: with the targets.
        """
        classes, known = self.classes(batch.target), known_modalities(batch, self.names)
        errors, right = [], []
        for i, m in enumerate(self.names):
            logits = self.nearness(output.embeddings[m], i)
            there = known[:, i] & self.met[i][classes]
            error = -logits.log_softmax(dim=-1).gather(1, classes.unsqueeze(1)).squeeze(1).where(there, 0)
            known[:, i] = there
            loss = weighed(error, batch.target, self.spec)
            errors.append(masked_mean(loss, there))
            right.append(masked_mean((-error.detach()).exp(), there))
        return (self.shares(torch.stack(right), known.any(dim=0)) * torch.stack(errors)).sum()

    def nearness(self, embedding: Tensor, place: int) -> Tensor:
        """-|h - P|, [batch, class]; the least finite number, halved, where there is no prototype.

        Args:
            embedding: h, [batch, width].
            place: of the modality.
        """
        apart = embedding.unsqueeze(1) - self.prototypes[place]
        distance = (apart.square().sum(dim=-1) + 1e-12).sqrt()
        return (-distance).masked_fill(~self.met[place], torch.finfo(distance.dtype).min / 2)

    def shares(self, right: Tensor, there: Tensor) -> Tensor:
        """By how much each modality is helped, [modality], in [0, 1].

        Args:
            right: S, [modality]: how near embeddings are to their own class.
            there: [modality], bool; others are not helped.
        """
        if int(there.sum()) < 2:
            return torch.zeros_like(right)
        best = right.where(there, -1).max()
        if self.params.helped == "all":
            return there.to(right.dtype)
        leads = (right == best) & there
        if self.params.helped == "leading":
            return leads.to(right.dtype)
        if self.params.graded or len(self.names) > 2:
            return (1 - right / best.clamp(min=1e-12)).where(there, 0)
        return (there & ~leads).to(right.dtype)
