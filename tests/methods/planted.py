"""Small batches in which it is known what is planted where."""

from __future__ import annotations

from dataclasses import replace

import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.method import Method
from torch import Tensor

SIZES = {"text": 6, "audio": 5, "vision": 4, "touch": 3}


def spec(*modalities: str, kind: str = "regression", protocol: str = "fair") -> Spec:
    names = modalities or ("text", "audio", "vision")
    return Spec(
        modalities={name: SIZES[name] for name in names},
        kind="classification" if kind == "classification" else "regression",
        classes=3 if kind == "classification" else 1,
        label_range=None if kind == "classification" else (-3.0, 3.0),
        protocol="as-published" if protocol == "as-published" else "fair",
    )


def noise(spec: Spec, samples: int, steps: int = 4, seed: int = 0) -> Batch:
    """Nothing is planted: white noise, right padding of random length, all modalities present."""
    draw = torch.Generator().manual_seed(seed)
    lengths = {m: torch.randint(1, steps + 1, (samples,), generator=draw) for m in spec.modalities}
    target = (
        torch.randint(0, spec.classes, (samples,), generator=draw)
        if spec.kind == "classification"
        else torch.randn(samples, generator=draw)
    )
    return Batch(
        features={m: torch.randn(samples, steps, n, generator=draw) for m, n in spec.modalities.items()},
        mask={m: torch.arange(steps) < lengths[m][:, None] for m in spec.modalities},
        present={m: torch.ones(samples, dtype=torch.bool) for m in spec.modalities},
        target=target,
        domain=torch.zeros(samples, dtype=torch.int64),
        sample_id=torch.arange(samples),
    )


def patterns(spec: Spec) -> list[dict[str, bool]]:
    """Every missing pattern, the complete and the empty one included."""
    names = tuple(spec.modalities)
    return [{m: bool(code >> i & 1) for i, m in enumerate(names)} for code in range(2 ** len(names))]


def all_patterns(batch: Batch, spec: Spec) -> Batch:
    """The batch with sample i in missing pattern i (modulo their number)."""
    table = patterns(spec)
    flags: dict[str, Tensor] = {
        m: torch.tensor([table[i % len(table)][m] for i in range(len(batch))]) for m in spec.modalities
    }
    return batch.with_present(flags)


NOISE = {"text": 0.1, "audio": 0.4, "vision": 0.8, "touch": 0.8}
STEPS = 3


def linked(spec: Spec, samples: int, seed: int) -> Batch:
    """Three latents show in every modality, one more in each alone; the target is made of two of the shared.

    A modality's features are a fixed linear map of its four latents, the same at every step, plus noise that
    is new at every step: weak in text, strong in vision.
    """
    draw = torch.Generator().manual_seed(seed)
    shared = torch.randn(samples, 3, generator=draw)
    score = shared[:, 0] + 0.7 * shared[:, 1]
    batch = noise(spec, samples, STEPS, seed + 1)
    features = {}
    for i, (m, size) in enumerate(spec.modalities.items()):
        latents = torch.cat([shared, torch.randn(samples, 1, generator=draw)], dim=1)
        mixing = torch.randn(4, size, generator=torch.Generator().manual_seed(100 + i))
        features[m] = (latents @ mixing).unsqueeze(1) + NOISE[m] * batch.features[m]
    target = score if spec.kind == "regression" else (score > -0.5).long() + (score > 0.5).long()
    return replace(batch, features=features, target=target)


def corrupted(batch: Batch, modality: str, rows: Tensor) -> Batch:
    """The batch with white noise for the modality's features in ``rows`` [batch], bool."""
    features = batch.features[modality]
    draw = torch.Generator().manual_seed(len(batch))
    white = torch.randn(features.shape, generator=draw) * features.std()
    return replace(
        batch, features={**batch.features, modality: torch.where(rows[:, None, None], white, features)}
    )


def train(
    method: Method, batch: Batch, epochs: int, lr: float = 2e-3, size: int = 64, last: float = 1.0
) -> Method:
    """A bare loop through all stages; returns the method in evaluation mode. The rate falls to a share of it, ``last``."""
    optimiser = torch.optim.AdamW(method.parameters(), lr=lr, weight_decay=1e-2, foreach=True)
    done = 0
    for stage, share in enumerate(method.stages):
        method.begin_stage(stage)
        method.train()
        for _ in range(max(1, round(share * epochs))):
            method.before_epoch(lambda: iter((batch,)), done / epochs)
            done += 1
            for group in optimiser.param_groups:
                group["lr"] = lr * (1 - (1 - last) * done / epochs)
            for rows in torch.randperm(len(batch)).split(size):
                optimiser.zero_grad()
                method.backward(batch.take(rows))
                torch.nn.utils.clip_grad_norm_(method.parameters(), 1.0)
                optimiser.step()
                method.after_step()
    method.load_state_dict(method.evaluated() or method.state_dict())
    return method.eval()


def shifted(spec: Spec, samples: int, seed: int, strength: float = 0.4) -> Batch:
    """``linked`` samples of two domains: in each modality these lie on two sides of a direction of its own."""
    batch = linked(spec, samples, seed)
    domain = torch.randint(0, 2, (samples,), generator=torch.Generator().manual_seed(seed + 2))
    features = {}
    for i, (m, x) in enumerate(batch.features.items()):
        direction = torch.randn(x.shape[-1], generator=torch.Generator().manual_seed(200 + i))
        features[m] = x + strength * (2 * domain - 1)[:, None, None] * direction
    return replace(batch, features=features, domain=domain)
