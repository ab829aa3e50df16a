"""MLA: alternating uni-modal adaptation with one shared head (Zhang et al., CVPR 2024).

In the authors' released code the projection of the head's gradient never runs: it looks for a parameter of another
name. Here it runs, as the paper describes it; ``projection=false`` is the release.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_errors
from ..method import Output, fixed
from ..shared.embedded import EmbedsByEncoders
from ..shared.networks import (
    SharedNetworkParams,
    as_prediction,
    embedding_width,
    encoders,
    known_modalities,
    outputs,
)


@dataclass(frozen=True)
class MLAParams(SharedNetworkParams):
    """Whether the head's gradient is projected, and how predictions are weighed."""

    projection: bool = fixed(True, source="the paper's; false as its code runs")
    base: float = fixed(
        0.1, least=0, source="Zhang et al. 2024, code: alpha = 0.1^(1 + the share of the training done)"
    )
    combine: Literal["mean", "entropy"] = fixed(
        "mean",
        source="code: equal weights with two modalities; entropy: of each sample, the code's is of a whole batch",
    )


class MLA(EmbedsByEncoders):
    """Modalities take turns: each step trains one encoder and the head that all of them share.

    For each modality of a batch in order the loss is that of head(h_m), over the samples that have it. The gradient of
    the head's weights W is multiplied by P, which lets through what the mean features before did not use: behind a step
    with the mean feature r, k = P r, P <- P - k k' / (alpha + r' k), P <- P / |P|. The prediction is the mean of
    head(h_m) over the modalities that are present, or weighed by the softmax of their negative entropies.

    Of a sample without any modality every embedding is 0. Scores (ours) have no entropy: they are averaged.
    """

    Params = MLAParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "the projection runs, which it does not in the released code; weights of the modalities are equal, with three "
            "too, and those by entropy are of each sample, not of the test batch; alpha follows the share of the training "
            "and not that of an epoch; encoders of mmbench; scores and absent modalities are ours"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without projection": {"projection": False},
        "weighed by entropy": {"combine": "entropy"},
    }
    params: MLAParams
    projector: Tensor  # P, [width, width]

    def __init__(self, params: MLAParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        width = embedding_width(spec, params.width)
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        self.head = nn.Linear(width, outputs(spec))
        self.register_buffer("projector", torch.eye(width))
        self.done = 0.0

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """The weighed mean of what the head says of each embedding [batch, width] that is present."""
        known = known_modalities(batch, self.names)
        used = {m: embeddings[m].where(known[:, i].unsqueeze(-1), 0) for i, m in enumerate(self.names)}
        said = torch.stack([self.head(x) for x in used.values()], dim=1)
        weights = self.weights(said, known | ~known.any(dim=1, keepdim=True))
        return Output(
            as_prediction((weights.unsqueeze(-1) * said).sum(dim=1), self.spec),
            embeddings=used,
            unimodal={m: as_prediction(said[:, i], self.spec) for i, m in enumerate(self.names)},
        )

    def weights(self, said: Tensor, counted: Tensor) -> Tensor:
        """The weight of each modality, [batch, modality]; they sum to 1.

        Args:
            said: [batch, modality, outputs].
            counted: [batch, modality], bool, at least one true in each row.
        """
        if self.params.combine == "mean" or self.spec.kind == "regression":
            return counted / counted.sum(dim=1, keepdim=True)
        logs = said.log_softmax(dim=-1)
        entropy = -(logs.exp() * logs).sum(dim=-1)
        return (-entropy).masked_fill(~counted, -torch.inf).softmax(dim=1)

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """alpha falls in the course of the training."""
        self.done = done

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of each modality, ``task/MODALITY``, as if they were trained in one step."""
        return {f"task/{m}": self.modality_loss(m, batch)[0] for m in self.names}

    def modality_loss(self, modality: str, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """What a step of one modality minimises.

        Args:
            modality: its name.
            batch: the samples.

        Returns:
            The task's loss over the samples that have the modality, a scalar; its embeddings, [batch, width]; which
            samples have it, [batch] bool.
        """
        known = known_modalities(batch, [modality]).squeeze(1)
        embedding = self.encode(modality, batch).where(known.unsqueeze(-1), 0)
        said = as_prediction(self.head(embedding), self.spec)
        return masked_mean(task_errors(said, batch.target, self.spec), known), embedding, known

    def optimizer_steps(self, batch: Batch) -> Sequence[Callable[[], dict[str, Tensor]]]:
        """One step for each modality that a sample of the batch has; without any, one that changes nothing."""
        there = known_modalities(batch, self.names).any(dim=0).tolist()
        chosen = [m for m, has in zip(self.names, there, strict=True) if has] or list(self.names[:1])
        return [partial(self.step, m, batch) for m in chosen]

    def step(self, modality: str, batch: Batch) -> dict[str, Tensor]:
        """The gradients of one encoder and of the head, the latter's projected; then P follows.

        Args:
            modality: whose step it is.
            batch: the samples.

        Returns:
            The loss term.
        """
        loss, embedding, known = self.modality_loss(modality, batch)
        loss.backward()
        if self.params.projection and bool(known.any()):
            if self.head.weight.grad is not None:
                gradient = self.head.weight.grad
                self.head.weight.grad = (gradient @ self.projector.T).to(gradient.dtype)
            mean = embedding.detach()[known].mean(dim=0).to(self.projector.dtype)
            alpha = self.params.base ** (1 + self.done)
            self.projector.copy_(projected_away(self.projector, mean, alpha))
        return {f"task/{modality}": loss}


def projected_away(projector: Tensor, feature: Tensor, alpha: float) -> Tensor:
    """P - k k' / (alpha + r' k) with k = P r, divided by its Frobenius norm; [width, width].

    Args:
        projector: P, [width, width], symmetric.
        feature: r, [width].
        alpha: above 0; the smaller, the less of r is let through.
    """
    k = projector @ feature
    smaller = projector - torch.outer(k, k) / (alpha + feature @ k)
    return smaller / smaller.norm().clamp(min=torch.finfo(smaller.dtype).tiny)
