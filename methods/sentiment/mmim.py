"""MMIM: mutual information of modalities, and of the fusion with each, is raised (Han et al., EMNLP 2021, arXiv 2109.00412)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import info_nce, task_loss
from ..method import Output, fixed, searched
from ..shared.embedded import EmbedsByEncoders
from ..shared.mutual_information import LikelihoodBound, RecentRows, grouped_entropy
from ..shared.networks import (
    SharedNetworkParams,
    as_prediction,
    embedding_width,
    encoders,
    known_modalities,
    outputs,
)
from ..shared.step_sequences import dominant_of
from ..shared.subnetworks import TEXT, MaskedMean, packed

#: Widths of MMSA's LSTM in each direction, and of the vector of a modality that is no text.
RELEASED = 16


@dataclass(frozen=True)
class MMIMParams(SharedNetworkParams):
    """Sizes, the weights of the terms, and a fault of the released code."""

    subnets: Literal["shared", "released"] = fixed(
        "shared", source="ours: mmbench's encoders; released: MMSA's networks"
    )
    dominant: str = fixed("", source="paper: the text; ours: where there is none, the first modality")
    fusion_width: int = fixed(40, least=1, source="ours; MMSA: 128")
    dropout: float = searched(
        0.1, low=0.0, high=0.5, digits=1, least=0, below=1, source="MMSA; range: our choice"
    )
    weight_contrast: float = searched(
        0.1, low=0.0, high=0.5, digits=2, source="MMSA: alpha; range: our choice"
    )
    weight_mutual: float = searched(0.1, low=0.0, high=0.5, digits=2, source="MMSA: beta; range: our choice")
    entropy_rows: int = fixed(
        32, least=1, source="MMSA: of one batch before, with which an entropy is estimated"
    )
    released_bound: bool = fixed(
        False,
        source="paper; MMSA leaves the logarithm of the variance out, and takes the entropy of a projection that no term trains",
    )


class MMIM(EmbedsByEncoders):
    """The fused vector says of each modality which sample it is of, and the dominant modality what the others are.

    z = tanh(W_2 tanh(W_1 [h_m over m])) predicts. L = task + alpha sum_m CPC(z, h_m) - beta sum_(m not t) I(t, m), t the
    dominant modality: CPC is InfoNCE of the unit vectors of h_m and of a linear layer of z, without temperature; I is the
    likelihood of h_m given h_t (``LikelihoodBound``), whose networks learn by a step of their own, and the entropy of h_m
    (``grouped_entropy``: of positive and negative scores, or of each class). An absent modality is a zero vector, and in
    no term.
    """

    Params = MMIMParams
    version = 1
    needs_modalities = 2
    as_published: ClassVar[Mapping[str, Any]] = {
        "subnets": "released",
        "fusion_width": 128,
        "released_bound": True,
    }
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 100,
            "patience": 8,
            "batch_size": 32,
            "accumulate": 2,
            "accumulate_by": "sum",
            "learning_rate": 0.001,
            "weight_decay": 0.0001,
            "clip_norm": 1.0,
            "schedule": "plateau",
            "plateau_factor": 0.5,
            "plateau_patience": 20,
        }
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "after MMSA's code; text is features, of which the masked mean is read, in place of BERT that is trained along (--encoder-mode "
            "full trains it); the networks of the likelihood learn by the same batches as the rest, at the same time, where MMSA has half "
            "of each epoch for them; parameters start as torch's do, not by Xavier's rule; entropies of classes are those within each "
            "class; an absent modality is zeros and in no term; the settings of MOSI for any data set, and at most 100 epochs, where MMSA "
            "knows no maximum. On planted data the terms raise what z says of the modalities, and one modality of the other, and lower no "
            "error (0.113, and 0.104 without them): docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without its terms": {"weight_contrast": 0.0, "weight_mutual": 0.0},
        "without contrast": {"weight_contrast": 0.0},
        "without likelihood": {"weight_mutual": 0.0},
    }
    params: MMIMParams

    def __init__(self, params: MMIMParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names, self.dominant = tuple(spec.modalities), dominant_of(spec, params.dominant)
        self.others = tuple(name for name in self.names if name != self.dominant)
        own = embedding_width(spec, params.width)
        self.encoders = encoders(spec, own, params.layers, params.released_encoder)
        widths = dict.fromkeys(self.names, own)
        if params.subnets == "released":
            for name in self.names:
                if name in self.encoders.vectors:
                    continue
                read = self.encoders.read[name]
                widths[name] = read if name == TEXT else RELEASED
                self.encoders.read_steps(name, MaskedMean() if name == TEXT else TwoWayLSTM(read, RELEASED))
        size = params.fusion_width
        self.enter, self.inner = nn.Linear(sum(widths.values()), size), nn.Linear(size, size)
        self.out = nn.Linear(size, outputs(spec))
        self.dropout = nn.Dropout(params.dropout)
        self.bounds = nn.ModuleList(
            LikelihoodBound(widths[self.dominant], widths[name], params.released_bound)
            for name in self.others
        )
        self.guesses = nn.ModuleList(nn.Linear(size, widths[name]) for name in self.names)
        self.recent = nn.ModuleList(
            RecentRows(params.entropy_rows, cast(LikelihoodBound, bound).width) for bound in self.bounds
        )
        low, high = spec.label_range or (-3.0, 3.0)
        self.middle = (low + high) / 2

    def mix(self, embeddings: Mapping[str, Tensor], known: Tensor) -> Tensor:
        """z [batch, fusion width].

        Args:
            embeddings: as ``encode`` gives them.
            known: [batch, modality], bool.
        """
        used = [embeddings[name].where(known[:, i : i + 1], 0) for i, name in enumerate(self.names)]
        return self.inner(self.enter(self.dropout(torch.cat(used, dim=-1))).tanh()).tanh()

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Predicts, from h_m of each modality."""
        fused = self.mix(embeddings, known_modalities(batch, self.names))
        return Output(as_prediction(self.out(fused), self.spec), embeddings=embeddings, fused=fused)

    def _recent(self) -> Iterable[RecentRows]:
        return cast(Iterable[RecentRows], self.recent)

    def groups(self, batch: Batch) -> tuple[Tensor, int]:
        """The group of each sample, [batch], int64, and how many there are: scores above and below the middle, or classes."""
        if self.spec.kind == "classification":
            return batch.target, self.spec.classes
        score = batch.target - self.middle
        return (score > 0).long().where(score != 0, -1), 2

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss and the terms; ``bounds`` is what the networks of the likelihoods alone learn by."""
        return self._terms(batch)[0]

    def _terms(self, batch: Batch) -> tuple[dict[str, Tensor], list[tuple[Tensor, Tensor]]]:
        """The terms, and for each other modality what the memory of the entropy is to keep."""
        s, known = self.params, known_modalities(batch, self.names)
        embeddings = self.encode_all(batch)
        fused = self.mix(embeddings, known)
        prediction = as_prediction(self.out(fused), self.spec)
        terms = {"task": task_loss(prediction, batch.target, self.spec)}
        contrast = [
            info_nce(embeddings[name], guess(fused), known[:, i], 1.0)
            for i, (name, guess) in enumerate(zip(self.names, self.guesses, strict=True))
        ]
        terms["contrast"] = s.weight_contrast * torch.stack(contrast).sum()
        if not self.others or s.weight_mutual == 0:
            return terms, []
        lead, place = embeddings[self.dominant], self.names.index(self.dominant)
        groups, count = self.groups(batch)
        bounds, mutual, kept = [], [], []
        nets = cast(Iterable[LikelihoodBound], self.bounds)
        for name, bound, recent in zip(self.others, nets, self._recent(), strict=True):
            there = known[:, place] & known[:, self.names.index(name)]
            own = embeddings[name]
            bounds.append(bound(lead.detach(), own.detach(), there))
            with frozen(bound):
                mutual.append(bound(lead, own, there))
                q = bound.q(own)
            group = groups.where(there, -1)
            kept.append((q[group >= 0], group[group >= 0]))
            if recent.full:
                mutual.append(grouped_entropy(*recent.join(q, group), count))
        terms["mutual"] = -s.weight_mutual * torch.stack(mutual).sum()
        terms["bounds"] = -torch.stack(bounds).sum()
        return terms, kept

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """The gradients of the loss; then the samples are kept for the entropies of later batches."""
        terms, kept = self._terms(batch)
        torch.stack(list(terms.values())).sum().backward()
        for recent, (q, groups) in zip(self._recent(), kept, strict=False):
            recent.keep(q, groups)
        return terms


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Within it the module gets no gradients; what goes through it does."""
    wanted = [p for p in module.parameters() if p.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)


class TwoWayLSTM(nn.Module):
    """MMSA's network of audio and vision in MMIM: an LSTM in both directions, of whose last states a linear layer is taken."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, width, bidirectional=True, batch_first=True)
        self.leave = nn.Linear(2 * width, width)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encodes.

        Args:
            features: [batch, time, feature]; what lies at invalid steps is never read.
            valid: [batch, time], bool.

        Returns:
            [batch, width].
        """
        _, (state, _) = self.lstm(packed(features.to(self.leave.weight.dtype), valid))
        return self.leave(torch.cat([*state], dim=-1))
