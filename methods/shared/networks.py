"""The networks that methods share: one sequence encoder a modality, and a fusion head (late fusion).

Every method is given the same encoder and the same head by default, so that a difference between two methods
is a difference between their ideas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..method import fixed
from .batch_norm import on_known
from .sequence_encoder import LAYERS, WIDTH, SequenceEncoder, encode_together
from .series_encoder import SeriesEncoder
from .vector_encoder import VectorEncoder
from .waveform import WAVEFORM_WIDTH, WaveformEncoder

if TYPE_CHECKING:  # it brings the libraries of raw media
    from .media_encoder import MediaEncoder


@dataclass(frozen=True)
class SharedNetworkParams:
    """The size of the shared network. The ``Params`` of a method that uses it derive from this.

    ``width`` is that of an embedding, whatever gives it; ``layers`` those of a ``SequenceEncoder``.
    """

    width: int = fixed(40, least=1, source="MMDG-Bench, late fusion")
    layers: int = fixed(5, least=0, source="MMDG-Bench, late fusion")
    released_encoder: bool = fixed(
        False,
        source="MMDG-Bench 2.3, sentiment: positions count from 1, the projection starts as a convolution's",
        since="0.2",
    )

    def __post_init__(self) -> None:
        # A network of no width trains, and answers the same for all samples.
        if self.width < 1 or self.layers < 0:
            raise ValueError(
                f"width is {self.width} and layers is {self.layers}: 1 or more, and 0 or more, are expected"
            )


def outputs(spec: Spec) -> int:
    """The number of outputs of a prediction head: the classes or labels, or one score."""
    return 1 if spec.kind == "regression" else spec.classes


def as_prediction(raw: Tensor, spec: Spec) -> Tensor:
    """Raw outputs in the shape of a prediction.

    Args:
        raw: [..., outputs].
        spec: of the task.

    Returns:
        [..., classes] logits as they are, or [...] scores.
    """
    return raw.squeeze(-1) if spec.kind == "regression" else raw


def valid_steps(batch: Batch, modality: str) -> Tensor:
    """The steps that hold data of a modality that is present.

    Args:
        batch: the samples.
        modality: its name.

    Returns:
        [batch, time], bool.
    """
    return batch.mask[modality] & batch.present[modality].unsqueeze(-1)


def available(batch: Batch, modality: str) -> Tensor:
    """Whether the samples have a modality, that is, at least one step of it.

    Args:
        batch: the samples.
        modality: its name.

    Returns:
        [batch], bool.
    """
    return valid_steps(batch, modality).any(dim=-1)


def known_modalities(batch: Batch, names: Sequence[str]) -> Tensor:
    """Which modalities each sample has.

    Args:
        batch: the samples.
        names: of the modalities, in order.

    Returns:
        [batch, modality], bool.
    """
    return torch.stack([available(batch, name) for name in names], dim=1)


class FusionHead(nn.Module):
    """From the concatenated embeddings to the outputs: linear, ReLU, one residual block, linear.

    The head of MMDG-Bench's late fusion (120 -> 40 -> residual -> outputs with three modalities).
    """

    def __init__(self, features: int, width: int, outputs: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(features, width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.out = nn.Linear(width, outputs)

    def hidden(self, fused: Tensor) -> Tensor:
        """[batch, features] -> [batch, width], what the last layer reads."""
        hidden = F.relu(self.reduce(fused))
        return hidden + self.outer(F.relu(self.inner(hidden)))

    def forward(self, fused: Tensor) -> Tensor:
        """[batch, features] -> [batch, outputs]."""
        return self.out(self.hidden(fused))


class PerModality(nn.Module):
    """One module for each modality, found by the modality's name, whatever characters that holds."""

    def __init__(self, spec: Spec, make: Callable[[int], nn.Module]) -> None:
        """Builds the modules.

        Args:
            spec: names the modalities.
            make: the number of features of a modality -> its module; called in the order of the modalities.
        """
        super().__init__()
        self.names = tuple(spec.modalities)
        self.parts = nn.ModuleList(make(features) for features in spec.modalities.values())

    def forward(self, modality: str, *inputs: Tensor) -> Tensor:
        """The output of the modality's own module.

        Args:
            modality: its name.
            inputs: of the module.
        """
        return self.parts[self.names.index(modality)](*inputs)

    def parameters_of(self, modality: str) -> list[nn.Parameter]:
        """The parameters of a modality's own network."""
        return list(self.parts[self.names.index(modality)].parameters())


class Encoders(PerModality):
    """The encoder of each modality; those that are alike are computed as one (``encode_together``).

    The encoder of a modality that is partly observed reads, beside the features, which of them were observed.

    Attributes:
        partly_observed: those modalities.
        read: modality -> numbers in a step that its encoder reads.
        raw: the modalities whose batches hold no features (``is_raw``).
        vectors: those of them that have mmbench's encoder in every method (``is_vector``).
        trained: number of a modality -> its encoder of raw media, of those of which a method reads each step.
        by_tokens: the modalities whose encoder reads their token ids, and not their features.
    """

    def __init__(self, spec: Spec, make: Callable[[int], nn.Module]) -> None:
        """Builds the encoders.

        Args:
            spec: names the modalities.
            make: the number of features that an encoder reads -> the encoder; called in the order of the modalities.
        """
        read = {name: width * _times_read(spec, name) for name, width in spec.modalities.items()}
        super().__init__(replace(spec, modalities=read), make)
        self.read = read
        self.raw = tuple(name for name in self.names if is_raw(spec, name))
        self.vectors = tuple(name for name in self.names if is_vector(spec, name))
        self.trained = nn.ModuleDict()
        self.by_tokens = tuple(
            name for name in self.names if name in spec.tuned and spec.tuned[name].reads_tokens
        )
        self.partly_observed = tuple(name for name in self.names if _times_read(spec, name) == 2)

    def read_steps(self, modality: str, reader: nn.Module) -> None:
        """Has a module of the method's own read the steps of a modality, in the place of mmbench's encoder.

        Where an encoder of raw media is trained along, it stays: ``inputs`` then gives what it says at each step.

        Args:
            modality: its name; none of ``vectors``.
            reader: of [batch, time, ``read``].
        """
        place = self.names.index(modality)
        if modality in self.raw:
            encoder = cast("MediaEncoder", self.parts[place])
            encoder.sequence = nn.Identity()
            self.trained[str(place)] = encoder
        self.parts[place] = reader

    def parameters_of(self, modality: str) -> list[nn.Parameter]:
        """The parameters of a modality's own network, with those of its encoder of raw media."""
        place = str(self.names.index(modality))
        before = self.trained[place].parameters() if place in self.trained else ()
        return [*before, *super().parameters_of(modality)]

    def inputs(self, batch: Batch, modality: str) -> tuple[Tensor, Tensor]:
        """What the encoder of a modality reads.

        Args:
            batch: the samples.
            modality: its name.

        Returns:
            Features [batch, time, feature], followed by which of them were observed where it reads that; and the valid steps,
            [batch, time]. Of raw media the encoder itself reads, it is these, and with ``read_steps`` its states. Of token
            ids, these and their segments [batch, positions, 2], and the tokens that are read.
        """
        if modality in self.by_tokens:
            tokens = batch.token_ids(modality)
            features, valid = torch.stack([tokens.ids, tokens.segment], dim=-1), tokens.mask
        else:
            features, valid = batch.features[modality], valid_steps(batch, modality)
        if (place := str(self.names.index(modality))) in self.trained:
            return cast("MediaEncoder", self.trained[place]).states(features, valid)
        if modality not in self.partly_observed:
            return features, valid
        observed = batch.observed_entries(modality)
        return torch.cat([features.where(observed, 0), observed.to(features.dtype)], dim=-1), valid

    def encode(self, modality: str, batch: Batch) -> Tensor:
        """The embedding [batch, width] of one modality.

        Args:
            modality: its name.
            batch: the samples.
        """
        return self(modality, *self.inputs(batch, modality))

    def together(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The embeddings [batch, width] of several modalities, as each encoder alone gives them but for rounding.

        Args:
            batch: the samples.
            modalities: those that are encoded; by default all.
        """
        chosen = modalities or self.names
        parts = {name: self.parts[self.names.index(name)] for name in chosen}
        alike = {name: part for name, part in parts.items() if isinstance(part, SequenceEncoder)}
        inputs = {name: self.inputs(batch, name) for name in chosen}
        sequences = encode_together(
            list(alike.values()), [inputs[name][0] for name in alike], [inputs[name][1] for name in alike]
        )
        found = dict(zip(alike, sequences, strict=True))
        return {name: found[name] if name in found else part(*inputs[name]) for name, part in parts.items()}


def is_raw(spec: Spec, modality: str) -> bool:
    """Whether the batches of a modality hold no features, but waveforms, or media whose encoder is trained along.

    Args:
        spec: of the task.
        modality: its name.
    """
    return modality in spec.tuned or spec.encoders.get(modality) == "cnn1d"


def is_vector(spec: Spec, modality: str) -> bool:
    """Whether methods read a modality as one vector, an embedding of mmbench's encoder, and never its steps.

    Args:
        spec: of the task.
        modality: its name.

    Returns:
        True of waveforms, and of media whose encoder is trained along and makes one vector of a clip.
    """
    return is_raw(spec, modality) and steps_of(spec, modality) <= 1


def steps_of(spec: Spec, modality: str) -> int:
    """The steps that a method reads of a modality: of the training data, padding included; 0 where they are not known.

    Args:
        spec: of the task.
        modality: its name; of media whose encoder is trained along, it is that encoder's steps.
    """
    tuned = spec.tuned.get(modality)
    if tuned is not None:
        return tuned.steps
    return 0 if spec.encoders.get(modality) == "cnn1d" else spec.steps.get(modality, 0)


def _times_read(spec: Spec, modality: str) -> int:
    """How often an encoder reads the features of a step: twice where it also reads which were observed. Waveforms and raw
    media have no such entries."""
    return 2 if modality in spec.partly_observed and not is_raw(spec, modality) else 1


class Stacked(nn.Module):
    """One module for each modality, each applied to its own slice of [batch, modality, ...]."""

    def __init__(self, modalities: int, make: Callable[[], nn.Module]) -> None:
        """Builds the modules.

        Args:
            modalities: how many.
            make: builds one.
        """
        super().__init__()
        self.parts = nn.ModuleList(make() for _ in range(modalities))

    def forward(self, stacked: Tensor, known: Tensor | None = None) -> Tensor:
        """Applies the modules.

        Args:
            stacked: [batch, modality, inputs].
            known: [batch, modality], bool: the rows that the modules see, for modules that normalise over the batch.

        Returns:
            [batch, modality, outputs], 0 where a row is not ``known``.
        """
        if known is None:
            return torch.stack([part(stacked[:, i]) for i, part in enumerate(self.parts)], dim=1)
        said = [on_known(part, stacked[:, i], known[:, i]) for i, part in enumerate(self.parts)]
        return torch.stack(said, dim=1)


def encoders(spec: Spec, width: int = WIDTH, layers: int = LAYERS, released: bool = False) -> Encoders:
    """The encoder of each modality, by its shape: a ``VectorEncoder`` for one step, a ``SeriesEncoder`` for several.

    A modality that asks for ``cnn1d`` has a ``WaveformEncoder``. Under the protocol ``as-published`` all others have a
    ``SequenceEncoder``, which does not mask padding there. Under ``fair`` it is what reads modalities whose number of steps
    is not known, those of raw media among them: an encoder of media that is trained along stands before it. Each also reads
    which entries were observed, where ``spec.partly_observed`` names its modality.

    Args:
        spec: modalities with their feature sizes, steps and encoders, and the protocol.
        width: of an embedding.
        layers: of a ``SequenceEncoder``.
        released: as of a ``SequenceEncoder``.
    """
    masked = spec.protocol != "as-published"

    names = iter(spec.modalities)

    def make(features: int) -> nn.Module:
        name = next(names)
        if spec.encoders.get(name) == "cnn1d":
            return WaveformEncoder(features, width)
        steps = spec.steps.get(name, 0) if masked else 0
        if steps and name not in spec.tuned:
            if steps == 1:
                return VectorEncoder(features, width)
            partly = name in spec.partly_observed
            return SeriesEncoder(features, width, steps, partly_observed=partly)
        if name not in spec.tuned:
            return SequenceEncoder(features, width, layers, mask_padding=masked, released=released)
        from .media_encoder import MediaEncoder  # brings the libraries of raw media

        # padded to the longest clip of a batch: read, it would make a clip depend on its batch
        return MediaEncoder(spec.tuned[name], SequenceEncoder(features, width, layers, released=released))

    return Encoders(spec, make)


def embedding_width(spec: Spec, width: int = WIDTH) -> int:
    """The width of a method's embeddings.

    Args:
        spec: where all modalities are waveforms, the width is that of their published network.
        width: of the embeddings of anything else.
    """
    return WAVEFORM_WIDTH if _waveforms(spec) else width


def fusion_head(spec: Spec, width: int) -> nn.Module:
    """[batch, modalities * width] -> [batch, outputs]: the head that was published with the encoders.

    Args:
        spec: a linear layer where all modalities are waveforms, else a ``FusionHead``.
        width: of an embedding.
    """
    features = len(spec.modalities) * width
    return (
        nn.Linear(features, outputs(spec)) if _waveforms(spec) else FusionHead(features, width, outputs(spec))
    )


def single_head(spec: Spec, features: int, width: int) -> nn.Module:
    """[batch, features] -> [batch, outputs], for one modality: of the same kind as ``fusion_head``.

    Args:
        spec: as in ``fusion_head``.
        features: the width of its input.
        width: of a hidden layer, where there is one.
    """
    if _waveforms(spec):
        return nn.Linear(features, outputs(spec))
    return FusionHead(features, width, outputs(spec))


def _waveforms(spec: Spec) -> bool:
    return all(spec.encoders.get(name) == "cnn1d" for name in spec.modalities)
