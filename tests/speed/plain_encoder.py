"""The sequence encoder as torch's own modules compute it: one modality after the other, padding and all.

It has the weights of a ``SequenceEncoder`` and is what that is compared with, in its results and its speed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmbench.methods.shared.sequence_encoder import SequenceEncoder, sinusoids
from torch import Tensor
from torch.nn import functional as F


def plain(encoder: SequenceEncoder, features: Tensor, valid: Tensor) -> Tensor:
    """The embeddings [batch, width] of a modality.

    Args:
        encoder: its weights, and whether it is in training.
        features: [batch, time, feature].
        valid: [batch, time], bool.
    """
    clean = torch.where(valid.unsqueeze(-1), features, 0).to(encoder.project.weight.dtype)
    rows = torch.arange(len(valid))
    first, ignore = torch.zeros(len(valid), dtype=torch.int64), None
    if encoder.mask_padding:
        first = valid.to(torch.int8).argmax(dim=1)
        ignore = ~valid
        ignore[rows, first] = False  # a softmax over nothing is NaN
    positions = (torch.arange(valid.shape[1]) - first.unsqueeze(1)).clamp(min=0)
    steps = encoder.project(clean) * math.sqrt(encoder.width) + sinusoids(positions, encoder.width)
    steps = F.dropout(steps, encoder.embedding_dropout, encoder.training)
    with _no_fast_path():
        return encoder.transformer(steps, src_key_padding_mask=ignore)[rows, first]


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Turns off torch's fused path for evaluation: on a CPU it is slower."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
