"""MOOSA (Dong et al., ECCV 2024, arXiv 2407.01518): jigsaws, masked translation and entropy weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_errors
from ..method import Output, fixed, searched
from ..shared.branches import DeepBranches, DeepHeadParams, mlp
from ..shared.contrast import ContrastParams, label_classes
from ..shared.networks import FusionHead, Stacked, as_prediction, known_modalities, outputs
from ..shared.shared_specific import SharedSpecific


@dataclass(frozen=True)
class MOOSAParams(ContrastParams, DeepHeadParams):
    """Weights, the jigsaw, and sizes."""

    width: int = fixed(
        40, least=2, step=2, source="MMDG-Bench, late fusion; even: an embedding has two halves"
    )
    extra_width: int = fixed(
        0,
        least=0,
        step=2,
        source="MMDG-Bench 2.2, sentiment and motor faults: 256, of further encoders; even, too",
        since="0.1",
    )
    weight_entropy: float = searched(0.001, low=0.0, high=1.0, source="MMDG-Bench: entropy_min_weight")
    weight_jigsaw: float = searched(1.0, low=0.0, high=3.0, digits=1, source="MMDG-Bench: jigsaw_ratio")
    mask_ratio: float = searched(
        0.3, low=0.0, high=1.0, digits=1, least=0, most=1, source="MMDG-Bench: mask_ratio"
    )
    weight_translation: float = fixed(0.1, source="MMDG-Bench")
    weight_contrast: float = fixed(3.0, source="MMDG-Bench")
    weight_apart: float = fixed(0.7, source="MMDG-Bench")
    pieces: int = fixed(
        4,
        least=1,
        divides="width,extra_width",
        source="MMDG-Bench 3.4: of each embedding; 2 in its sentiment code",
    )
    orders: int = fixed(128, least=1, source="MMDG-Bench: permutations that are told apart")
    entropy_temperature: float = fixed(1.0, above=0, source="MMDG-Bench: T")
    temperature: float = fixed(0.1, above=0, source="MMDG-Bench: tau of SupCon")
    hidden: int = fixed(256, least=1, source="MMDG-Bench, sentiment")
    contrast_width: int = fixed(128, least=1, source="MMDG-Bench 3.3, sentiment; 64 in motor faults")
    raw_halves: bool = fixed(
        False, source="MMDG-Bench 3.3, action recognition: L_dist without norms", since="0.1"
    )
    batch_norm: bool = fixed(
        False, source="MMDG-Bench 3.3: in the projections, in place of layer norms", since="0.2"
    )


class MOOSA(DeepBranches):
    """Learns from shuffled pieces of embeddings and from masked translation, and weighs branches by entropy.

    The branches b are a head on each modality's embedding and the head on the fused feature.

    * L_cls = E sum_b w_b l_b with w_b = softmax over b of (- H_b / T), H_b the entropy of the branch's classes,
      with its gradient, and l_b its cross-entropy. Of a regression l_b is the absolute error, and H_b comes
      from further heads for negative, neutral, positive, which are trained by the mean of their cross-entropies.
    * L_ent = mean over b of E[- sum p log(p + 1e-5)].
    * L_jig: every embedding is cut into k pieces, the pieces of all modalities are put into one of a fixed set
      of orders, and a classifier says which. The orders are drawn one by one and never listed, under both
      protocols: the release lists all permutations first, which are 12! with three modalities and cannot run
      (section 6.9). Samples that lack a modality take no part.
    * L_trans of SimMMDG, from sources whose coordinates are 0 with probability ``mask_ratio``; SupCon and
      L_dist of SimMMDG.

    The branch of an absent modality has no weight. With one modality L_trans is off, and the jigsaw is of its
    own pieces. The number of sources does not matter. The fused branch predicts.

    Under ``as-published`` (section 3.4): as SimMMDG; MLPs as heads of all branches in sentiment and HUST, those of
    scores with 3 tanh; and two pieces of each embedding in sentiment.
    """

    Params = MOOSAParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "orders are drawn one by one: the release lists all permutations first, 12! with three "
            "modalities, which cannot run"
        ),
        "action": (
            "mmbench's own network (40 wide, 8,448 parameters in a head of three modalities) in "
            "place of trunks that are trained along, embeddings of 2,304, 2,048 and 512, and a head "
            "of 2,494,984; projections, translators and the jigsaw's classifier 256 wide, not 2,048 "
            "and 512"
        ),
    }
    as_published: ClassVar[Mapping[str, Any]] = {"batch_norm": True}
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "released_encoder": True,
            "whole_network": True,
            "extra_width": 256,
            "bounded": True,
            "head_dropout": 0.0,
            "mlp_heads": True,
            "pieces": 2,
        },
        "hust": {"extra_width": 256, "mlp_heads": True, "contrast": "released", "contrast_width": 64},
        "action": {"raw_halves": True},
    }
    params: MOOSAParams

    def __init__(self, params: MOOSAParams, spec: Spec) -> None:
        super().__init__(params, spec)
        width, count = self.seen, len(self.names)
        self.heads = Stacked(count, lambda: self.branch_head(outputs(spec), score=spec.kind == "regression"))
        self.side_heads = Stacked(count, lambda: self.branch_head(3)) if spec.kind == "regression" else None
        self.side_head = self._fused_side_head() if spec.kind == "regression" else None
        self.halves = SharedSpecific(
            count,
            width,
            params.hidden,
            params.contrast_width,
            params.raw_halves,
            params.batch_norm,
            params.contrast,
        )
        self.jigsaw = Jigsaw(count, width, params.pieces, params.orders, params.hidden)

    def _fused_side_head(self) -> nn.Module:
        features = len(self.names) * self.seen
        if self.params.mlp_heads:
            return mlp(features, self.seen, 3, self.params.head_dropout)
        return FusionHead(features, self.seen, 3)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """The fused branch's prediction; the weights of all branches [batch] are diagnostics."""
        output = super().fuse(embeddings, batch)
        said = self.heads(torch.stack([output.embeddings[m] for m in self.names], dim=1))
        unimodal = {m: as_prediction(said[:, i], self.spec) for i, m in enumerate(self.names)}
        output = dataclasses.replace(output, unimodal=unimodal)
        weights = entropy_weights(
            self.classes_said(output), self.branches(batch), self.params.entropy_temperature
        )
        named = {f"weight/{b}": weights[:, i] for i, b in enumerate((*self.names, "fused"))}
        return dataclasses.replace(output, diagnostics=named)

    def branches(self, batch: Batch) -> Tensor:
        """[batch, branch] bool: which branches have something to say; the last, the fused one, always has."""
        return F.pad(known_modalities(batch, self.names), (0, 1), value=True)

    def classes_said(self, output: Output) -> Tensor:
        """The branches' logits, [batch, branch, classes]; of a regression, of its three sides."""
        if self.side_heads is None or self.side_head is None:
            return torch.stack([*output.unimodal.values(), output.prediction], dim=1)
        assert output.fused is not None
        alone = self.side_heads(torch.stack([output.embeddings[m] for m in self.names], dim=1))
        return torch.cat([alone, self.side_head(output.fused).unsqueeze(1)], dim=1)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted branches, their entropy, and the self-supervised terms."""
        s, output = self.params, self(batch)
        embeddings = torch.stack([output.embeddings[m] for m in self.names], dim=1)
        known, branches = known_modalities(batch, self.names), self.branches(batch)
        classes, logits = label_classes(batch.target, self.spec), self.classes_said(output)
        predictions = [*output.unimodal.values(), output.prediction]
        errors = torch.stack([task_errors(said, batch.target, self.spec) for said in predictions], dim=1)
        weights = torch.stack([output.diagnostics[f"weight/{b}"] for b in (*self.names, "fused")], dim=1)
        terms = {
            "task": (weights * errors).sum(dim=1).mean(),
            "entropy": s.weight_entropy * masked_mean(entropies(logits), branches),
            "jigsaw": s.weight_jigsaw * masked_mean(self.jigsaw.errors(embeddings), known.all(dim=1)),
        }
        if self.spec.kind == "regression":
            goals = classes.unsqueeze(1).expand(logits.shape[:2])
            sides = F.cross_entropy(logits.flatten(0, 1), goals.flatten(), reduction="none")
            terms["sides"] = masked_mean(sides.view_as(branches), branches)
        kept = torch.rand_like(embeddings) >= s.mask_ratio
        translation, contrast, apart = self.halves.terms(
            embeddings.where(kept, 0), embeddings, known, classes, s.temperature
        )
        terms["translation"] = s.weight_translation * translation
        terms["contrast"] = s.weight_contrast * contrast
        terms["apart"] = s.weight_apart * apart
        return terms


class Jigsaw(nn.Module):
    """Says in which of a fixed set of orders the pieces of all modalities' embeddings were put."""

    orders: Tensor

    def __init__(self, modalities: int, width: int, pieces: int, orders: int, hidden: int) -> None:
        super().__init__()
        if width % pieces:
            raise ValueError(f"width {width} must be divisible by {pieces} pieces")
        self.pieces = modalities * pieces
        self.register_buffer("orders", draw_orders(self.pieces, orders))
        self.classify = nn.Sequential(
            nn.Linear(modalities * width, hidden), nn.ReLU(), nn.Linear(hidden, len(self.orders))
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        """Logits [batch, order, orders] for every order of embeddings [batch, modality, width]."""
        pieces = embeddings.reshape(len(embeddings), self.pieces, -1)
        return self.classify(pieces[:, self.orders].flatten(2))

    def errors(self, embeddings: Tensor) -> Tensor:
        """The cross-entropy of each sample, [batch], mean over the orders."""
        logits = self(embeddings)
        right = torch.arange(len(self.orders), device=logits.device).expand(logits.shape[:2])
        return F.cross_entropy(logits.flatten(0, 1), right.flatten(), reduction="none").view_as(right).mean(1)


def draw_orders(pieces: int, wanted: int) -> Tensor:
    """Different permutations, drawn one by one from torch's generator.

    Args:
        pieces: what is put in order.
        wanted: how many; all, where there are fewer.

    Returns:
        [orders, pieces], int64.
    """
    orders: dict[tuple[int, ...], None] = {}
    while len(orders) < min(wanted, math.factorial(pieces)):
        orders[tuple(torch.randperm(pieces).tolist())] = None
    return torch.tensor(list(orders))


def entropies(logits: Tensor) -> Tensor:
    """- sum p log(p + 1e-5) over the last dimension, p the softmax: [..., classes] -> [...]."""
    p = logits.softmax(dim=-1)
    return -(p * (p + 1e-5).log()).sum(dim=-1)


def entropy_weights(logits: Tensor, branches: Tensor, temperature: float) -> Tensor:
    """w_b = softmax over the branches of (- H_b / T): [batch, branch], 0 where there is no branch.

    Args:
        logits: [batch, branch, classes].
        branches: [batch, branch], bool, with at least one branch for each sample.
        temperature: T, above 0.
    """
    return (-entropies(logits) / temperature).masked_fill(~branches, -torch.inf).softmax(dim=1)
