"""Planted memes: what is hateful is said by the text, by the image, or by neither of them alone."""

from __future__ import annotations

import torch
from mmbench.datasets.batch import Batch, Spec
from torch import Tensor

#: What decides the label of a meme, and how often: the exclusive or of both bits, that of the text, that of the image.
STYLES = {"both": 0.5, "text": 0.3, "image": 0.2}
WIDTH = 12
SPEC = Spec(
    {"text": WIDTH, "image": WIDTH},
    "classification",
    classes=2,
    steps={"text": 1, "image": 1},
    class_counts=(200, 200),
)


def memes(samples: int, seed: int, readable: bool = True) -> tuple[Batch, Tensor]:
    """Memes whose style shows in both modalities, beside a bit of each.

    Args:
        samples: how many.
        seed: of all draws.
        readable: whether the text tells anything; otherwise its features are noise, as those of an encoder that does not know
            the script.

    Returns:
        The samples, and the index of the style of each, [samples].
    """
    draw = torch.Generator().manual_seed(seed)
    style = torch.multinomial(torch.tensor(list(STYLES.values())), samples, True, generator=draw)
    bits = torch.randint(0, 2, (samples, 2), generator=draw)
    own = torch.where(style == 1, bits[:, 0], bits[:, 1])
    features = {}
    for place, name in enumerate(SPEC.modalities):
        latents = torch.cat([2.0 * bits[:, place : place + 1] - 1, 1.5 * torch.eye(3)[style]], dim=1)
        mixing = torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(100 + place))
        features[name] = (latents @ mixing + torch.randn(samples, WIDTH, generator=draw)).unsqueeze(1)
    if not readable:
        features["text"] = torch.randn(samples, 1, WIDTH, generator=draw)
    there = torch.ones(samples, dtype=torch.bool)
    batch = Batch(
        features=features,
        mask=dict.fromkeys(features, there[:, None]),
        present=dict.fromkeys(features, there),
        target=torch.where(style == 0, bits[:, 0] ^ bits[:, 1], own),
        domain=torch.zeros(samples, dtype=torch.int64),
        sample_id=torch.arange(samples),
    )
    return batch, style
