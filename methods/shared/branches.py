"""The embedding of a modality that a method's terms see: that of its branch, or, as published, of the whole network.

In MMDG-Bench's sentiment code (sections 2.3 and 6.12 of docs/methods.md) the "uni-modal" feature of a
modality is the whole network's, run once more with the inputs of all others 0: it includes the outputs of the
other encoders for zeros, and their dropout. ``whole_network`` asks for that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..erm import ERM
from ..method import Output, fixed
from .networks import Encoders, PerModality, SharedNetworkParams, available, outputs


@dataclass(frozen=True)
class BranchParams(SharedNetworkParams):
    """The size of the shared network, and which embedding of a modality the terms see."""

    whole_network: bool = fixed(
        False,
        source="MMDG-Bench 2.3, sentiment: the network with the other inputs zeroed, not the branch",
        since="0.1",
    )


@dataclass(frozen=True)
class DeepBranchParams(BranchParams):
    """The same for methods that predict from the uni-modal embeddings, too."""

    extra_width: int = fixed(
        0, least=0, source="MMDG-Bench 2.2, sentiment and motor faults: 256, of further encoders", since="0.1"
    )
    bounded: bool = fixed(False, source="MMDG-Bench 2.3, sentiment: 3 tanh", since="0.1")
    head_dropout: float = fixed(
        0.5, least=0, below=1, source="MMDG-Bench 2.3, sentiment: 0, of the MLPs that predict", since="0.2"
    )


@dataclass(frozen=True)
class DeepHeadParams(DeepBranchParams):
    """The same for methods with a head on each modality's embedding."""

    mlp_heads: bool = fixed(
        False,
        source="MMDG-Bench 2.2 and 2.3, motor faults and sentiment: uni-modal heads are MLPs, not linear",
        since="0.2",
    )


def others_silent(batch: Batch, modality: str) -> Batch:
    """The batch with one modality alone: encoders read zeros in place of the others.

    Args:
        batch: the batch.
        modality: the one that stays.
    """
    gone = {name: torch.zeros_like(flags) for name, flags in batch.present.items() if name != modality}
    return batch.with_present(gone)


class Branches(ERM):
    """ERM's network, for methods that have terms on each modality's embedding beside the joint prediction.

    ``params`` has ``width``, ``layers`` and ``whole_network``. ``self.seen`` is the width of the embeddings
    that the terms see (those of ``Output``): ``self.width``, or that of all modalities side by side.
    """

    def __init__(self, params: Any, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        self.seen = self.width * (len(self.names) if params.whole_network else 1)

    def branch(self, modality: str, batch: Batch) -> Tensor:
        """The embedding of a modality's own branch.

        Args:
            modality: its name.
            batch: the samples.

        Returns:
            [batch, width].
        """
        return super().encode(modality, batch)

    def branches(self, batch: Batch, modalities: Sequence[str]) -> dict[str, Tensor]:
        """``branch`` of several modalities, computed as one where no subclass has another.

        Args:
            batch: the samples.
            modalities: their names.

        Returns:
            Name -> [batch, width].
        """
        if type(self).branch is not Branches.branch:
            return {name: self.branch(name, batch) for name in modalities}
        return self.encoders.together(batch, modalities)

    def encode(self, modality: str, batch: Batch) -> Tensor:
        """The branch's embedding [batch, width]; with ``whole_network`` that of the network follows it."""
        return self.encode_all(batch, [modality])[modality]

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The same of several modalities."""
        own = self.branches(batch, modalities or self.names)
        if not self.params.whole_network:
            return own
        alone = {name: self.branches(others_silent(batch, name), self.names) for name in own}
        return {name: torch.cat([x, *alone[name].values()], dim=-1) for name, x in own.items()}

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """As ERM from the branches' embeddings; the output has those that the terms see."""
        if not self.params.whole_network:
            return super().fuse(embeddings, batch)
        output = super().fuse({m: x[:, : self.width] for m, x in embeddings.items()}, batch)
        seen = {
            m: embeddings[m][:, self.width :].where(available(batch, m).unsqueeze(-1), 0) for m in self.names
        }
        return dataclasses.replace(output, embeddings=seen)


class DeepBranches(ERM):
    """ERM's network, for methods whose published code predicts from the uni-modal embeddings, too.

    Attributes of ``params`` beside ``width`` and ``layers``, with what they are by default:

    * ``whole_network`` (false): an embedding is the whole network's, as above; there is no other joint pass.
    * ``extra_width`` (0): so wide a further network on each embedding (linear, ReLU, dropout, linear), and an MLP in
      place of the shared head (sections 2.2 and 3.3: HUST and sentiment).
    * ``bounded`` (false): a score is the limit of the labels times tanh (section 2.3: 3 tanh).
    * ``head_dropout`` (0.5): of the MLPs that predict (section 2.3: 0).
    * ``mlp_heads`` (false), where ``branch_head`` is used: uni-modal heads are such MLPs, too.

    ``self.seen`` is the width of the embeddings.
    """

    def __init__(self, params: Any, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        inner = self.width * (len(self.names) if params.whole_network else 1)
        self.seen = params.extra_width or inner
        if params.extra_width:
            self.extra = PerModality(spec, lambda _: mlp(inner, self.seen, self.seen))
        if params.extra_width or params.whole_network or params.bounded:
            self.head = mlp(len(self.names) * self.seen, self.seen, outputs(spec), params.head_dropout)
        if params.bounded and spec.kind == "regression":
            self.head.append(Bounded(label_limit(spec)))

    def branch_head(self, outputs: int, score: bool = False) -> nn.Module:
        """A head on a modality's embedding: [batch, seen] -> [batch, outputs].

        Args:
            outputs: how many.
            score: whether it says a score of a regression, which is bounded where the fused one is.
        """
        if not self.params.mlp_heads:
            return nn.Linear(self.seen, outputs)
        head = mlp(self.seen, self.seen, outputs, self.params.head_dropout)
        return head.append(Bounded(label_limit(self.spec))) if score and self.params.bounded else head

    def networks(self) -> Mapping[str, nn.Module]:
        """``encoders`` and, where there is one, ``extra``."""
        return {"encoders": self.encoders} | ({"extra": self.extra} if self.params.extra_width else {})

    def encode(self, modality: str, batch: Batch) -> Tensor:
        """The embedding [batch, seen] of one modality."""
        return self.encode_all(batch, [modality])[modality]

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The same of several modalities."""
        return self.embed(self.networks(), batch, modalities or self.names)

    def embed(
        self, networks: Mapping[str, nn.Module], batch: Batch, modalities: Sequence[str]
    ) -> dict[str, Tensor]:
        """The embeddings of several modalities by other networks than its own, such as a teacher's.

        Args:
            networks: as of ``networks``.
            batch: the samples.
            modalities: their names.

        Returns:
            Name -> [batch, seen].
        """
        encoders = cast(Encoders, networks["encoders"])
        if self.params.whole_network:
            alone = {name: encoders.together(others_silent(batch, name)) for name in modalities}
            inner = {name: torch.cat(list(parts.values()), dim=-1) for name, parts in alone.items()}
        else:
            inner = encoders.together(batch, modalities)
        if not self.params.extra_width:
            return inner
        return {name: networks["extra"](name, x) for name, x in inner.items()}


def mlp(inputs: int, hidden: int, outputs: int, dropout: float = 0.5) -> nn.Sequential:
    """Linear, ReLU, dropout, linear: MMDG-Bench's heads and further networks (sections 2.1 to 2.3).

    Args:
        inputs: width of its input.
        hidden: width of its hidden layer.
        outputs: width of its output.
        dropout: before the last layer.
    """
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs)
    )


def label_limit(spec: Spec) -> float:
    """The highest label of a regression, 3 where the dataset does not state it."""
    return spec.label_range[1] if spec.label_range else 3.0


class Bounded(nn.Module):
    """limit * tanh(x)."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, raw: Tensor) -> Tensor:
        """[...] -> [...], between -limit and limit."""
        return self.limit * raw.tanh()
