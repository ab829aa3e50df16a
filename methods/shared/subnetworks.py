"""The uni-modal networks of MMSA's TFN, LMF and LF-DNN, beside mmbench's own encoders in their place.

The sizes are facts of MMSA's regression settings (github.com/thuiar/MMSA at commit a94e65d).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from ...datasets.batch import Batch, Spec
from .batch_norm import BatchNorm, on_known
from .networks import SharedNetworkParams, embedding_width, encoders
from .vector_encoder import masked_mean_over_steps

#: The modality that is read as a sequence of words.
TEXT = "text"
#: The one that has sizes of its own in settings of MMSA.
AUDIO = "audio"


def packed(features: Tensor, valid: Tensor) -> PackedSequence:
    """The valid steps of each sample in their order, for a recurrent network; one step of zeros where there is none.

    Args:
        features: [batch, time, feature]; what lies at invalid steps is never read.
        valid: [batch, time], bool.
    """
    order = (~valid).to(torch.int8).argsort(dim=1, stable=True)
    clean = features.where(valid.unsqueeze(-1), 0)
    ordered = clean.gather(1, order.unsqueeze(-1).expand_as(clean))
    lengths = valid.sum(1).clamp(min=1).cpu()
    return pack_padded_sequence(ordered, lengths, batch_first=True, enforce_sorted=False)


class DenseSubnet(nn.Module):
    """MMSA's network of audio and vision: batch norm of the mean over steps, dropout, three linear layers, each with ReLU."""

    def __init__(self, features: int, width: int, rate: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            BatchNorm(features),
            nn.Dropout(rate),
            *(nn.Linear(features, width), nn.ReLU()),
            *(nn.Linear(width, width), nn.ReLU()),
            *(nn.Linear(width, width), nn.ReLU()),
        )

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encodes.

        Args:
            features: [batch, time, feature]; what lies at invalid steps is never read.
            valid: [batch, time], bool.

        Returns:
            [batch, width], 0 without a valid step.
        """
        mean = masked_mean_over_steps(features.to(next(self.parameters()).dtype), valid)
        return on_known(self.layers, mean, valid.any(dim=1))


class MaskedMean(nn.Module):
    """The mean of the valid steps, as MMSA takes it of BERT's last layer."""

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """[batch, time, feature] and [batch, time], bool -> [batch, feature]."""
        return masked_mean_over_steps(features.float(), valid)


class RecurrentSubnet(nn.Module):
    """MMSA's network of text: an LSTM, of whose last state a linear layer is taken."""

    def __init__(self, features: int, hidden: int, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, batch_first=True)
        self.leave = nn.Linear(hidden, width)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encodes.

        Args:
            features: [batch, time, feature]; what lies at invalid steps is never read.
            valid: [batch, time], bool.

        Returns:
            [batch, width], at the last valid step.
        """
        _, (state, _) = self.lstm(packed(features.to(self.leave.weight.dtype), valid))
        return self.leave(state[-1])


class Subnetworks(nn.Module):
    """The network of each modality: MMSA's, or mmbench's encoder with a linear layer behind it.

    Attributes:
        names: of the modalities, in order.
        widths: modality -> the width of its vector.
    """

    def __init__(
        self,
        spec: Spec,
        params: SharedNetworkParams,
        *,
        released: Mapping[str, tuple[int, int]] | None,
        rate: float = 0.0,
        width: int | None = None,
    ) -> None:
        """Builds the networks.

        Modalities of waveforms, and those of which an encoder that is trained along makes one vector, keep mmbench's encoder in
        any case.

        Args:
            spec: names the modalities.
            params: sizes of mmbench's encoders.
            released: modality -> hidden width and width of MMSA's networks, under ``""`` those of any other modality;
                None for mmbench's encoders.
            rate: of dropout in MMSA's networks of other modalities than text.
            width: of what is made of an embedding of mmbench's encoders by a linear layer; None for the embedding itself.
        """
        super().__init__()
        self.names = tuple(spec.modalities)
        own = embedding_width(spec, params.width)
        self.encoders = encoders(spec, own, params.layers, params.released_encoder)
        self.widths = dict.fromkeys(self.names, own)
        self.leave = nn.ModuleDict()
        for i, name in enumerate(self.names):
            if released is not None and name not in self.encoders.vectors:
                hidden, self.widths[name] = released.get(name, released[""])
                read = self.encoders.read[name]
                self.encoders.read_steps(
                    name,
                    RecurrentSubnet(read, hidden, self.widths[name])
                    if name == TEXT
                    else DenseSubnet(read, self.widths[name], rate),
                )
            elif width is not None:
                self.widths[name] = width
                self.leave[str(i)] = nn.Linear(own, width)

    def forward(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The vectors [batch, width] of several modalities.

        Args:
            batch: the samples.
            modalities: those that are encoded; by default all.
        """
        found = self.encoders.together(batch, modalities)
        places = {name: str(self.names.index(name)) for name in found}
        return {
            name: self.leave[place](found[name]) if (place := places[name]) in self.leave else found[name]
            for name in found
        }
