"""What the tests of sentiment networks share: MMSA's sizes of MOSI, every pattern of presence, and planted products."""

from __future__ import annotations

import dataclasses

import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.method import Method
from torch import nn
from torch.nn import functional as F

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


def pickle(dataset: str, aligned: bool = False) -> Spec:
    """What MMSA's pickles of a data set hold: features and steps of text, audio and vision."""
    sizes = {"mosi": (768, 5, 20), "mosei": (768, 74, 35), "sims": (768, 33, 709), "simsv2": (768, 33, 709)}
    steps = {
        "mosi": (50, 375, 500),
        "mosei": (50, 500, 500),
        "sims": (39, 400, 55),
        "simsv2": (39, 400, 55),
    }
    names = ("text", "audio", "vision")
    long = (steps[dataset][0],) * 3 if aligned else steps[dataset]
    return Spec(
        dict(zip(names, sizes[dataset], strict=True)),
        "regression",
        label_range=(-1.0, 1.0) if dataset.startswith("sims") else (-3.0, 3.0),
        steps=dict(zip(names, long, strict=True)),
    )


def published(kind: type[Method], dataset: str, aligned: bool = False) -> Method:
    """The network of a method under ``as-published`` for a data set of MMSA."""
    values = {**kind.as_published, **vars(kind).get("as_published_in", {}).get(dataset, {})}
    return kind(kind.Params(**values), pickle(dataset, aligned))


def pointed(samples: int, seed: int, steps: int = 3) -> Batch:
    """Audio says a number at every step, text at which step it counts: the score is twice that number."""
    draw = torch.Generator().manual_seed(seed)
    batch = planted.noise(PAIR, samples, steps, seed + 1)
    said = torch.rand(samples, steps, generator=draw) * 2 - 1
    which = torch.randint(steps, (samples,), generator=draw)
    audio, text = 0.05 * batch.features["audio"], 0.05 * batch.features["text"]
    audio[..., 0] += said
    text[..., 0] += F.one_hot(which, steps)
    full = torch.ones(samples, steps, dtype=torch.bool)
    target = 2 * said.gather(1, which[:, None])[:, 0]
    mask = dict.fromkeys(batch.mask, full)
    return dataclasses.replace(batch, features={"text": text, "audio": audio}, mask=mask, target=target)
