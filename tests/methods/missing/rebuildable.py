"""Planted data of which one modality can be rebuilt from another and one cannot, and ERM trained on it as a control.

The score is t + 0.6 a + 0.4 v. Text shows t and t', a = 0.95 t' + 0.2 noise, and v has nothing to do with the others.
"""

from __future__ import annotations

import functools

import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.method import Method
from mmbench.methods.shared.ebmc_parts import draw_pattern
from mmbench.methods.shared.networks import known_modalities
from torch import Tensor

from .. import planted

NAMES = ("text", "audio", "vision")
SPEC = Spec(
    {"text": 24, "audio": 16, "vision": 16},
    "regression",
    label_range=(-3.0, 3.0),
    steps=dict.fromkeys(NAMES, 1),
)
SAMPLES, WIDTH, EPOCHS, RATE = 1024, 8, 24, 1e-2


def samples(seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    text, other, own, vision = torch.randn(4, SAMPLES, generator=draw)
    audio = 0.95 * other + 0.2 * own
    latents = {"text": torch.stack([text, other], 1), "audio": audio[:, None], "vision": vision[:, None]}
    features = {}
    for i, (name, width) in enumerate(SPEC.modalities.items()):
        mixing = torch.randn(latents[name].shape[1], width, generator=torch.Generator().manual_seed(40 + i))
        noise = 0.1 * torch.randn(SAMPLES, width, generator=draw)
        features[name] = (latents[name] @ mixing + noise).unsqueeze(1)
    return Batch(
        features=features,
        mask=dict.fromkeys(features, torch.ones(SAMPLES, 1, dtype=torch.bool)),
        present=dict.fromkeys(features, torch.ones(SAMPLES, dtype=torch.bool)),
        target=text + 0.6 * audio + 0.4 * vision,
        domain=torch.zeros(SAMPLES, dtype=torch.int64),
        sample_id=torch.arange(SAMPLES) + 100_000 * seed,
    )


TEST = samples(5)


class PatternERM(ERM):
    """ERM that loses modalities in training as the methods do."""

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        seen = draw_pattern(known_modalities(batch, NAMES), 0.7)
        return super().loss(batch.with_present(dict(zip(NAMES, seen.unbind(1), strict=True))))


def fitted(net: Method) -> Method:
    return planted.train(net, samples(1), EPOCHS, RATE, last=0.1)


@functools.cache
def control() -> Method:
    torch.manual_seed(0)
    return fitted(PatternERM(ERMParams(width=WIDTH), SPEC))


def without(modality: str) -> Batch:
    """The unseen samples without a modality; all of them where it is ``""``."""
    return TEST.with_present({modality: torch.zeros(SAMPLES, dtype=torch.bool)} if modality else {})


@torch.no_grad()
def error(net: Method, missing: str = "") -> float:
    """The mean absolute error on unseen samples."""
    return (net(without(missing)).prediction - TEST.target).abs().mean().item()


def explained(made: Tensor, real: Tensor) -> float:
    """R^2 of rebuilt values [samples, width]."""
    return 1 - ((made - real).square().sum() / (real - real.mean(0)).square().sum()).item()
