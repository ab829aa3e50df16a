"""An encoder of raw media as a part of a method, trained along with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...datasets.batch import Tuned
from ...datasets.encoders.encoder import Media
from ...datasets.encoders.spec import parse
from ...datasets.encoders.table import make
from ...datasets.encoders.tuning import Trained
from ...datasets.word_joins import text_of_words

#: Clips that are encoded at once where no gradient is wanted.
CLIPS = 16


class MediaEncoder(nn.Module):
    """Raw media of one modality -> an embedding: the encoder, a layer norm in place of standardised features, and
    what reads sequences of features.

    Attributes:
        media: the encoder. Its parameters are recognised by this name and have a learning rate of their own.
        sequence: [batch, time, feature] and [batch, time] -> [batch, width].
    """

    def __init__(self, tuned: Tuned, sequence: nn.Module) -> None:
        super().__init__()
        encoder = make(parse(tuned.encoder), torch.device("cpu"))
        self.media = Trained(encoder, tuned.mode, tuned.rank, tuned.checkpointing)  # type: ignore[arg-type]
        self.norm = nn.LayerNorm(self.media.width, elementwise_affine=False)
        self.sequence = sequence

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encodes.

        Args:
            features: raw media, as a batch holds them.
            valid: [batch, time], bool.

        Returns:
            [batch, width].
        """
        size = len(features) if torch.is_grad_enabled() else CLIPS
        parts = [
            self._part(features[first : first + size], valid[first : first + size])
            for first in range(0, len(features), max(size, 1))
        ]
        return torch.cat(parts)

    def _part(self, features: Tensor, valid: Tensor) -> Tensor:
        there = valid.any(dim=1)
        if not bool(there.any()):  # nothing to encode: the sequence reads an empty one
            blank = features.new_zeros(len(features), 1, self.media.width, dtype=torch.float32)
            return self.sequence(blank, there[:, None])
        encoded = self.media(self._media(features[there], valid[there]))
        steps = torch.arange(encoded.features.shape[1], device=valid.device) < encoded.length[:, None]
        whole = encoded.features.new_zeros(len(features), *encoded.features.shape[1:])
        whole[there] = self.norm(encoded.features)
        mask = torch.zeros(whole.shape[:2], dtype=torch.bool, device=valid.device)
        mask[there] = steps
        return self.sequence(whole, mask)

    def _media(self, features: Tensor, valid: Tensor) -> Media:
        if self.media.medium == "text":
            words = features * valid[..., None]
            return Media(texts=[text_of_words(row) for row in words.tolist()])
        values = features.float() / 255 if features.dtype == torch.uint8 else features.float()
        mask = valid.reshape(*valid.shape, *[1] * (values.ndim - 2))
        return Media(torch.where(mask, values, 0.0), valid)
