"""What every method for missing modalities is asked: to predict and learn in each stage, whatever is missing."""

from __future__ import annotations

import torch
from mmbench.methods.method import Method

from .. import planted


def learns_from_any_pattern(net: Method) -> None:
    """Asserts that losses, gradients, predictions and diagnostics are finite in every stage, of samples with every pattern of
    missing modalities and of a batch of one sample that has none."""
    batch = planted.all_patterns(planted.noise(net.spec, 2 ** len(net.spec.modalities)), net.spec)
    for stage in range(len(net.stages)):
        net.begin_stage(stage)
        net.train()
        for part in (batch, batch.take(slice(0, 1))):
            net.zero_grad()
            terms = net.loss(part)
            torch.stack(list(terms.values())).sum().backward()
            assert all(term.isfinite() for term in terms.values())
            assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
            said = net(part)
            assert said.prediction.isfinite().all()
            assert all(told.isfinite().all() for told in said.diagnostics.values())
