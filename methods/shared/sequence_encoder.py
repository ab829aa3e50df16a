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
from torch.utils.checkpoint import checkpoint

from .dropout import dropout

WIDTH = 40  # of an embedding; MMDG-Bench (arXiv 2605.06643), sentiment backbone
LAYERS = 5
HEADS = 8
#: Bytes of a layer's attention weights on a CPU, which keeps several such arrays for every layer in training: longer
#: sequences are taken in fewer samples at once, and computed again for the gradient.
ATTENTION_BYTES = 256 << 20
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
        ignored: [modality * batch, 1, 1, time], 0 at steps and -inf after the last; None where there is none.
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
        steps = encoder.project(_rows(values, mask, at).to(encoder.project.weight.dtype))
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
    after = torch.arange(time, device=count.device) >= count.view(-1, 1, 1, 1)
    ignored = torch.zeros(after.shape, dtype=values.dtype, device=after.device).masked_fill(after, -math.inf)
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


def _rows(features: Tensor, valid: Tensor, at: Tensor) -> Tensor:
    """The features at some steps, zeros where a step is not valid (0 * NaN would be NaN).

    Args:
        features: [batch, time, feature].
        valid: [batch, time].
        at: [rows], places in [batch * time].
    """
    flat = features.flatten(0, 1)
    good = valid.flatten().index_select(0, at)
    if bool(good.all()):
        return flat if len(at) == len(flat) else flat.index_select(0, at)
    rows = good.nonzero().squeeze(1)
    return flat.new_zeros(len(at), flat.shape[1]).index_copy(0, rows, flat.index_select(0, at[rows]))


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
    layers = list(zip(*(encoder.transformer.layers for encoder in encoders), strict=True))
    for number, parts in enumerate(layers):
        layer = cast(tuple[nn.TransformerEncoderLayer, ...], parts)
        attention = [part.self_attn for part in layer]
        weight, bias = _after_norm(
            [part.norm1 for part in layer],
            _stack([part.in_proj_weight for part in attention]),
            _stack([part.in_proj_bias for part in attention]),
        )
        normed = _normalize(values)
        width = values.shape[-1]
        if number < len(layers) - 1:
            queries, keys = steps.padded(_linear(normed, weight, bias)).split([width, 2 * width], dim=-1)
            attended = steps.packed(_attend(queries, keys, steps.ignored, one.heads, rate, training))
        else:  # the last: only the step that is read asks
            values, asking = steps.read(values), steps.read(normed)
            queries = _linear(asking, weight[:, :width], bias[:, :width]).flatten(0, 1).unsqueeze(1)
            keys = steps.padded(_linear(normed, weight[:, width:], bias[:, width:]))
            attended = _attend(queries, keys, steps.ignored, one.heads, rate, training).view_as(values)
        projected = _linear(attended, *_weights([part.out_proj for part in attention]))
        values = values + dropout(projected, rate, training)
        weight, bias = _weights([part.linear1 for part in layer])
        hidden = _linear(_normalize(values), *_after_norm([part.norm2 for part in layer], weight, bias))
        hidden = dropout(F.relu(hidden), rate, training)
        hidden = _linear(hidden, *_weights([part.linear2 for part in layer]))
        values = values + dropout(hidden, rate, training)
    if not layers:
        values = steps.read(values)
    norms = [cast(nn.LayerNorm, encoder.transformer.norm) for encoder in encoders]
    scale, shift = _weights(norms)
    return _normalize(values) * scale.unsqueeze(1) + shift.unsqueeze(1)


def _attend(
    queries: Tensor, keys: Tensor, ignored: Tensor | None, heads: int, rate: float, training: bool
) -> Tensor:
    """Attention of several heads. In training on a CPU, which keeps its weights, it keeps to ``ATTENTION_BYTES``.

    Args:
        queries: [rows, asking, width].
        keys: [rows, time, 2 * width], keys and values.
        ignored: [rows, 1, 1, time], added to what is compared; or None.
        heads: how many.
        rate: of the dropout of the weights.
        training: whether there is dropout.

    Returns:
        [rows, asking, width].
    """
    query = queries.unflatten(-1, (heads, -1)).transpose(1, 2)
    key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in keys.chunk(2, dim=-1))
    if query.device.type != "cpu" or not torch.is_grad_enabled():
        share = rate if training else 0.0
        return _joined(F.scaled_dot_product_attention(query, key, value, ignored, share))

    def weigh(query: Tensor, key: Tensor, value: Tensor, ignored: Tensor | None) -> Tensor:
        alike = (query / math.sqrt(query.shape[-1])) @ key.transpose(-1, -2)
        weights = (alike if ignored is None else alike + ignored).softmax(-1)
        return dropout(weights, rate, training) @ value

    of_row = 4 * heads * query.shape[2] * key.shape[2]
    at_once = max(ATTENTION_BYTES // of_row, 1)
    if len(query) <= at_once:
        return _joined(weigh(query, key, value, ignored))
    masks = [None] * len(query) if ignored is None else ignored.split(at_once)
    parts = [
        cast(Tensor, checkpoint(weigh, *part, use_reentrant=False))
        for part in zip(query.split(at_once), key.split(at_once), value.split(at_once), masks, strict=False)
    ]
    return _joined(torch.cat(parts))


def _joined(heads: Tensor) -> Tensor:
    """[rows, head, asking, width of a head] -> [rows, asking, width]."""
    return heads.transpose(1, 2).flatten(2)


def _normalize(values: Tensor) -> Tensor:
    """The layer norm without its weights, which ``_after_norm`` puts into the linear layer that follows."""
    return F.layer_norm(values, values.shape[-1:])


def _linear(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """[modality, n, in], [modality, out, in] and [modality, out] -> [modality, n, out]."""
    return torch.baddbmm(bias.unsqueeze(1), values, weight.transpose(1, 2))


def _after_norm(norms: Sequence[nn.LayerNorm], weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of a linear layer behind layer norms, whose own weights they take in.

    Args:
        norms: one for each modality.
        weight: [modality, out, in].
        bias: [modality, out].
    """
    scale, shift = _weights(norms)
    return weight * scale.unsqueeze(1), torch.baddbmm(
        bias.unsqueeze(-1), weight, shift.unsqueeze(-1)
    ).squeeze(-1)


def _weights(layers: Sequence[nn.Linear] | Sequence[nn.LayerNorm]) -> tuple[Tensor, Tensor]:
    """The stacked weights and biases of one layer of each modality."""
    return _stack([layer.weight for layer in layers]), _stack([layer.bias for layer in layers])


def _stack(tensors: Sequence[Tensor]) -> Tensor:
    """[modality, ...], without a copy where there is one modality."""
    return tensors[0].unsqueeze(0) if len(tensors) == 1 else torch.stack(list(tensors))
