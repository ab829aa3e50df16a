"""The steps of each modality, valid ones first, for networks that read sequences and not embeddings."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from .networks import SharedNetworkParams, embedding_width, encoders, steps_of


def valid_first(features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The valid steps of each sample in their order, and zeros behind them.

    Args:
        features: [batch, time, feature]; what lies at invalid steps is never read.
        valid: [batch, time], bool.

    Returns:
        [batch, time, feature] and [batch, time].
    """
    order = (~valid).to(torch.int8).argsort(dim=1, stable=True)
    valid = valid.gather(1, order)
    moved = features.gather(1, order.unsqueeze(-1).expand_as(features))
    return moved.where(valid.unsqueeze(-1), 0), valid


def block_length(steps: int, most: int) -> int:
    """How many steps are averaged to one, so that no more than ``most`` are left.

    Args:
        steps: of the training data; 0 where they are not known.
        most: 0 averages none.
    """
    return max(-(-steps // most), 1) if most else 1


def block_means(features: Tensor, valid: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Means over blocks of steps; their length follows from the training data, so that padding has no say in it.

    Args:
        features: [batch, time, feature], 0 at invalid steps.
        valid: [batch, time], bool; valid steps come first.
        block: steps that are averaged to one.

    Returns:
        [batch, blocks, feature] and [batch, blocks].
    """
    if block <= 1:
        return features, valid
    missing = -features.shape[1] % block
    features, valid = F.pad(features, (0, 0, 0, missing)), F.pad(valid, (0, missing))
    counted = valid.unflatten(1, (-1, block)).sum(2)
    means = features.unflatten(1, (-1, block)).sum(2) / counted.clamp(min=1).unsqueeze(-1)
    return means, counted > 0


class StepSequences(nn.Module):
    """Each modality as a sequence of vectors of one width.

    Waveforms, and media of which an encoder that is trained along makes one vector, are one step: an embedding of mmbench's
    encoder, brought to the width by a linear layer. All others are read step by step by a module of their own, media as that
    encoder's states.

    Attributes:
        names: of the modalities, in order.
        vectors: those that are one step.
        raw: those whose batches hold no features, so that no step of them can be lost or rebuilt as one.
        planned: modality -> steps that its training data have here; 0 where that is not known.
    """

    def __init__(
        self,
        spec: Spec,
        params: SharedNetworkParams,
        width: int,
        make: Callable[[str, int], nn.Module],
        most_steps: int = 0,
    ) -> None:
        """Builds the modules.

        Args:
            spec: names the modalities.
            params: sizes of mmbench's encoders.
            width: of a step of every sequence.
            make: name and features of a modality -> what maps [batch, time, feature] and [batch, time] (valid steps,
                which come first) to [batch, time, width].
            most_steps: longer series are averaged over blocks, to so many steps; 0 for never.
        """
        super().__init__()
        self.names = tuple(spec.modalities)
        own = embedding_width(spec, params.width)
        self.encoders = encoders(spec, own, params.layers, params.released_encoder)
        self.vectors, self.raw = self.encoders.vectors, self.encoders.raw
        self.adapt = nn.ModuleDict()
        self.blocks, self.planned = {}, {}
        for i, name in enumerate(self.names):
            steps = steps_of(spec, name)
            self.blocks[name] = block_length(steps, most_steps)
            self.planned[name] = 1 if name in self.vectors else -(-steps // self.blocks[name])
            if name in self.vectors:
                self.adapt[str(i)] = nn.Linear(own, width)
            else:
                self.encoders.read_steps(name, make(name, self.encoders.read[name]))

    def forward(self, modality: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """The sequence of one modality, its valid steps first, and which they are.

        Args:
            modality: its name.
            batch: the samples.

        Returns:
            [batch, time, width], 0 at steps that are not valid, and [batch, time].
        """
        place = self.names.index(modality)
        features, valid = self.encoders.inputs(batch, modality)
        if modality in self.vectors:
            made = self.adapt[str(place)](self.encoders(modality, features, valid)).unsqueeze(1)
            valid = valid.any(dim=1, keepdim=True)
        else:
            clean, valid = valid_first(features, valid)
            clean = clean.to(next(self.parameters()).dtype)
            clean, valid = block_means(clean, valid, self.blocks[modality])
            made = self.encoders.parts[place](clean, valid)
        return made.where(valid.unsqueeze(-1), 0), valid


class StepConvolution(nn.Module):
    """A convolution over steps that keeps their number, with dropout before it; with ``kernel`` 1 a linear layer."""

    def __init__(
        self, features: int, width: int, kernel: int = 1, *, bias: bool = True, rate: float = 0.0
    ) -> None:
        """Builds it.

        Args:
            features: of a step.
            width: of what is made of it.
            kernel: steps that are read at once, odd.
            bias: whether there is one.
            rate: of dropout of what goes in.
        """
        super().__init__()
        self.rate = rate
        self.conv = nn.Conv1d(features, width, kernel, padding=kernel // 2, bias=bias)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """[batch, time, feature] and [batch, time] -> [batch, time, width].

        Args:
            features: 0 at steps that are not valid.
            valid: the valid steps, which come first.
        """
        clean = F.dropout(features, self.rate, self.training)
        return self.conv(clean.transpose(1, 2)).transpose(1, 2)


def dominant_of(spec: Spec, asked: str) -> str:
    """The modality that leads the others: what is asked for, else the text, else the first.

    Args:
        spec: names the modalities.
        asked: a name; empty where nothing is asked for.

    Raises:
        ValueError: no modality has that name.
    """
    names = tuple(spec.modalities)
    if asked and asked not in names:
        raise ValueError(f"dominant is {asked!r}: it should be one of {', '.join(names)}")
    return asked or ("text" if "text" in names else names[0])
