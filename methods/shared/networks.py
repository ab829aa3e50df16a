"""The networks that methods share: one sequence encoder a modality, and a fusion head (late fusion).

Every method is given the same encoder and the same head by default, so that a difference between two methods
is a difference between their ideas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ...datasets.batch import Batch, Spec
from ..method import fixed
from .batch_norm import on_known
from .waveform import WAVEFORM_WIDTH, WaveformEncoder

WIDTH = 40  # of an embedding; MMDG-Bench (arXiv 2605.06643), sentiment backbone
LAYERS = 5
HEADS = 8
#: Bytes of a layer's attention weights on a CPU, which keeps several such arrays for every layer in training: longer
#: sequences are taken in fewer samples at once, and computed again for the gradient.
ATTENTION_BYTES = 256 << 20


@dataclass(frozen=True)
class SharedNetworkParams:
    """The size of the shared network. The ``Params`` of a method that uses it derive from this."""

    width: int = fixed(40, source="MMDG-Bench, late fusion")
    layers: int = fixed(5, source="MMDG-Bench, late fusion")
    released_encoder: bool = fixed(
        False,
        source="MMDG-Bench 2.3, sentiment: positions count from 1, the projection starts as a convolution's",
        since="0.2",
    )


def outputs(spec: Spec) -> int:
    """The number of outputs of a prediction head: the classes, or one score."""
    return spec.classes if spec.kind == "classification" else 1


def as_prediction(raw: Tensor, spec: Spec) -> Tensor:
    """Raw outputs [batch, outputs] in the shape of a prediction: [batch, classes] or [batch]."""
    return raw if spec.kind == "classification" else raw.squeeze(-1)


def valid_steps(batch: Batch, modality: str) -> Tensor:
    """[batch, time] bool: the steps that hold data of a modality that is present."""
    return batch.mask[modality] & batch.present[modality].unsqueeze(-1)


def available(batch: Batch, modality: str) -> Tensor:
    """[batch] bool: whether the sample has the modality, that is, at least one step of it."""
    return valid_steps(batch, modality).any(dim=-1)


def known_modalities(batch: Batch, names: Sequence[str]) -> Tensor:
    """[batch, modality] bool: which of the modalities each sample has."""
    return torch.stack([available(batch, name) for name in names], dim=1)


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Sinusoidal position codes (Vaswani et al. 2017, section 3.5), sines first, then cosines.

    Args:
        positions: [...], integer.
        width: even.

    Returns:
        [..., width], float32.
    """
    half = torch.arange(width // 2, device=positions.device, dtype=torch.float32)
    frequency = torch.exp(-math.log(10000.0) * half / max(width // 2 - 1, 1))
    angle = positions.to(torch.float32).unsqueeze(-1) * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class SequenceEncoder(nn.Module):
    """A pre-norm transformer over the steps of one modality, read at its first step.

    After the late-fusion backbone of MMDG-Bench: projection to ``width`` scaled by sqrt(width), sinusoidal
    positions, embedding dropout, ``layers`` pre-norm layers with ReLU, a final layer norm.

    The benchmark's own backbone attends to padding. Here padding is masked, positions count from the first
    valid step, and that step is read, so that neither the amount of padding nor its side matters.
    ``mask_padding=False`` restores the benchmark's behaviour, with zeros in the padded steps. ``released`` restores
    two of its details: positions count from 1, and the projection starts as torch starts a convolution, not by
    Xavier's rule with zeros as bias.
    """

    def __init__(
        self,
        features: int,
        width: int = WIDTH,
        layers: int = LAYERS,
        heads: int = HEADS,
        dropout: float = 0.1,
        embedding_dropout: float = 0.25,
        mask_padding: bool = True,
        released: bool = False,
    ) -> None:
        super().__init__()
        if width % 2 or width % heads:
            raise ValueError(f"width {width} must be even and divisible by {heads} heads")
        self.width = width
        self.heads = heads
        self.mask_padding = mask_padding
        self.first_position = int(released)
        self.project = nn.Linear(features, width)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, activation="relu", batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(width)
        self.transformer = nn.TransformerEncoder(layer, layers, norm=norm, enable_nested_tensor=False)
        # nn.TransformerEncoder copies one layer: without this, all layers would start as the same function.
        for name, parameter in self.named_parameters():
            if released and name.startswith("project."):
                continue  # torch starts a linear layer as a convolution of one step
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encodes; a sample without a valid step gets a finite embedding that depends on nothing of it.

        Args:
            features: [batch, time, feature] of any float type; what lies at invalid steps is never read.
            valid: [batch, time], bool.

        Returns:
            [batch, width].
        """
        # where, not multiplication: 0 * NaN is NaN.
        clean = torch.where(valid.unsqueeze(-1), features, 0).to(self.project.weight.dtype)
        if self.mask_padding:
            first = valid.to(torch.int8).argmax(dim=1)  # 0 for a row without a valid step
            rows = torch.arange(len(valid), device=valid.device)
            ignore = ~valid
            ignore[rows, first] = False  # a softmax over nothing is NaN, so an empty row reads one zero step
            positions = (torch.arange(valid.shape[1], device=valid.device) - first.unsqueeze(1)).clamp(min=0)
        else:
            first, rows, ignore = 0, slice(None), None
            positions = torch.arange(valid.shape[1], device=valid.device)
        steps = self.project(clean) * math.sqrt(self.width)
        codes = sinusoids(positions + self.first_position, self.width)
        steps = self.embedding_dropout(steps + codes.to(steps.dtype))
        with _same_path_as_in_training():
            return self._attend(steps, ignore)[rows, first]

    def _attend(self, steps: Tensor, ignore: Tensor | None) -> Tensor:
        """The transformer. In training on a CPU it keeps to ``ATTENTION_BYTES``; a GPU never holds attention weights.

        Args:
            steps: [batch, time, width].
            ignore: [batch, time] bool, the padded steps; None where they are not masked.

        Returns:
            [batch, time, width].
        """
        of_sample = 4 * self.heads * steps.shape[1] ** 2
        at_once = max(ATTENTION_BYTES // of_sample, 1)
        if steps.device.type != "cpu" or not torch.is_grad_enabled() or len(steps) <= at_once:
            return self.transformer(steps, src_key_padding_mask=ignore)
        spans = [slice(first, first + at_once) for first in range(0, len(steps), at_once)]
        for layer in self.transformer.layers:
            parts: list[Tensor] = []
            for span in spans:
                mask = None if ignore is None else ignore[span]
                part = checkpoint(layer, steps[span], src_key_padding_mask=mask, use_reentrant=False)
                parts.append(cast(Tensor, part))
            steps = torch.cat(parts)
        return norm(steps) if (norm := self.transformer.norm) else steps


@contextmanager
def _same_path_as_in_training() -> Iterator[None]:
    """Turns off torch's fused path for evaluation: on a CPU it is slower and takes many times the memory."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


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

    def forward(self, fused: Tensor) -> Tensor:
        """[batch, features] -> [batch, outputs]."""
        hidden = F.relu(self.reduce(fused))
        return self.out(hidden + self.outer(F.relu(self.inner(hidden))))


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


def encoders(spec: Spec, width: int = WIDTH, layers: int = LAYERS, released: bool = False) -> PerModality:
    """The encoder of each modality: a ``WaveformEncoder`` for ``cnn1d``, else a ``SequenceEncoder``.

    Where an encoder of raw media is trained along, it stands before the ``SequenceEncoder``. Under the protocol
    ``as-published`` padding is not masked (see ``SequenceEncoder``).

    Args:
        spec: modalities with their feature sizes and encoders, and the protocol.
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
        if name not in spec.tuned:
            return SequenceEncoder(features, width, layers, mask_padding=masked, released=released)
        from .media_encoder import MediaEncoder  # brings the libraries of raw media

        # padded to the longest clip of a batch: read, it would make a clip depend on its batch
        return MediaEncoder(spec.tuned[name], SequenceEncoder(features, width, layers, released=released))

    return PerModality(spec, make)


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
