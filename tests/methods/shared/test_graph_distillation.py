"""The graph between modalities against numpy, and who learns from whom in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmbench.methods.shared.graph_distillation import Distillation

KNOWN = torch.tensor([[True, True, True], [True, False, True], [False, True, True], [True, True, True]])


@pytest.mark.parametrize("repulsion", [False, True])
def test_the_loss_is_that_of_numpy(repulsion: bool):
    net = Distillation(2, 3, 4, 3, 0, learned=True, repulsion=repulsion)
    z, h = list(torch.randn(3, 4, 2).unbind(0)), list(torch.randn(3, 4, 3).unbind(0))
    pairs = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert net.pairs == pairs
    prior = np.exp([4.0 if k == 0 else 0 for _, k in pairs])
    prior /= prior.sum()
    w = {name: p.detach().numpy() for name, p in net.named_parameters()}
    both = [
        np.concatenate(
            [
                a.numpy() @ w["of_outputs.weight"].T + w["of_outputs.bias"],
                b.numpy() @ w["of_vectors.weight"].T + w["of_vectors.bias"],
            ],
            axis=1,
        )
        for a, b in zip(z, h, strict=True)
    ]
    scores = [
        np.concatenate([both[j], both[k]], axis=1) @ w["edge.weight"].T + w["edge.bias"] for j, k in pairs
    ]
    there = np.stack([(KNOWN[:, j] & KNOWN[:, k]).numpy() for j, k in pairs], axis=1)
    share = np.exp(np.concatenate(scores, axis=1) / 8) * there
    share /= share.sum(1, keepdims=True)
    by_hand = 0.0
    for i, (j, k) in enumerate(pairs):
        apart = np.abs(z[j].numpy() - z[k].numpy()).sum(1)
        if repulsion:
            a, b = h[j].numpy(), h[k].numpy()
            cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
            apart = apart + 10 * np.maximum(cosine, 0)
        rows = there[:, i]
        by_hand += ((share[:, i] + prior[i]) * apart)[rows].mean()
        by_hand += 10 * (share[rows, i].mean() - prior[i]) ** 2
    assert net(z, h, KNOWN).item() == pytest.approx(by_hand, rel=1e-4)


def test_whoever_teaches_gets_no_gradient():
    net = Distillation(1, 3, 4, 2, 0, learned=False, repulsion=False)
    z = [torch.randn(4, 1, requires_grad=True) for _ in range(2)]
    known = torch.tensor([[True, True]] * 4)
    (first,) = torch.autograd.grad(net(z, [torch.randn(4, 3)] * 2, known), z[:1])
    torch.testing.assert_close(first, 0.5 * (z[0] - z[1]).sign() / 4)


def test_samples_without_a_pair_teach_nothing():
    net = Distillation(1, 3, 4, 2, 0, learned=True, repulsion=False)
    nobody = torch.zeros(4, 2, dtype=torch.bool)
    assert net([torch.randn(4, 1)] * 2, [torch.randn(4, 3)] * 2, nobody) == 0
