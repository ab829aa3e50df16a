"""Samples whose modalities are of unequal quality: each has its own strength of noise in each sample.

A modality shows the mean of the sample's class under white noise; nothing but the noise itself tells how strong it is. The
encoders are small networks without dropout.
"""

from __future__ import annotations

import functools

import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.method import Method
from mmbench.methods.shared.networks import Encoders
from torch import Tensor

from ..planted import train
from ..small import MeanNetwork

SIZES = {"text": 12, "audio": 12, "vision": 12}
CLASSES, MOST, WIDTH, TRAINED = 4, 6.0, 16, 800
SPEC = Spec(SIZES, "classification", classes=CLASSES, steps=dict.fromkeys(SIZES, 1), train_size=TRAINED)


def samples(count: int, seed: int) -> tuple[Batch, Tensor]:
    """A batch, and how strong the noise on each modality is, [batch, modality], uniform up to ``MOST``."""
    draw = torch.Generator().manual_seed(seed)
    target = torch.randint(CLASSES, (count,), generator=draw)
    strength = 0.3 + MOST * torch.rand(count, len(SIZES), generator=draw)
    features = {}
    for i, (m, size) in enumerate(SIZES.items()):
        means = 1.5 * torch.randn(CLASSES, size, generator=torch.Generator().manual_seed(100 + i))
        white = torch.randn(count, size, generator=draw)
        features[m] = (means[target] + strength[:, i, None] * white).unsqueeze(1)
    batch = Batch(
        features=features,
        mask={m: torch.ones(count, 1, dtype=torch.bool) for m in SIZES},
        present={m: torch.ones(count, dtype=torch.bool) for m in SIZES},
        target=target,
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
        index=torch.arange(count),
    )
    return batch, strength


TEST, STRENGTH = samples(1000, seed=7)


@functools.cache
def fitted(kind: type[Method], epochs: int = 12, seed: int = 0, **params) -> Method:
    """A network of the smallest encoders, trained on ``TRAINED`` samples."""
    torch.manual_seed(seed)
    net = kind(kind.Params(width=WIDTH, **params), SPEC)
    net.encoders = Encoders(SPEC, lambda features: MeanNetwork(features, WIDTH))
    return train(net, samples(TRAINED, seed=1)[0], epochs, lr=3e-3, size=50)


@torch.no_grad()
def accuracy(net: Method, batch: Batch = TEST) -> float:
    return float((net(batch).prediction.argmax(1) == batch.target).float().mean())


@torch.no_grad()
def diagnostic(net: Method, name: str, batch: Batch = TEST) -> Tensor:
    """[batch, modality]."""
    told = net(batch).diagnostics
    return torch.stack([told[f"{name}/{m}"] for m in SIZES], dim=1)


def spearman(left: Tensor, right: Tensor) -> float:
    ranks = torch.stack([left.argsort().argsort(), right.argsort().argsort()]).float()
    return float(torch.corrcoef(ranks)[0, 1])


@torch.no_grad()
def auroc_of_errors(net: Method, confidence: str, batch: Batch = TEST) -> float:
    """How well a confidence tells right answers from wrong ones; ``max`` for the largest probability."""
    output = net(batch)
    sure = output.prediction.softmax(1).amax(1) if confidence == "max" else output.confidence[confidence]
    right = output.prediction.argmax(1) == batch.target
    above = (sure[right][:, None] - sure[~right][None]).sign()
    return float(above.mean() / 2 + 0.5)


@torch.no_grad()
def auroc_of_own_errors(net: Method, batch: Batch = TEST) -> float:
    """How well the confidence of each modality tells whether its own prediction is right; the mean over modalities."""
    output, found = net(batch), []
    for m in SIZES:
        sure, right = output.diagnostics[f"confidence/{m}"], output.unimodal[m].argmax(1) == batch.target
        found.append((sure[right][:, None] - sure[~right][None]).sign().mean() / 2 + 0.5)
    return float(torch.stack(found).mean())
