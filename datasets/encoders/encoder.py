"""What an encoder is: a frozen network, or a fixed transform, that makes features of decoded media."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ..dataset import DataError
from ..media.clip import Medium, View

if TYPE_CHECKING:  # a spec is read where torch is not wanted
    import torch
    from torch import Tensor

    from ..tokens import Tokens


class EncoderError(DataError):
    """An encoder that cannot be had. The message is one line: what is missing, what to fetch, where to put it."""


@dataclass(frozen=True)
class EncoderSpec:
    """What a user asks for: ``timm:vit_tiny_patch16_224,frames=8,pool=none``.

    Attributes:
        encoder: its name in ``ENCODERS``.
        model: a name that the library knows, or a local folder or file; empty where there is only one.
        options: what else, by name: fields of the encoder's ``Options``.
    """

    encoder: str
    model: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Media:
    """Decoded media of some clips, on one device; one of the three is given.

    Attributes:
        values: frames or flow [batch, time, channel, height, width] in 0 to 1, or sound [batch, time, channel]
            in -1 to 1; float32.
        mask: [batch, time], bool, false where a clip is shorter than the longest.
        texts: the texts, in order.
        tokens: texts as token ids of the encoder's own vocabulary.
    """

    values: Tensor | None = None
    mask: Tensor | None = None
    texts: Sequence[str] = ()
    tokens: Tokens | None = None


@dataclass(frozen=True)
class Encoded:
    """Features [batch, time, feature], float32, and the number of valid steps of each clip [batch], int64."""

    features: Tensor
    length: Tensor


class Encoder(Protocol):
    """An encoder, ready: weights loaded, in evaluation mode, no gradients, on ``device``.

    The constructor raises EncoderError where weights or libraries are missing or an option is unknown. Nothing is
    drawn at random: the same media give the same features in any batch.
    """

    medium: Medium
    view: View
    width: int

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None: ...

    def identity(self) -> Mapping[str, str]:
        """All that decides the features, as text: encoder, model, SHA-256 of the weights, options, version of
        the preprocessing. Two encoders of equal identity give equal features."""
        ...

    def encode(self, media: Media) -> Encoded:
        """Features of the clips."""
        ...
