"""What the tests of sentiment networks share: MMSA's sizes of MOSI, every pattern of presence, and planted products."""

from __future__ import annotations

import dataclasses

import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.method import Method
from torch import nn

from .. import planted
from ..small import MeanNetwork

#: Features of MMSA's unaligned pickle of MOSI.
MOSI = Spec({"text": 768, "audio": 5, "vision": 20}, "regression", label_range=(-3.0, 3.0))
#: Sizes that the mechanisms show with.
PAIR = planted.spec("text", "audio")
WIDTH = 8


def size(module: nn.Module) -> int:
    """The number of its parameters."""
    return sum(p.numel() for p in module.parameters())


def small_encoders(net: Method, encoders: nn.Module, width: int = WIDTH) -> None:
    """Puts the smallest encoder in the place of each of mmbench's."""
    for i, features in enumerate(net.spec.modalities.values()):
        encoders.parts[i] = MeanNetwork(features, width)  # type: ignore[index]


def any_pattern(net: Method) -> None:
    """Asserts that it predicts and learns from every pattern, from a batch of one, and reads nothing that is absent."""
    batch = planted.all_patterns(planted.noise(net.spec, 2 ** len(net.spec.modalities)), net.spec)
    batch = dataclasses.replace(batch, index=torch.arange(len(batch)))
    net.train()
    for part in (batch, batch.take(slice(0, 1))):
        net.zero_grad()
        assert all(term.isfinite() for term in net.backward(part).values())
        assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    net.eval()
    features = {
        m: x.where(batch.present[m][:, None, None] & batch.mask[m][..., None], torch.nan)
        for m, x in batch.features.items()
    }
    hidden = dataclasses.replace(batch, features=features)
    said = net(batch).prediction
    torch.testing.assert_close(net(hidden).prediction, said)
    torch.testing.assert_close(net(hidden.take(slice(1, 2))).prediction, said[1:2])


def product(samples: int, seed: int) -> Batch:
    """Each modality tells one latent of two, and the score is 2 t a: nothing of it shows in one modality alone."""
    draw = torch.Generator().manual_seed(seed)
    latent = torch.rand(samples, 2, generator=draw) * 2 - 1
    batch = planted.noise(PAIR, samples, 2, seed + 1)
    features = {}
    for i, (m, count) in enumerate(PAIR.modalities.items()):
        mixing = torch.randn(1, count, generator=torch.Generator().manual_seed(50 + i))
        features[m] = (latent[:, i : i + 1] @ mixing).unsqueeze(1) + 0.1 * batch.features[m]
    return dataclasses.replace(batch, features=features, target=2 * latent.prod(dim=1))


@torch.no_grad()
def error(net: Method, batch: Batch) -> float:
    """The mean absolute error."""
    return (net(batch).prediction - batch.target).abs().mean().item()
