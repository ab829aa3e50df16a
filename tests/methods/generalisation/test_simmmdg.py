from __future__ import annotations

import numpy as np
import pytest
import torch
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.generalisation.simmmdg import SimMMDG, SimMMDGParams
from mmbench.methods.shared.shared_specific import SharedSpecific, halves_likeness, translation_errors
from torch import Tensor
from torch.nn import functional as F

from .. import planted


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_likeness_of_halves_is_the_negative_squared_error_of_unit_vectors():
    s, p = torch.randn(2, 7, 3, 5, dtype=torch.float64)
    known = torch.rand(7, 3) < 0.7
    a, b = unit(s[known].numpy()), unit(p[known].numpy())
    expected = -np.mean((a - b) ** 2)
    assert halves_likeness(s, p, known).item() == pytest.approx(expected, abs=1e-6)


def test_translation_is_the_mean_distance_over_samples_and_ordered_pairs():
    parts = SharedSpecific(3, 6, 8, 4).double().eval()
    e = torch.randn(5, 3, 6, dtype=torch.float64)
    known = torch.tensor([[True] * 3, [True, False, True], [False] * 3, [True] * 3, [False, True, False]])
    distances = []
    for net, (a, b) in zip(parts.translators, parts.pairs, strict=True):
        made = net(e[:, a]).detach().numpy()
        for i in range(5):
            if known[i, a] and known[i, b]:
                distances.append(np.linalg.norm(unit(made[i]) - unit(e[i, b].numpy())))
    assert len(distances) == 2 * 6 + 2
    assert parts.translation(e, e, known).item() == pytest.approx(np.mean(distances), abs=1e-6)


def test_goals_of_translation_learn_too():
    parts = SharedSpecific(2, 6, 8, 4)
    goals = torch.randn(5, 2, 6, requires_grad=True)
    parts.translation(torch.randn(5, 2, 6), goals, torch.ones(5, 2, dtype=torch.bool)).backward()
    assert goals.grad is not None
    assert goals.grad.abs().sum() > 0


def agreement(shared: Tensor, target: Tensor) -> float:
    """How often the class centroid nearest to a sample's shared part, those of the other modality, is its own."""
    views, right = F.normalize(shared, dim=-1), []
    for a, b in ((0, 1), (1, 0)):
        centroids = torch.stack([views[target == k, b].mean(0) for k in range(3)])
        right.append((views[:, a] @ F.normalize(centroids, dim=-1).T).argmax(1) == target)
    return torch.cat(right).double().mean().item()


@torch.no_grad()
def test_shared_halves_agree_by_class_and_differ_from_specific_ones_and_translation_works():
    spec = planted.spec("text", "audio", kind="classification")
    params = SimMMDGParams(width=16, layers=1, hidden=64, contrast_width=32)
    train, test = planted.linked(spec, 256, seed=10), planted.linked(spec, 256, seed=60)
    net = SimMMDG(params, spec)
    with torch.enable_grad():
        planted.train(net, train, epochs=35, lr=3e-3)
        erm = planted.train(ERM(ERMParams(width=16, layers=1), spec), train, epochs=35, lr=3e-3)
    ours, theirs = (torch.stack(list(made(test).embeddings.values()), 1) for made in (net, erm))
    (shared, specific), (half, other) = ours.chunk(2, -1), theirs.chunk(2, -1)
    projected = net.halves.projections(shared)
    assert agreement(projected, test.target) > 0.65
    assert agreement(half, test.target) < 0.6
    likeness = F.cosine_similarity(shared, specific, dim=-1).mean()
    assert likeness < F.cosine_similarity(half, other, dim=-1).mean() - 0.3
    goals = ours[:, [1, 0]]
    constant = F.normalize(ours, dim=-1).mean(0)[[1, 0]].expand_as(goals)
    reached = translation_errors(net.halves.translate(ours), goals).mean()
    assert reached < 0.7 * translation_errors(constant, goals).mean()
