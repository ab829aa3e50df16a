"""An encoder of raw media, or of the token ids of a text, as a part of a method, trained along with it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Tuned
from ...datasets.encoders.encoder import Media
from ...datasets.encoders.spec import parse
from ...datasets.encoders.table import make
from ...datasets.encoders.tuning import Trained
from ...datasets.tokens import Tokens
from ...datasets.word_joins import text_of_words

#: Clips that are encoded at once where no gradient is wanted.
CLIPS = 16


class MediaEncoder(nn.Module):
    """Raw media of one modality, or its token ids -> an embedding: the encoder, a layer norm in place of standardised features,
    and what reads sequences of features. A method that reads steps takes the ``states`` alone.

    Attributes:
        media: the encoder. Its parameters are recognised by this name and have a learning rate of their own.
        sequence: [batch, time, feature] and [batch, time] -> [batch, width].
    """

    def __init__(self, tuned: Tuned, sequence: nn.Module) -> None:
        super().__init__()
        encoder = make(parse(tuned.encoder), torch.device("cpu"))
        self.reads_tokens = tuned.reads_tokens
        self.media = Trained(encoder, tuned.mode, tuned.rank, tuned.checkpointing)  # type: ignore[arg-type]
        self.norm = nn.LayerNorm(self.media.width, elementwise_affine=False)
        self.sequence = sequence

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encodes.

        Args:
            features: raw media, as a batch holds them; or ids and segments of tokens, [batch, positions, 2], int64.
            valid: [batch, time], bool; [batch, positions], the tokens that are read.

        Returns:
            [batch, width].
        """
        return torch.cat([self.sequence(*part) for part in self._parts(features, valid)])

    def states(self, features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder says at each step: of a text at its tokens, special ones included.

        Args:
            features: as of ``forward``.
            valid: [batch, time], bool, the tokens, words, frames or values of sound that are there.

        Returns:
            [batch, step, feature], float32, 0 at steps that are not real, and which are, [batch, step]. There are as many steps
            as the longest sample of the batch has; a sample without the modality has no real one.
        """
        parts = list(self._parts(features, valid))
        longest = max(mask.shape[1] for _, mask in parts)
        mask = torch.cat([F.pad(mask, (0, longest - mask.shape[1])) for _, mask in parts])
        states = torch.cat([F.pad(made, (0, 0, 0, longest - made.shape[1])) for made, _ in parts])
        return states.where(mask.unsqueeze(-1), 0), mask

    def _parts(self, features: Tensor, valid: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The states of all clips at once, or of some at a time where no gradient is wanted."""
        size = len(features) if torch.is_grad_enabled() else CLIPS
        for first in range(0, len(features), max(size, 1)):
            yield self._encode(features[first : first + size], valid[first : first + size])

    def _encode(self, features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        there = valid.any(dim=1)
        if not bool(there.any()):  # nothing to encode: what reads the states reads an empty sequence
            blank = features.new_zeros(len(features), 1, self.media.width, dtype=torch.float32)
            return blank, there[:, None]
        encoded = self.media(self._media(features[there], valid[there]))
        steps = torch.arange(encoded.features.shape[1], device=valid.device) < encoded.length[:, None]
        whole = encoded.features.new_zeros(len(features), *encoded.features.shape[1:])
        whole[there] = self.norm(encoded.features)
        mask = torch.zeros(whole.shape[:2], dtype=torch.bool, device=valid.device)
        mask[there] = steps
        return whole, mask

    def _media(self, features: Tensor, valid: Tensor) -> Media:
        if self.reads_tokens:
            return Media(tokens=Tokens(features[..., 0], valid, features[..., 1]))
        if self.media.medium == "text":
            words = features * valid[..., None]
            return Media(texts=[text_of_words(row) for row in words.tolist()])
        values = features.float() / 255 if features.dtype == torch.uint8 else features.float()
        mask = valid.reshape(*valid.shape, *[1] * (values.ndim - 2))
        return Media(torch.where(mask, values, 0.0), valid)
