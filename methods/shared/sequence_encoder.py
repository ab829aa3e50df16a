"""The transformer over the steps of a modality. Several of the same shape are computed as one.

Each modality has an encoder with weights of its own. A batch is computed for all of them together (``encode_together``):
weights are stacked to [modality, ...], valid steps are packed, so that padding costs nothing but in the attention, and
the last layer is computed at the one step that is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import attend
from .dropout import add_dropout, dropout
from .feed_forward import feed_forward, linear

WIDTH = 40  # of an embedding; MMDG-Bench (arXiv 2605.06643), sentiment backbone
LAYERS = 5
HEADS = 8
#: Encoders are computed as one where none has more than so many times the steps of another.
_ALIKE = 1.25


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
        self.dropout = dropout
        self.embedding_dropout = embedding_dropout
        self.mask_padding = mask_padding
        self.first_position = int(released)
        self.project = nn.Linear(features, width)
        # Torch's module holds the parameters; what it would compute, encode_together computes.
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, activation="relu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(
            layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        # nn.TransformerEncoder copies one layer: without this, all layers would start as the same function.
        for name, parameter in self.named_parameters():
            if released and name.startswith("project."):
                continue  # torch starts a linear layer as a convolution of one step
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    @property
    def shape(self) -> tuple[int | float | bool, ...]:
        """What encoders must share to be computed as one."""
        depth = len(self.transformer.layers)
        return self.width, depth, self.heads, self.dropout, self.embedding_dropout, self.training

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encodes; a sample without a valid step gets a finite embedding that depends on nothing of it.

        Args:
            features: [batch, time, feature] of any float type; what lies at invalid steps is never read.
            valid: [batch, time], bool.

        Returns:
            [batch, width].
        """
        return encode_together([self], [features], [valid])[0]


def encode_together(
    encoders: Sequence[SequenceEncoder], features: Sequence[Tensor], valid: Sequence[Tensor]
) -> list[Tensor]:
    """The embeddings of several modalities, as each of their encoders gives them.

    Args:
        encoders: one for each modality.
        features: [batch, time, feature] of each modality; time may differ.
        valid: [batch, time] of each, bool.

    Returns:
        [batch, width] of each.
    """
    embedded: list[Tensor | None] = [None] * len(encoders)
    for places in _alike(encoders, valid):
        chosen = [encoders[place] for place in places]
        packed = _pack(chosen, [features[place] for place in places], [valid[place] for place in places])
        for place, embedding in zip(places, _transform(chosen, packed), strict=True):
            embedded[place] = embedding
    return cast(list[Tensor], embedded)


def _alike(encoders: Sequence[SequenceEncoder], valid: Sequence[Tensor]) -> Iterator[list[int]]:
    """The places of encoders that are computed as one: of the same shape, with about as many steps to read."""
    counts = [int(valid[i].sum()) if one.mask_padding else valid[i].numel() for i, one in enumerate(encoders)]
    order = sorted(range(len(encoders)), key=lambda place: (encoders[place].shape, counts[place]))
    for _, same in groupby(order, key=lambda place: encoders[place].shape):
        group: list[int] = []
        for place in same:
            if group and counts[place] > _ALIKE * max(counts[group[0]], 1):
                yield group
                group = []
            group.append(place)
        yield group


@dataclass(frozen=True)
class _Steps:
    """The steps that are read of some modalities, packed: without the padding between them.

    Attributes:
        values: [modality, steps, width], sample after sample; rows after a modality's last step are zeros.
        place: [modality * steps], int64: where each row lies in [modality * batch * time], the steps of a sample being
            moved to its beginning; rows after the last step have the place behind the end. None where rows lie there
            as they are.
        first: [modality * batch], int64: the row in [modality * steps] of the step of each sample that is read last.
        ignored: [modality * batch, time], bool: the places after the last step of a sample; None where there is none.
        batch, time: the numbers of samples, and of the steps of the longest.
    """

    values: Tensor
    place: Tensor | None
    first: Tensor
    ignored: Tensor | None
    batch: int
    time: int

    def padded(self, packed: Tensor) -> Tensor:
        """[modality, steps, width] -> [modality * batch, time, width]."""
        flat = packed.flatten(0, 1)
        if self.place is not None:
            slots = len(packed) * self.batch * self.time
            flat = flat.new_zeros(slots + 1, flat.shape[1]).index_copy(0, self.place, flat)[:slots]
        return flat.view(-1, self.time, flat.shape[1])

    def packed(self, padded: Tensor) -> Tensor:
        """[modality * batch, time, width] -> [modality, steps, width]; rows after the last step are arbitrary."""
        flat = padded.flatten(0, 1)
        if self.place is not None:
            flat = flat.index_select(0, self.place.clamp(max=len(flat) - 1))
        return flat.view(len(self.values), -1, flat.shape[1])

    def read(self, packed: Tensor) -> Tensor:
        """[modality, steps, width] -> [modality, batch, width], the step of each sample that is read last."""
        return packed.flatten(0, 1).index_select(0, self.first).view(len(packed), self.batch, -1)


def _pack(encoders: Sequence[SequenceEncoder], features: Sequence[Tensor], valid: Sequence[Tensor]) -> _Steps:
    """Projects the steps that are read, and packs them; parameters as in ``encode_together``."""
    projected, samples, counts = [], [], []
    for encoder, values, mask in zip(encoders, features, valid, strict=True):
        read, start = _steps_to_read(mask, encoder.mask_padding)
        at = read.flatten().nonzero().squeeze(1)
        sample, step = at // mask.shape[1], at % mask.shape[1]
        positions = torch.arange(mask.shape[1], device=mask.device) + encoder.first_position
        codes = sinusoids(positions, encoder.width)
        steps = _project(encoder.project, values, mask, at)
        codes = codes.index_select(0, (step - start[sample]).clamp(min=0)).to(steps.dtype)
        projected.append(steps * math.sqrt(encoder.width) + codes)
        samples.append(sample)
        counts.append(read.sum(dim=1))
    rows, batch = max(len(steps) for steps in projected), len(valid[0])
    count = torch.stack(counts)
    time = int(count.max())
    starts = count.cumsum(1) - count
    modality = torch.arange(len(encoders), device=count.device).unsqueeze(1)
    values = torch.stack([F.pad(steps, (0, 0, 0, rows - len(steps))) for steps in projected])
    first = (starts + modality * rows).flatten()
    if int(count.min()) == time:
        return _Steps(values, None, first, None, batch, time)
    places = []
    for i, sample in enumerate(samples):
        rank = torch.arange(len(sample), device=sample.device) - starts[i][sample]
        place = (i * batch + sample) * time + rank
        places.append(F.pad(place, (0, rows - len(place)), value=count.numel() * time))
    ignored = torch.arange(time, device=count.device) >= count.view(-1, 1)
    return _Steps(values, torch.cat(places), first, ignored, batch, time)


def _steps_to_read(valid: Tensor, mask_padding: bool) -> tuple[Tensor, Tensor]:
    """Which steps an encoder reads.

    Args:
        valid: [batch, time], bool.
        mask_padding: whether only valid steps are; then a sample without any reads its very first, as zeros, because a
            softmax over nothing is NaN.

    Returns:
        [batch, time], bool; and the step of each sample from which positions are counted, [batch].
    """
    if not mask_padding:
        return torch.ones_like(valid), torch.zeros(len(valid), dtype=torch.int64, device=valid.device)
    first = valid.to(torch.int8).argmax(dim=1)  # 0 for a row without a valid step
    return valid.scatter(1, first.unsqueeze(1), True), first


def _project(project: nn.Linear, features: Tensor, valid: Tensor, at: Tensor) -> Tensor:
    """The projections [rows, width] of some steps. One that is not valid is read as zeros, of which the bias is left.

    Args:
        project: the linear layer.
        features: [batch, time, feature]; what lies at invalid steps is never read, as 0 * NaN would be NaN.
        valid: [batch, time].
        at: [rows], places in [batch * time].
    """
    flat = features.flatten(0, 1)
    good = valid.flatten().index_select(0, at)
    if bool(good.all()):
        rows = flat if len(at) == len(flat) else flat.index_select(0, at)
        return project(rows.to(project.weight.dtype))
    rows = good.nonzero().squeeze(1)
    projected = F.linear(flat.index_select(0, at[rows]).to(project.weight.dtype), project.weight)
    return projected.new_zeros(len(at), projected.shape[1]).index_copy(0, rows, projected) + project.bias


def _transform(encoders: Sequence[SequenceEncoder], steps: _Steps) -> Tensor:
    """The transformers of encoders of one shape.

    Args:
        encoders: one for each modality.
        steps: of these modalities.

    Returns:
        [modality, batch, width].
    """
    one = encoders[0]
    training, rate = one.training, one.dropout
    values = dropout(steps.values, one.embedding_dropout, training)
    layers = _layers(encoders)
    for number, layer in enumerate(layers):
        weight, bias = layer.entering
        normed = _normalize(values)
        width = values.shape[-1]
        if number < len(layers) - 1:
            asking = steps.padded(linear(normed, weight, bias))
            attended = steps.packed(attend(None, asking, steps.ignored, one.heads, rate, training))
        else:  # the last: only the step that is read asks
            values, asking = steps.read(values), steps.read(normed)
            queries = linear(asking, weight[:, :width], bias[:, :width]).flatten(0, 1).unsqueeze(1)
            keys = steps.padded(linear(normed, weight[:, width:], bias[:, width:]))
            attended = attend(queries, keys, steps.ignored, one.heads, rate, training).view_as(values)
        values = add_dropout(values, linear(attended, *layer.leaving), rate, training)
        values = feed_forward(values, _normalize(values), layer.inner, layer.outer, rate, training)
    if not layers:
        values = steps.read(values)
    norms = [cast(nn.LayerNorm, encoder.transformer.norm) for encoder in encoders]
    scale, shift = _weights(norms)
    return _normalize(values) * scale.unsqueeze(1) + shift.unsqueeze(1)


@dataclass(frozen=True)
class _Layer:
    """Stacked weights [modality, out, in] and biases [modality, out] of a layer's linear layers.

    Attributes:
        entering: to queries, keys and values, behind a layer norm whose weights they hold.
        leaving: from what was attended.
        inner: to the hidden values, likewise behind a layer norm.
        outer: from the hidden values.
    """

    entering: tuple[Tensor, Tensor]
    leaving: tuple[Tensor, Tensor]
    inner: tuple[Tensor, Tensor]
    outer: tuple[Tensor, Tensor]


def _layers(encoders: Sequence[SequenceEncoder]) -> list[_Layer]:
    """The layers of encoders of one shape. All layers are stacked at once, as each operation has a cost of its own."""
    depth = len(encoders[0].transformer.layers)
    if not depth:
        return []
    parts = [
        cast(nn.TransformerEncoderLayer, encoder.transformer.layers[number])
        for number in range(depth)
        for encoder in encoders
    ]
    attention = [part.self_attn for part in parts]
    into_attention = _stack([part.in_proj_weight for part in attention])
    stacked = (
        _after_norm(
            [part.norm1 for part in parts], into_attention, _stack([part.in_proj_bias for part in attention])
        ),
        _weights([part.out_proj for part in attention]),
        _after_norm([part.norm2 for part in parts], *_weights([part.linear1 for part in parts])),
        _weights([part.linear2 for part in parts]),
    )
    each = [zip(*(one.unflatten(0, (depth, -1)).unbind() for one in pair), strict=True) for pair in stacked]
    return [_Layer(*pairs) for pairs in zip(*each, strict=True)]


def _normalize(values: Tensor) -> Tensor:
    """The layer norm without its weights, which ``_after_norm`` puts into the linear layer that follows."""
    return F.layer_norm(values, values.shape[-1:])


def _after_norm(norms: Sequence[nn.LayerNorm], weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of a linear layer behind layer norms, whose own weights they take in.

    Args:
        norms: one for each weight.
        weight: [norm, out, in].
        bias: [norm, out].
    """
    scale, shift = _weights(norms)
    return weight * scale.unsqueeze(1), torch.baddbmm(
        bias.unsqueeze(-1), weight, shift.unsqueeze(-1)
    ).squeeze(-1)


def _weights(layers: Sequence[nn.Linear] | Sequence[nn.LayerNorm]) -> tuple[Tensor, Tensor]:
    """The stacked weights and biases of some layers."""
    return _stack([layer.weight for layer in layers]), _stack([layer.bias for layer in layers])


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """[tensor, ...], without a copy where there is one."""
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(list(tensors))
