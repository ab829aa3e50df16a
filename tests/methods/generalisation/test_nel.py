from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.generalisation.nel import NEL, NELParams, mean_shift, spectral_entropy
from torch.nn import functional as F

from .. import planted


@pytest.mark.parametrize("shape", [(30, 8), (6, 12), (1, 4)])
def test_spectral_entropy_is_that_of_the_squared_singular_values(shape):
    rows = torch.randn(*shape, dtype=torch.float64)
    shares = np.linalg.svd(rows.numpy(), compute_uv=False) ** 2
    shares /= shares.sum()
    assert spectral_entropy(rows).item() == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-6)


def test_spectral_entropy_has_its_extremes_at_one_direction_and_at_all():
    assert spectral_entropy(torch.eye(5)).item() == pytest.approx(math.log(5))
    line = torch.randn(7, 1) * torch.randn(1, 5)
    assert spectral_entropy(line).item() == pytest.approx(0, abs=1e-4)
    assert spectral_entropy(torch.zeros(3, 5)) == 0


def test_its_gradient_is_right_where_eigenvalues_are_equal_too():
    rows = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(spectral_entropy, rows)
    same = torch.eye(4, requires_grad=True)
    (slope,) = torch.autograd.grad(spectral_entropy(same), same)
    assert slope.abs().max() < 1e-5


@pytest.mark.parametrize("k", [1, 3, 20])
def test_mean_shift_is_half_itself_and_half_its_neighbours(k):
    g = F.normalize(torch.randn(8, 2, 5, dtype=torch.float64), dim=-1)
    known = torch.rand(8, 2) < 0.8
    found = mean_shift(g, known, k).numpy()
    for m in range(2):
        rows = [i for i in range(8) if known[i, m]]
        for i in range(8):
            if i not in rows:
                assert (found[i, m] == 0).all()
                continue
            others = sorted((j for j in rows if j != i), key=lambda j: -float(g[i, m] @ g[j, m]))[:k]
            mean = 0.5 * g[i, m].numpy() + 0.5 * np.mean([g[j, m].numpy() for j in others], axis=0)
            np.testing.assert_allclose(found[i, m], mean / np.linalg.norm(mean), atol=1e-6)


def test_a_sample_without_neighbours_stays():
    g = F.normalize(torch.randn(1, 2, 5), dim=-1)
    torch.testing.assert_close(mean_shift(g, torch.ones(1, 2, dtype=torch.bool), 8), g)


def test_views_are_the_published_contrast_of_two_dropout_projections():
    spec = planted.spec("text", "audio")
    net = NEL(NELParams(width=16, layers=1), spec).train()
    for encoder in net.encoders.parts:
        encoder.eval()  # the embeddings are the same, the projections are not
    batch = planted.noise(spec, 10)
    torch.manual_seed(4)
    found = net.loss(batch)["views"].item()
    torch.manual_seed(4)
    e = torch.stack(list(net(batch).embeddings.values()), 1)
    known = torch.ones(10, 2, dtype=torch.bool)
    first, second = (
        mean_shift(F.normalize(net.projections(e), dim=-1), known, 8).flatten(1).detach().double().numpy()
        for _ in range(2)
    )
    logits = first @ second.T / 2 / 0.25  # rows of two unit vectors have a squared norm of 2
    expected = np.mean([np.log(np.exp(row).sum()) - row[i] for i, row in enumerate(logits)])
    assert found == pytest.approx(0.7 * expected, abs=1e-5)


def test_no_draw_divides_by_a_temperature_of_0():
    searched = {
        f.name: f.metadata["search"]
        for f in NELParams.__dataclass_fields__.values()
        if "search" in f.metadata
    }
    for name in ("temperature_labels", "temperature_views"):
        assert round(searched[name]["low"], searched[name]["digits"]) > 0


def test_it_spreads_the_spectrum_that_erm_leaves_narrow():
    spec = planted.spec("text", "audio", kind="classification")
    train, test = planted.linked(spec, 256, seed=10), planted.linked(spec, 256, seed=60)

    def entropy(net: ERM) -> float:
        torch.manual_seed(1)
        planted.train(net, train, epochs=15, lr=3e-3)
        with torch.no_grad():
            fused = net(test).fused
        assert fused is not None
        return float(spectral_entropy(F.normalize(fused, dim=-1)))

    erm = entropy(ERM(ERMParams(width=16, layers=1), spec))
    without = entropy(NEL(NELParams(width=16, layers=1, beta=0.0), spec))
    with_it = entropy(NEL(NELParams(width=16, layers=1, beta=0.5), spec))
    assert with_it > erm + 0.1
    assert with_it > without + 0.05
