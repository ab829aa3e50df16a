"""Planted sequences of which steps get lost: text and audio tell the same latent at every step, vision another.

The score is t + 0.5 v. Steps are noisy, audio's most, so that the more of them are there, the more is told. Features have a mean
that is not 0, as those of words have, by which a step that is lost, zeros, can be told from the others.
"""

from __future__ import annotations

import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.method import Method
from mmbench.methods.shared.lost_steps import lose
from torch import Tensor

from .. import planted

NAMES = ("text", "audio", "vision")
STEPS = 6
SPEC = Spec(
    {"text": 6, "audio": 5, "vision": 4},
    "regression",
    label_range=(-3.0, 3.0),
    steps=dict.fromkeys(NAMES, STEPS),
)
SHOWN = {"text": 1.0, "audio": 0.7, "vision": 1.0}


def samples(count: int, seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    told, own = torch.randn(2, count, generator=draw)
    latents = {"text": told, "audio": told, "vision": own}
    features = {}
    for i, (name, width) in enumerate(SPEC.modalities.items()):
        direction = torch.randn(width, generator=torch.Generator().manual_seed(60 + i))
        noise = 0.6 * torch.randn(count, STEPS, width, generator=draw)
        features[name] = SHOWN[name] * latents[name][:, None, None] * direction + noise + 1.0
    return Batch(
        features=features,
        mask={m: torch.ones(count, STEPS, dtype=torch.bool) for m in NAMES},
        present={m: torch.ones(count, dtype=torch.bool) for m in NAMES},
        target=told + 0.5 * own,
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count) + 100_000 * seed,
    )


TEST = samples(512, 5)


def lossy(batch: Batch, text: Tensor | float, others: float = 0.0) -> Batch:
    """The batch with steps lost at these rates; always the same ones.

    Args:
        batch: the samples.
        text: the rate of text, one or [batch].
        others: the rate of the others.
    """
    rates = torch.full((len(batch), 3), float(others))
    rates[:, 0] = text
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return lose(batch, rates)


def fitted(net: Method, epochs: int = 10, lr: float = 1e-2) -> Method:
    return planted.train(net, samples(512, 1), epochs, lr, last=0.1)


@torch.no_grad()
def error(net: Method, text: float = 0.0, others: float = 0.0) -> float:
    """The mean absolute error on unseen samples that have lost steps."""
    return (net(lossy(TEST, text, others)).prediction - TEST.target).abs().mean().item()
