"""MISA: its terms against numpy, its size as released, and what they do to shared and private vectors on planted data."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from mmbench.methods.sentiment.misa import MISA, MISAParams, Parts
from mmbench.methods.shared.networks import known_modalities
from mmbench.methods.shared.shared_private import (
    central_moment_discrepancy,
    difference,
    difference_loss,
    reconstruction_loss,
    similarity_loss,
)

from .. import planted
from . import rows


def by_numpy_cmd(x: np.ndarray, y: np.ndarray) -> float:
    found = float(np.linalg.norm(x.mean(0) - y.mean(0)))
    for k in (2, 3, 4, 5):
        moments = [((z - z.mean(0)) ** k).mean(0) for z in (x, y)]
        found += float(np.linalg.norm(moments[0] - moments[1]))
    return found


def by_numpy_difference(x: np.ndarray, y: np.ndarray) -> float:
    unit = [(z - z.mean(0)) / (np.linalg.norm(z - z.mean(0), axis=1, keepdims=True) + 1e-6) for z in (x, y)]
    return float(((unit[0].T @ unit[1]) ** 2).mean())


def test_terms_are_those_of_numpy_over_the_samples_that_have_the_modalities():
    private, shared, rebuilt = torch.rand(3, 12, 3, 4).unbind(0)
    known = torch.rand(12, 3) > 0.3
    p, s, r, k = (x.numpy() for x in (private, shared, rebuilt, known))
    pairs = [(0, 1), (0, 2), (1, 2)]
    cmd = [by_numpy_cmd(s[k[:, i], i], s[k[:, j], j]) for i, j in pairs]
    assert similarity_loss(shared, known).item() == pytest.approx(np.mean(cmd), rel=1e-4)
    apart = [by_numpy_difference(p[k[:, i], i], s[k[:, i], i]) for i in range(3)]
    apart += [by_numpy_difference(p[k[:, i] & k[:, j], i], p[k[:, i] & k[:, j], j]) for i, j in pairs]
    assert difference_loss(private, shared, known, released=True).item() == pytest.approx(
        sum(apart), rel=1e-4
    )
    # ours is the same for the same samples twice
    ones = torch.ones(12, 3, dtype=torch.bool)
    once = difference_loss(private, shared, ones)
    twice = difference_loss(private.repeat(2, 1, 1), shared.repeat(2, 1, 1), ones.repeat(2, 1))
    torch.testing.assert_close(once, twice)
    torch.testing.assert_close(once * (12 / 4) ** 2, difference_loss(private, shared, ones, released=True))
    errors = ((r - p) ** 2).mean(-1)[k]
    assert reconstruction_loss(rebuilt, private, known).item() == pytest.approx(errors.mean(), rel=1e-5)


def test_terms_are_0_where_they_should_be_and_have_gradients_there():
    x = torch.randn(8, 3, requires_grad=True)
    same = central_moment_discrepancy(x, x.detach())
    same.backward()
    assert same.item() < 1e-5
    assert x.grad is not None
    assert x.grad.isfinite().all()
    one, other = torch.tensor([[1.0], [1], [-1], [-1]]), torch.tensor([[1.0], [-1], [1], [-1]])
    assert difference(one, other).item() < 1e-6
    assert difference(one, one).item() == pytest.approx(16, rel=1e-4)
    nobody = torch.zeros(4, 2, dtype=torch.bool)
    assert similarity_loss(torch.rand(4, 2, 3), nobody) == 0
    assert difference_loss(torch.rand(4, 2, 3), torch.rand(4, 2, 3), nobody) == 0


def test_the_released_network_has_the_released_size():
    # without a discriminator that has no loss (516) and a layer norm of text that BERT's network does not use (3,072)
    net = MISA(MISAParams(**MISA.as_published), rows.MOSI)
    assert rows.size(net) == 1_138_033 - 516 - 3_072


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize(
    "params", [{}, MISA.controls["without its losses"], {"subnets": "released"}], ids=str
)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(MISA(MISAParams(layers=1, width=8, hidden=8, feed_forward=8, **params), spec))


# --- what the terms do ------------------------------------------------------------------------------------


@functools.cache
def trained(**weights: Any) -> MISA:
    torch.manual_seed(0)
    net = MISA(MISAParams(layers=1, width=8, hidden=8, feed_forward=16, dropout=0.0, **weights), rows.PAIR)
    rows.small_encoders(net, net.encoders)
    return planted.train(net, planted.linked(rows.PAIR, 384, seed=1), epochs=15, lr=5e-3)  # type: ignore[return-value]


@torch.no_grad()
def told(net: MISA) -> tuple[float, float, float]:
    """On unseen samples: CMD of the shared vectors, difference of the parts, and error of what is rebuilt in its variance."""
    batch = planted.linked(rows.PAIR, 512, seed=5)
    known = known_modalities(batch, net.names)
    parts: Parts = net.parts(net.encode_all(batch), known)
    rebuilt = reconstruction_loss(parts.rebuilt, parts.whole, known) / parts.whole.var(dim=0).mean()
    apart = difference_loss(parts.private, parts.shared, known)
    return similarity_loss(parts.shared, known).item(), apart.item(), rebuilt.item()


def test_shared_parts_agree_private_ones_differ_and_both_rebuild_and_without_the_terms_they_do_not():
    whole, bare = told(trained()), told(trained(**MISA.controls["without its losses"]))  # type: ignore[arg-type]
    for with_terms, without in zip(whole, bare, strict=True):
        assert with_terms < 0.6 * without


def test_each_term_alone_does_its_part():
    alone = told(trained(weight_similarity=0.0))[0], told(trained(weight_difference=0.0))[1]
    assert told(trained())[0] < 0.6 * alone[0]
    assert told(trained())[1] < 0.6 * alone[1]


def test_the_task_is_learned_as_well_without_the_terms():
    """As docs/methods.md says, for which this is the check."""
    test = planted.linked(rows.PAIR, 512, seed=5)
    bare = trained(**MISA.controls["without its losses"])  # type: ignore[arg-type]
    assert rows.error(bare, test) < 1.15 * rows.error(trained(), test)
