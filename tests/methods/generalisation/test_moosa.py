from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.generalisation.moosa import (
    MOOSA,
    Jigsaw,
    MOOSAParams,
    draw_orders,
    entropies,
    entropy_weights,
)
from torch.nn import functional as F

from .. import planted


def test_weights_and_entropies_by_hand():
    logits = torch.randn(6, 3, 4, dtype=torch.float64)
    branches = torch.tensor([[True] * 3, [False, True, True]] * 3)
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(-1, keepdims=True)
    h = -(p * np.log(p + 1e-5)).sum(-1)
    e = np.exp(-h / 0.5) * branches.numpy()
    np.testing.assert_allclose(entropies(logits), h, atol=1e-6)
    np.testing.assert_allclose(entropy_weights(logits, branches, 0.5), e / e.sum(1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize(("pieces", "wanted", "found"), [(12, 128, 128), (16, 500, 500), (4, 128, 24)])
def test_orders_are_different_permutations(pieces, wanted, found):
    orders = draw_orders(pieces, wanted)
    assert orders.shape == (found, pieces)
    assert len({tuple(row) for row in orders.tolist()}) == found
    assert (orders.sort(dim=1).values == torch.arange(pieces)).all()


def test_a_jigsaw_is_the_pieces_in_the_order_that_is_asked_for():
    jigsaw = Jigsaw(3, 8, 4, 20, 16).double()
    e = torch.randn(5, 3, 8, dtype=torch.float64)
    pieces = e.numpy().reshape(5, 12, 2)
    losses = np.zeros(5)
    for i in range(5):
        for answer, order in enumerate(jigsaw.orders.tolist()):
            row = torch.from_numpy(np.concatenate([pieces[i, j] for j in order]))
            losses[i] -= jigsaw.classify(row).log_softmax(-1)[answer].item() / 20
    np.testing.assert_allclose(jigsaw.errors(e).detach(), losses, atol=1e-6)


def test_the_task_is_the_weighted_sum_of_the_branches():
    spec = planted.spec(kind="classification")
    net = MOOSA(MOOSAParams(width=16, layers=1), spec).eval()
    batch = planted.all_patterns(planted.noise(spec, 16), spec)
    out = net(batch)
    names = (*spec.modalities, "fused")
    said = {**out.unimodal, "fused": out.prediction}
    weights = {b: out.diagnostics[f"weight/{b}"] for b in names}
    assert all((weights[m][~batch.present[m]] == 0).all() for m in spec.modalities)
    torch.testing.assert_close(sum(weights.values()), torch.ones(16))
    losses = {b: F.cross_entropy(said[b], batch.target, reduction="none") for b in names}
    expected = sum((weights[b] * losses[b] for b in names), torch.zeros(16)).mean()
    torch.testing.assert_close(net.loss(batch)["task"], expected)


def test_orders_are_kept_with_the_weights():
    spec = planted.spec()
    net, other = (MOOSA(MOOSAParams(width=16, layers=1), spec) for _ in range(2))
    assert not torch.equal(net.jigsaw.orders, other.jigsaw.orders)
    other.load_state_dict(net.state_dict())
    assert torch.equal(net.jigsaw.orders, other.jigsaw.orders)


@torch.no_grad()
def test_it_solves_jigsaws_translates_and_trusts_the_modality_that_tells():
    """Text is white noise, so that audio alone says anything; ERM with the same training is as good there."""
    spec = planted.spec("text", "audio", kind="classification")
    everything = torch.ones(256, dtype=torch.bool)
    train, test = (planted.corrupted(planted.linked(spec, 256, seed=s), "text", everything) for s in (10, 60))
    params = MOOSAParams(width=16, layers=1, hidden=64, contrast_width=32, pieces=2)
    net = MOOSA(params, spec)

    def translation() -> float:
        net.eval()
        e = torch.stack(list(net(test).embeddings.values()), 1)
        kept = torch.rand(e.shape, generator=torch.Generator().manual_seed(0)) >= params.mask_ratio
        return float(net.halves.translation(e.where(kept, 0), e, torch.ones(256, 2, dtype=torch.bool)))

    before = translation()
    with torch.enable_grad():
        planted.train(net, train, epochs=25, lr=3e-3)
        erm = planted.train(ERM(ERMParams(width=16, layers=1), spec), train, epochs=25, lr=3e-3)
    out = net(test)
    answers = net.jigsaw(torch.stack(list(out.embeddings.values()), 1)).argmax(-1)
    orders = math.factorial(4)
    assert (answers == torch.arange(orders)).double().mean() > 10 / orders
    assert translation() < 0.7 * before
    weight = {b: out.diagnostics[f"weight/{b}"].mean() for b in ("text", "audio", "fused")}
    assert weight["text"] < weight["audio"] - 0.03
    assert weight["text"] < weight["fused"]
    ours, theirs = ((made(test).prediction.argmax(1) == test.target).double().mean() for made in (net, erm))
    assert ours > theirs - 0.1
