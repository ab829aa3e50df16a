"""CAGMamba: gated cross-modal mixing of an utterance with the one before it (Jiao et al. 2026, arXiv 2604.03650)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_errors, task_loss
from ..method import Output, fixed, searched
from ..shared.bank import Bank
from ..shared.embedded import Embeds
from ..shared.gated_mixing import GatedMixing
from ..shared.networks import (
    Encoders,
    FusionHead,
    SharedNetworkParams,
    as_prediction,
    embedding_width,
    encoders,
    known_modalities,
    outputs,
)
from ..shared.vector_encoder import masked_mean_over_steps


@dataclass(frozen=True)
class CAGMambaParams(SharedNetworkParams):
    """Sizes, weights of the terms, and ablation switches.

    ``context`` says whose utterance stands before the current one: its own previous one, none, or for the control that of
    another sample. ``mixer="none"`` leaves the layer out: the heads read current and previous embeddings side by side.
    """

    depth: int = fixed(1, least=0, source="release: layers; each reads the raw context again")
    state: int = fixed(16, least=1, source="release: d_state")
    dropout: float = searched(
        0.3, low=0.0, high=0.6, digits=1, least=0, below=1, source="release: in the heads; range: our choice"
    )
    projection: bool = fixed(
        False,
        source="release: a linear layer on the utterance's vector (here the mean of its steps), no encoder",
    )
    context: Literal["previous", "none", "shuffled"] = fixed("previous", source="ablation and control")
    mixer: Literal["mamba", "transformer", "linear", "none"] = fixed(
        "mamba", source="paper; the others are ablations (one layer of each)"
    )
    gate: Literal["gating", "fixed", "cross_only", "none"] = fixed(
        "gating", source="paper; the release's fusion modes, and 'none' for no cross-modal path"
    )
    both_orders: bool = fixed(
        True, source="release: the layer also runs with the roles of utterance and context swapped"
    )
    no_context: Literal["learned", "tanh"] = fixed(
        "learned", source="ours: a learned vector; release: tanh of the current embedding"
    )
    own_labels: bool = fixed(
        True, source="release, CH-SIMS: unimodal heads learn the modality's own label, where there is one"
    )
    weight_unimodal: float = searched(
        1.0, low=0.0, high=1.0, digits=1, source="release: 1 for each modality; range: our choice"
    )


class CAGMamba(Embeds):
    """The previous utterance and the current one are a sequence of two, in each modality and over all of them.

    A layer (``GatedMixing``) gives each modality an embedding of the pair, to which a gate adds what all modalities
    together say; a second run with the roles swapped does so for the previous utterance. The head reads both; heads of
    single modalities read [x_m; c_m] before any mixing. Loss: the task's, and its mean over each modality's head.

    An absent modality is a learned vector, and an utterance without one before it has another in that place.
    """

    Params = CAGMambaParams
    version = 1
    uses_context = True
    as_published: ClassVar[Mapping[str, Any]] = {"no_context": "tanh"}
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {"epochs": 20, "patience": 8, "clip_norm": 0.5}
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "encoders of mmbench, 40 wide, on extracted features, in place of fine-tuned RoBERTa-large and data2vec "
            "(1,024 wide), so that their rates (5e-6 and less) and one rate for each group of parameters are not taken "
            "over; any number of modalities, not text and audio; the context is one utterance, where the release joins two "
            "transcripts; mmbench's fusion head; the bias of the step size counts once, not twice; one optimiser for the "
            "whole training, not a new one every epoch; epochs chosen by the protocol, not by Acc-2. On planted data the "
            "learned gate is no better than a constant of 0.5 or the cross-modal path alone, and the scan no better than "
            "one linear map of the pair: docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without context": {"context": "none"},
        "shuffled context": {"context": "shuffled"},
        "concatenated": {"mixer": "none"},
        "linear mixer": {"mixer": "linear"},
        "transformer mixer": {"mixer": "transformer"},
        "constant gate": {"gate": "fixed"},
        "cross-modal path alone": {"gate": "cross_only"},
        "no cross-modal path": {"gate": "none"},
        "one order": {"both_orders": False},
    }
    params: CAGMambaParams

    def __init__(self, params: CAGMambaParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        count = len(self.names)
        width = self.width = params.width if params.projection else embedding_width(spec, params.width)
        if params.projection:
            self.encoders = Encoders(spec, lambda features: Projection(features, width))
        else:
            self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        self.absent = nn.Parameter(0.02 * torch.randn(count, width))
        self.first = nn.Parameter(0.02 * torch.randn(count, width))
        self.layers = nn.ModuleList()
        if (mixer := params.mixer) != "none":
            self.layers.extend(
                GatedMixing(count, width, mixer, params.state, params.gate) for _ in range(params.depth)
            )
        twice = params.both_orders or params.mixer == "none"
        self.dropout = nn.Dropout(params.dropout)
        self.heads = nn.ModuleList(nn.Linear(2 * width, outputs(spec)) for _ in self.names)
        self.head = FusionHead((1 + twice) * count * width, width, outputs(spec))
        if params.context == "shuffled":
            self.bank = Bank(count, width + 1)

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The same of several modalities."""
        chosen = modalities or self.names
        current = self.encoders.together(batch, chosen)
        if batch.context is None or self.params.context == "none":
            before = {name: torch.zeros_like(x) for name, x in current.items()}
        else:
            before = self.encoders.together(batch.context, chosen)
        return {name: torch.cat([current[name], before[name]], dim=-1) for name in chosen}

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Mixes and predicts, from [x_m; c_m] of each modality."""
        stacked = torch.stack([embeddings[name] for name in self.names], dim=1)
        encoded, before = stacked.chunk(2, dim=-1)
        known = known_modalities(batch, self.names)
        current = encoded.where(known.unsqueeze(-1), self.absent)
        before = self.previous(before, current, batch)
        fused, gates = self.mix(before, current)
        pair = self.dropout(torch.cat([current, before], dim=-1))
        unimodal = [as_prediction(head(pair[:, i]), self.spec) for i, head in enumerate(self.heads)]
        return Output(
            prediction=as_prediction(self.head(self.dropout(fused)), self.spec),
            embeddings={m: current[:, i].where(known[:, i : i + 1], 0) for i, m in enumerate(self.names)},
            fused=fused,
            unimodal=dict(zip(self.names, unimodal, strict=True)),
            diagnostics={f"gate/{m}": gates[:, i] for i, m in enumerate(self.names)} if self.layers else {},
        )

    def mix(self, before: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
        """The layers on utterance and context.

        Args:
            before: the utterance before, [batch, modality, width].
            current: the utterance, alike.

        Returns:
            What the head reads, [batch, ...]; the mean gate of each modality in the last layer, [batch, modality].
        """
        if not self.layers:
            return torch.cat([current, before], dim=1).flatten(1), torch.ones_like(current[..., 0])
        if self.params.both_orders:  # the swapped roles are further rows of the same pass
            before, current = torch.cat([before, current]), torch.cat([current, before])
        gates = current
        for layer in self.layers:
            current, gates = layer(before, current)
        if not self.params.both_orders:
            return current.flatten(1), gates
        return torch.cat(current.chunk(2), dim=1).flatten(1), gates.chunk(2)[0]

    def previous(self, before: Tensor, current: Tensor, batch: Batch) -> Tensor:
        """What stands before the current utterance.

        Args:
            before: embeddings of the previous utterances, [batch, modality, width]; read where there is one.
            current: of the current ones.
            batch: says where there is a previous one.
        """
        nothing = current.tanh() if self.params.no_context == "tanh" else self.first.expand_as(current)
        if batch.context is None or self.params.context == "none":
            return nothing
        known = known_modalities(batch.context, self.names).unsqueeze(-1)
        if self.params.context == "shuffled":
            both = torch.cat([before.where(known, 0), known.to(before.dtype)], dim=-1)
            both = self.bank.exchange(both, batch)
            before, known = both[..., :-1], both[..., -1:] > 0
        return before.where(known, nothing)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss of the fused prediction, and of each modality's head over the samples that have the modality."""
        output = self(batch)
        terms = {"task": task_loss(output.prediction, batch.target, self.spec)}
        for i, (name, said) in enumerate(output.unimodal.items()):
            target = batch.unimodal_target.get(name, batch.target) if self.params.own_labels else batch.target
            known = known_modalities(batch, self.names)[:, i]
            errors = task_errors(said, target, self.spec)
            terms[f"unimodal/{name}"] = self.params.weight_unimodal * masked_mean(errors, known)
        return terms


class Projection(nn.Module):
    """The mean of the valid steps and one linear layer: where features are one vector a sample, the release's way."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(features, width)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encodes.

        Args:
            features: [batch, time, feature]; what lies at invalid steps is never read.
            valid: [batch, time], bool.

        Returns:
            [batch, width].
        """
        return self.map(masked_mean_over_steps(features.to(self.map.weight.dtype), valid))
