"""Prototypes: a branch for each modality, trained in turn, and trusted as far as a sample is near what it knows.

It uses what a method can ask for beyond a loss: prototypes of all training samples before each epoch, one step of the
optimiser for each branch, a rate of its own for the gate, a confidence that is judged, and diagnostics that are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.losses import masked_mean, task_errors, task_loss
from mmbench.methods.method import Method, Output, ParameterGroup, fixed, searched
from mmbench.methods.shared.networks import as_prediction, available, outputs
from torch import Tensor, nn
from torch.nn import functional as F

METHODS = {"prototype_gate": "PrototypeGate"}

#: How far away an absent modality counts as, in the mean distance of training samples.
ABSENT = 10.0


@dataclass(frozen=True)
class PrototypeGateParams:
    """Sizes, and how much faster the gate learns than the branches."""

    width: int = searched(16, choices=(8, 16, 32), source="our choice")
    groups: int = fixed(
        5, source="scores are parted into so many groups of equal size, each with a prototype"
    )
    gate_rate: float = fixed(10.0, source="our choice: the gate has four numbers, and few steps to find them")


class PrototypeGate(Method):
    """Linear branches, weighed by how near their embeddings are to the nearest prototype of a class or group of scores.

    gate_m = softmax over m of (bias_m - softplus(sharpness_m) d_m), d_m the distance of the embedding to its nearest
    prototype, in the mean distance of training samples; the prediction is the gated sum of what the branches say.
    """

    Params = PrototypeGateParams
    version = 1
    params: PrototypeGateParams
    prototypes: Tensor  # [modality, group, width]
    unit: Tensor  # [modality], the mean distance of training samples to their nearest prototype

    def __init__(self, params: PrototypeGateParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        count = len(self.names)
        self.groups = spec.classes if spec.kind == "classification" else params.groups
        self.encoders = nn.ModuleList(nn.Linear(size, params.width) for size in spec.modalities.values())
        self.heads = nn.ModuleList(nn.Linear(params.width, outputs(spec)) for _ in self.names)
        self.bias = nn.Parameter(torch.zeros(count))
        self.sharpness = nn.Parameter(torch.zeros(count))
        # Stored and restored with the weights, but not trained.
        self.register_buffer("prototypes", torch.zeros(count, self.groups, params.width))
        self.register_buffer("unit", torch.ones(count))

    def encode(self, modality: str, batch: Batch) -> Tensor:
        """The embedding [batch, width] of the mean over the valid steps."""
        encoder = self.encoders[self.names.index(modality)]
        there = batch.mask[modality] & available(batch, modality)[:, None]
        total = batch.features[modality].where(there[..., None], 0).sum(dim=1)
        return encoder(total / there.sum(dim=1, keepdim=True).clamp(min=1))

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """The gated sum; its confidence is minus the gated distance."""
        stacked, known = self.stacked(embeddings), self.known(batch)
        distance = self.distances(stacked, known)
        gate = self.gate(distance, known)
        said = self.said(stacked)
        return Output(
            as_prediction((gate.unsqueeze(-1) * said).sum(dim=1), self.spec),
            fused=(gate.unsqueeze(-1) * stacked).flatten(1),
            unimodal={m: as_prediction(said[:, i], self.spec) for i, m in enumerate(self.names)},
            confidence={"nearness": -(gate * distance).sum(dim=1)},
            diagnostics={f"gate/{m}": gate[:, i] for i, m in enumerate(self.names)},
        )

    def stacked(self, embeddings: dict[str, Tensor]) -> Tensor:
        """[batch, modality, width]."""
        return torch.stack([embeddings[m] for m in self.names], dim=1)

    def known(self, batch: Batch) -> Tensor:
        """[batch, modality] bool: what each sample has."""
        return torch.stack([available(batch, m) for m in self.names], dim=1)

    def said(self, stacked: Tensor) -> Tensor:
        """[batch, modality, outputs]: what each branch says alone."""
        return torch.stack([head(stacked[:, i]) for i, head in enumerate(self.heads)], dim=1)

    def distances(self, stacked: Tensor, known: Tensor) -> Tensor:
        """[batch, modality]: to the nearest prototype; sample by sample, so that no other sample has a say."""
        away = (stacked.unsqueeze(2) - self.prototypes).norm(dim=-1).amin(dim=-1) / self.unit
        return away.where(known, ABSENT)

    def gate(self, distance: Tensor, known: Tensor) -> Tensor:
        """[batch, modality], sums to 1; 0 for what is absent, where anything is there."""
        return (self.bias - F.softplus(self.sharpness) * distance).where(known, -1e4).softmax(dim=-1)

    # --- training ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """The prototypes and the mean distance to them, of all training samples by the present encoders."""
        parts = [(self.stacked(self.encode_all(b)), self.known(b), b.target) for b in batches()]
        stacked, known, target = (torch.cat(column) for column in zip(*parts, strict=True))
        group = target
        if self.spec.kind == "regression":
            borders = torch.linspace(0, 1, self.groups + 1, device=target.device)[1:-1]
            group = torch.bucketize(target, torch.quantile(target, borders))
        for i in range(len(self.names)):
            for k in range(self.groups):
                members = known[:, i] & (group == k)
                if bool(members.any()):
                    self.prototypes[i, k] = stacked[members, i].mean(dim=0)
        self.unit.fill_(1.0)
        distance = self.distances(stacked, known)
        for i in range(len(self.names)):
            self.unit[i] = masked_mean(distance[:, i], known[:, i]).clamp(min=1e-6)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The gate learns faster, and is not drawn to zero."""
        return (ParameterGroup([self.bias, self.sharpness], rate=self.params.gate_rate, decay=0.0),)

    def optimizer_steps(self, batch: Batch) -> Sequence[Callable[[], dict[str, Tensor]]]:
        """One step for each branch by its own loss, so that none is starved by a stronger one; then one for the gate."""

        def step(name: str) -> Callable[[], dict[str, Tensor]]:
            def backward() -> dict[str, Tensor]:
                loss = self.gate_loss(batch) if name == "gate" else self.branch_loss(name, batch)
                loss.backward()
                return {name: loss}

            return backward

        return [step(name) for name in (*self.names, "gate")]

    def branch_loss(self, modality: str, batch: Batch) -> Tensor:
        """The task's loss of one branch alone, on the samples that have its modality."""
        head = self.heads[self.names.index(modality)]
        said = head(self.encode(modality, batch))
        errors = task_errors(as_prediction(said, self.spec), batch.target, self.spec)
        return masked_mean(errors, available(batch, modality))

    def gate_loss(self, batch: Batch) -> Tensor:
        """The task's loss of the gated sum, whose gradient reaches the gate alone."""
        with torch.no_grad():
            stacked, known = self.stacked(self.encode_all(batch)), self.known(batch)
            distance, said = self.distances(stacked, known), self.said(stacked)
        fused = (self.gate(distance, known).unsqueeze(-1) * said).sum(dim=1)
        return task_loss(as_prediction(fused, self.spec), batch.target, self.spec)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """All terms at once, as validation and the conformance test ask for them."""
        return {**{m: self.branch_loss(m, batch) for m in self.names}, "gate": self.gate_loss(batch)}
