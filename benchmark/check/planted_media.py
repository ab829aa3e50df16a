"""Planted samples whose features are raw media, for methods that read media themselves."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from ...corruptions.words import encode_words
from ...datasets.batch import Batch, Spec

#: What a text says for a low and for a high target.
_LOW, _HIGH = ("bad", "poor", "sad"), ("good", "great", "fine")
_FRAME = 32  # pixels on a side
_SOUND = 1600  # samples of the longest sound


def media_specs() -> Iterator[Spec]:
    """Text alone, with sound, and with frames; regression and classification."""
    media = {"text": "text", "audio": "waveform", "video": "frames"}
    for count in range(1, 4):
        chosen = dict(list(media.items())[:count])
        sizes = dict.fromkeys(chosen, 4)
        yield Spec(
            sizes,
            "regression",
            label_range=(-3.0, 3.0),
            train_size=64,
            label_moments=(0.0, 1.0),
            media=chosen,
        )
        yield Spec(sizes, "classification", classes=3, train_size=64, class_counts=(20, 24, 20), media=chosen)


def planted_media(spec: Spec, count: int) -> Batch:
    """Samples whose every medium tells the target: words, loudness, brightness. Their lengths differ.

    Args:
        spec: modalities, their media, and the target.
        count: number of samples.
    """
    draw = torch.Generator().manual_seed(0)
    latent = torch.randn(count, generator=draw)
    lengths = torch.randint(1, 6, (count,), generator=draw)
    share = torch.sigmoid(2 * latent)
    make = {"text": _text, "waveform": _sound, "frames": _frames}
    features: dict[str, Tensor] = {}
    mask: dict[str, Tensor] = {}
    for name, medium in spec.media.items():
        features[name], mask[name] = make[medium](share, lengths, draw)
    target = latent.clamp(-3, 3)
    if spec.kind == "classification":
        target = torch.bucketize(latent, torch.tensor([-0.5, 0.5]))
    rows = torch.arange(count)
    return Batch(
        features=features,
        mask=mask,
        present={name: torch.ones(count, dtype=torch.bool) for name in features},
        target=target,
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=rows,
        index=rows,
    )


def _text(share: Tensor, lengths: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    texts = []
    for high, length in zip(share.tolist(), lengths.tolist(), strict=True):
        picks = torch.rand(2, 3 * length, generator=draw).T.tolist()
        words = [(_HIGH if side < high else _LOW)[int(3 * which)] for side, which in picks]
        texts.append(" ".join(words))
    words = encode_words(texts)
    return words, words[..., 0] != 0


def _sound(share: Tensor, lengths: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    mask = torch.arange(_SOUND) < (lengths * _SOUND // 5)[:, None]
    noise = torch.randn(len(share), _SOUND, generator=draw) / 4
    return ((noise * share[:, None]).clamp(-1, 1) * mask)[..., None], mask


def _frames(share: Tensor, lengths: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    steps = int(lengths.max())
    mask = torch.arange(steps) < lengths[:, None]
    noise = torch.randint(-20, 21, (len(share), steps, 3, _FRAME, _FRAME), generator=draw)
    bright = (40 + 170 * share).long()[:, None, None, None, None]
    return ((bright + noise) * mask[:, :, None, None, None]).to(torch.uint8), mask


def with_rubbish_in_padding(values: Tensor, mask: Tensor) -> Tensor:
    """Values with 7 wherever a step is not valid, whatever their type.

    Args:
        values: [batch, time, ...].
        mask: [batch, time], bool: the steps that are valid.

    Returns:
        As the values; a new tensor.
    """
    steps = mask.reshape(*mask.shape, *[1] * (values.ndim - 2))
    return torch.where(steps, values, torch.full_like(values, 7))


def with_more_padding(values: Tensor, steps: int) -> Tensor:
    """Values with further steps of zeros at the end.

    Args:
        values: [batch, time, ...].
        steps: how many more.

    Returns:
        [batch, time + steps, ...].
    """
    return F.pad(values, (*[0, 0] * (values.ndim - 2), 0, steps))
