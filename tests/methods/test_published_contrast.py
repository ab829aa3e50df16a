"""What CMRF and NEL have otherwise under ``as-published``: mixtures, views and what is projected, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmbench.methods.generalisation.cmrf import CMRF
from mmbench.methods.generalisation.nel import NEL
from torch.nn import functional as F

from . import planted
from .test_published import THREE, build, loss


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_raw_mixtures_are_of_projections_of_any_length():
    """A modality whose projections are ten times as long has ten times the weight in a mixture."""
    batch = planted.linked(THREE, 16, 1)
    found = {}
    for raw in (False, True):
        net = build(CMRF, THREE, raw_mixtures=raw, start=0).eval()
        with torch.no_grad():
            net.teacher["projections"].parts[0][-1].weight.mul_(10)
            net.teacher["projections"].parts[0][-1].bias.mul_(10)
        net.draw_shares = lambda samples: torch.full((samples, 6), 0.75)
        output = net(batch)
        embeddings = torch.stack(list(output.embeddings.values()), 1)
        mine = unit(net.projections(embeddings).detach().numpy())
        taught = net.teacher["projections"](embeddings).detach().numpy()
        taught = taught if raw else unit(taught)
        apart = [
            np.linalg.norm(unit(0.75 * taught[:, a] + 0.25 * taught[:, b]) - mine[:, a], axis=-1).mean()
            for a in range(3)
            for b in range(3)
            if a != b
        ]
        found[raw] = loss(net, batch)["distillation"]
        assert found[raw] == pytest.approx(3.0 * np.mean(apart), rel=1e-4)
    assert found[True] != pytest.approx(found[False], rel=0.01)


def test_paired_views_are_one_batch_of_twice_the_samples():
    """Neighbours and positives are of both copies of all samples: without dropout a sample's copy is its nearest."""
    batch = planted.linked(THREE, 12, 1)
    net = build(NEL, THREE, paired_views=True).eval()
    s, output = net.params, net(batch)
    once = unit(net.projections(torch.stack(list(output.embeddings.values()), 1)).detach().numpy())
    both = np.concatenate([once, once]).astype(np.float64)
    shifted = np.zeros_like(both)
    for m in range(3):
        likeness = both[:, m] @ both[:, m].T
        np.fill_diagonal(likeness, -2)
        for i, row in enumerate(likeness):
            near = both[np.argsort(-row)[: s.neighbours], m].mean(0)
            shifted[i, m] = unit(0.5 * both[i, m] + 0.5 * near)
    first, second = (unit(x.reshape(12, -1)) for x in (shifted[:12], shifted[12:]))
    logits = first @ second.T / s.temperature_views
    views = np.mean(np.log(np.exp(logits).sum(1)) - np.diag(logits))
    classes = np.repeat(np.tile(np.sign(batch.target.numpy()), 2), 3)
    rows = both.reshape(72, -1)
    logits = rows @ rows.T / s.temperature_labels
    np.fill_diagonal(logits, -np.inf)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    alike = (classes[:, None] == classes) & ~np.eye(72, dtype=bool)
    contrast = np.mean([-log_p[i, alike[i]].mean() for i in range(72)]) * s.temperature_labels / 0.07
    torch.manual_seed(3)
    fused = torch.cat([output.fused, F.dropout(output.fused, 0.2)])
    e = unit(fused.detach().double().numpy())
    shares = np.linalg.eigvalsh(e.T @ e / 24)
    shares = shares[shares > 1e-6] / shares.sum()
    terms = loss(net, batch)
    assert terms["views"] == pytest.approx(s.alpha * views, rel=1e-4)
    assert terms["contrast"] == pytest.approx((1 - s.alpha) * contrast, rel=1e-4)
    assert terms["spectrum"] == pytest.approx(s.beta * (shares * np.log(shares)).sum(), rel=1e-3)


def test_the_first_half_alone_is_projected():
    batch = planted.linked(THREE, 8, 1)
    for half in (False, True):
        net = build(NEL, THREE, projected_half=half).eval()
        embeddings = torch.stack(list(net(batch).embeddings.values()), 1)
        other = embeddings.clone()
        other[..., 8:] += 1
        known = torch.ones(8, 3, dtype=torch.bool)
        assert torch.equal(net.project(embeddings, known), net.project(other, known)) == half
        assert net.projections.parts[0][0].in_features == (8 if half else 16)
