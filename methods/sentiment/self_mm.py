"""Self-MM: labels of single modalities that the network makes for itself (Yu et al., AAAI 2021, arXiv 2102.04830)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..method import Output, fixed
from ..shared.embedded import EmbedsByEncoders
from ..shared.networks import SharedNetworkParams, embedding_width, encoders, known_modalities
from ..shared.own_labels import OwnLabels
from ..shared.subnetworks import TEXT, MaskedMean, RecurrentSubnet

#: ``subnets`` -> modality -> hidden width of its LSTM, width of its vector, width of its head: MMSA's settings. Audio's are those of
#: any other; of text, which is a vector, the head's alone.
SIZES = {
    "released": {"text": (0, 0, 32), "audio": (16, 16, 16), "vision": (32, 32, 32), "": (16, 16, 16)},
    "sims": {"text": (0, 0, 64), "audio": (16, 16, 16), "vision": (64, 32, 32), "": (16, 16, 16)},
    "simsv2": {"text": (0, 0, 64), "audio": (16, 16, 32), "vision": (64, 32, 32), "": (16, 16, 32)},
}
RELEASED_FUSION = 128


@dataclass(frozen=True)
class SelfMMParams(SharedNetworkParams):
    """Sizes, and what labels the modalities learn."""

    subnets: Literal["shared", "released", "sims", "simsv2"] = fixed(
        "shared",
        source="ours: mmbench's encoders; released: MMSA's networks and sizes for MOSI; the others: for that data set, those of MOSI hold for MOSEI",
    )
    head_width: int = fixed(
        32, least=1, source="ours: of the hidden layers of every head; with subnets=shared"
    )
    labels: Literal["generated", "true", "none"] = fixed(
        "generated",
        source="paper; controls: y for every modality, with the weight 1; or no task of single modalities",
    )


class SelfMM(OwnLabels, EmbedsByEncoders):
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
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sims": {"subnets": "sims"},
        "simsv2": {"subnets": "simsv2"},
    }
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
        },
        "mosei": {"batch_size": 32, "weight_decay": 0.01},
        "sims": {"batch_size": 32},
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "after MMSA's code; text is features, of which the masked mean is read, in place of BERT that is trained along (--encoder-mode "
            "full trains it); one rate and decay for all parameters but BERT's, where audio and vision have their own; a sample without a "
            "modality keeps that label, and counts in no centre; of a modality that is absent the vector is 0; a label that is first met "
            "is y; dropout, 0.1 before some heads, is left out; the settings of MOSI hold for any other data set than MOSEI, SIMS and "
            "SIMSv2, and at most 100 epochs, where MMSA knows no maximum. On planted data labels go to what their modality says, and gain "
            "nothing over the score itself (error 0.123, and 0.122): docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "the same labels for all": {"labels": "true"},
        "without tasks of modalities": {"labels": "none"},
    }
    params: SelfMMParams

    def __init__(self, params: SelfMMParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        width = embedding_width(spec, params.width)
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        widths, hidden = [width] * len(self.names), [params.head_width] * (1 + len(self.names))
        sizes = SIZES.get(params.subnets)
        if sizes is not None:
            hidden[0] = RELEASED_FUSION
            for i, name in enumerate(self.names):
                if name in self.encoders.vectors:
                    continue
                read = self.encoders.read[name]
                if name == TEXT:
                    widths[i], hidden[i + 1] = read, sizes[name][2]
                    self.encoders.read_steps(name, MaskedMean())
                else:
                    inner, widths[i], hidden[i + 1] = sizes.get(name, sizes[""])
                    self.encoders.read_steps(name, RecurrentSubnet(read, inner, widths[i]))
        self.add_tasks(sum(widths), widths, hidden, params.labels)

    def vectors(self, embeddings: Mapping[str, Tensor], batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """All vectors side by side, and one by one; 0 where a modality is absent.

        Args:
            embeddings: as ``encode`` gives them.
            batch: says what is there.
        """
        known = known_modalities(batch, self.names)
        own = [embeddings[name].where(known[:, i : i + 1], 0) for i, name in enumerate(self.names)]
        return torch.cat(own, dim=-1), own

    def inputs(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """What the heads read."""
        return self.vectors(self.encode_all(batch), batch)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Predicts by the fusion, from the vectors of all modalities."""
        return self.output(*self.vectors(embeddings, batch))
