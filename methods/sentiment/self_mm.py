"""Self-MM: labels of single modalities that the network makes for itself (Yu et al., AAAI 2021, arXiv 2102.04830)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_loss
from ..method import Output, fixed
from ..shared.embedded import EmbedsByEncoders
from ..shared.label_memory import LabelMemory
from ..shared.networks import (
    SharedNetworkParams,
    as_prediction,
    embedding_width,
    encoders,
    known_modalities,
    outputs,
)
from ..shared.subnetworks import TEXT, MaskedMean, RecurrentSubnet

#: Modality -> hidden width of its LSTM, width of its vector, width of its head: MMSA's settings for MOSI. Audio's are those of any
#: other; text is a vector.
RELEASED = {"audio": (16, 16, 16), "vision": (32, 32, 32), "": (16, 16, 16)}
RELEASED_TEXT = 32
RELEASED_FUSION = 128


@dataclass(frozen=True)
class SelfMMParams(SharedNetworkParams):
    """Sizes, and what labels the modalities learn."""

    subnets: Literal["shared", "released"] = fixed(
        "shared", source="ours: mmbench's encoders; released: MMSA's networks and sizes for MOSI"
    )
    head_width: int = fixed(32, source="ours: of the hidden layers of every head; with subnets=shared")
    labels: Literal["generated", "true", "none"] = fixed(
        "generated",
        source="paper; controls: y for every modality, with the weight 1; or no task of single modalities",
    )


class SelfMM(EmbedsByEncoders):
    """The fusion learns y, and each modality a label of its own that is moved to where its features lie.

    Loss: |y_f - y| + sum_m tanh|y_m - y| |yhat_m - y_m|: a modality counts as far as its label differs from y, and not at all
    before it does. y_m starts as y, and from the second epoch on goes to what ``label_memory.new_labels`` says of the
    distances of the sample's features to the mean features of negative and of positive samples, in the modality and in the
    fusion. Labels are read in the middle of their range. Of two classes the labels are -1 and 1; of more, no modality
    has a task, as there is nothing that could be moved.
    """

    Params = SelfMMParams
    version = 1
    uses_index = True
    needs_modalities = 2
    as_published: ClassVar[Mapping[str, Any]] = {"subnets": "released"}
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 100,
            "patience": 8,
            "batch_size": 16,
            "accumulate": 4,
            "accumulate_by": "sum",
            "learning_rate": 0.001,
            "weight_decay": 0.001,
            "clip_norm": 0.0,
        }
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "after MMSA's code; text is features, of which the masked mean is read, in place of BERT that is trained along; one rate "
            "for all parameters, where audio and vision have 0.005; a sample without a modality keeps that label, and counts in no "
            "centre; of a modality that is absent the vector is 0; a label that is first met is y; dropout, 0.1 before the heads of text "
            "and audio, is left out; sizes and budget of MOSI for every data set, and at most 100 epochs, where MMSA knows no "
            "maximum. On planted data labels go to what their modality says, and gain nothing over the score itself (error 0.123, and "
            "0.122): docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "the same labels for all": {"labels": "true"},
        "without tasks of modalities": {"labels": "none"},
    }
    params: SelfMMParams
    epoch: Tensor  # int64, counted from 1

    def __init__(self, params: SelfMMParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        width = embedding_width(spec, params.width)
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        widths, hidden = [width] * len(self.names), [params.head_width] * (1 + len(self.names))
        if params.subnets == "released":
            hidden[0] = RELEASED_FUSION
            for i, name in enumerate(self.names):
                if name in spec.tuned or spec.encoders.get(name) == "cnn1d":
                    continue
                read = spec.modalities[name] * (2 if name in self.encoders.partly_observed else 1)
                if name == TEXT:
                    self.encoders.parts[i], widths[i], hidden[i + 1] = MaskedMean(), read, RELEASED_TEXT
                else:
                    inner, widths[i], hidden[i + 1] = RELEASED.get(name, RELEASED[""])
                    self.encoders.parts[i] = RecurrentSubnet(read, inner, widths[i])
        low, high = spec.label_range or (-3.0, 3.0)
        scores = spec.kind == "regression"
        self.middle, most = ((low + high) / 2, (high - low) / 2) if scores else (0.0, 1.0)
        self.has_tasks = params.labels != "none" and (scores or spec.classes == 2)
        self.fusion = Head(sum(widths), hidden[0], outputs(spec))
        self.heads = nn.ModuleList(Head(w, h, 1) for w, h in zip(widths, hidden[1:], strict=True))
        self.memory = LabelMemory(max(spec.train_size, 1), hidden, most)
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Counts the epochs."""
        self.epoch += 1

    def heads_of(self, embeddings: Mapping[str, Tensor], batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """Features f_s and raw outputs of the fusion and of each modality, in this order.

        Args:
            embeddings: as ``encode`` gives them.
            batch: says what is there.
        """
        known = known_modalities(batch, self.names)
        vectors = [embeddings[name].where(known[:, i : i + 1], 0) for i, name in enumerate(self.names)]
        said = [self.fusion(torch.cat(vectors, dim=-1))]
        said += [head(vector) for head, vector in zip(self.heads, vectors, strict=True)]
        return [feature for feature, _ in said], [raw for _, raw in said]

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Predicts by the fusion, from the vectors of all modalities."""
        features, raw = self.heads_of(embeddings, batch)
        alone = {}
        if self.spec.kind == "regression" and self.has_tasks:
            alone = {name: x[:, 0] + self.middle for name, x in zip(self.names, raw[1:], strict=True)}
        return Output(self.prediction(raw[0]), fused=features[0], unimodal=alone)

    def prediction(self, raw: Tensor) -> Tensor:
        """Of the fusion's raw output: scores count from the middle of their range."""
        said = as_prediction(raw, self.spec)
        return said + self.middle if self.spec.kind == "regression" else said

    def signed(self, batch: Batch) -> Tensor:
        """y [batch] from the middle of the range; -1 and 1 of two classes."""
        if self.spec.kind == "regression":
            return batch.target - self.middle
        return 2.0 * batch.target - 1

    def rows(self, batch: Batch) -> Tensor | None:
        """The rows of the batch in the memory; None where there is none, as the size of the training split is not known."""
        return batch.index if self.spec.train_size else None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The fusion's, and that of each modality over the samples that have it, by the labels as they are now."""
        return self._terms(batch)[0]

    def _terms(self, batch: Batch) -> tuple[dict[str, Tensor], list[Tensor]]:
        features, raw = self.heads_of(self.encode_all(batch), batch)
        terms = {"task": task_loss(self.prediction(raw[0]), batch.target, self.spec)}
        if not self.has_tasks:
            return terms, features
        label, known = self.signed(batch), known_modalities(batch, self.names)
        rows = self.rows(batch)
        for i, name in enumerate(self.names):
            own, weight = label, torch.ones_like(label)
            if self.params.labels == "generated":
                own = label if rows is None else self.memory.read(i + 1, rows, label)
                weight = (own - label).abs().tanh()
            errors = weight * (raw[i + 1][:, 0] - own).abs()
            terms[f"unimodal/{name}"] = masked_mean(errors, known[:, i]) * known[:, i].float().mean()
        return terms, features

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """The gradients of the loss; then the labels of the batch move, and its features are kept."""
        terms, features = self._terms(batch)
        torch.stack(list(terms.values())).sum().backward()
        rows = self.rows(batch)
        if self.has_tasks and self.params.labels == "generated" and rows is not None:
            known = known_modalities(batch, self.names)
            known = torch.cat([torch.ones_like(known[:, :1]), known], dim=1)
            label, epoch = self.signed(batch), int(self.epoch)
            self.memory.update(rows, [f.detach() for f in features], label, known, epoch)
        return terms


class Head(nn.Module):
    """f = ReLU(W_1 x); W_3 ReLU(W_2 f)."""

    def __init__(self, features: int, width: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(features, width)
        self.last = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, features] -> f [batch, width], and the outputs [batch, outputs]."""
        feature = self.first(vector).relu()
        return feature, self.last(feature)
