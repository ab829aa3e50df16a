from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from mmbench.methods.shared.contrast import (
    Contrast,
    classes_of_views,
    label_classes,
    projection,
    supervised_contrast,
)
from mmbench.methods.shared.networks import Stacked
from torch.nn import functional as F

from .. import planted


def by_loops(views, known, classes, tau) -> float:
    rows = [
        (views[i, m] / np.linalg.norm(views[i, m]), classes[i])
        for i in range(len(views))
        for m in range(views.shape[1])
        if known[i, m]
    ]
    terms = []
    for i, (anchor, label) in enumerate(rows):
        others = [(math.exp(anchor @ v / tau), c) for j, (v, c) in enumerate(rows) if j != i]
        whole = sum(e for e, _ in others)
        logs = [-math.log(e / whole) for e, c in others if c == label]
        terms.append(np.mean(logs) if logs else 0.0)
    return float(np.mean(terms)) * tau / 0.07


@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_supervised_contrast_is_the_double_sum(tau):
    views = torch.randn(9, 3, 5, dtype=torch.float64)
    known = torch.rand(9, 3) < 0.7
    classes = torch.tensor([0, 1, 0, 2, 1, 0, 3, 1, 1])
    found = supervised_contrast(views, known, classes, tau).item()
    assert found == pytest.approx(by_loops(views.numpy(), known.numpy(), classes.numpy(), tau), abs=1e-6)


def test_nothing_alike_is_no_loss():
    views, classes = torch.randn(4, 1, 5), torch.arange(4)
    assert supervised_contrast(views, torch.ones(4, 1, dtype=torch.bool), classes, 0.1) == 0
    assert supervised_contrast(views, torch.zeros(4, 1, dtype=torch.bool), classes, 0.1) == 0


def test_classes_of_scores_are_the_sides_of_neutral():
    spec = planted.spec()
    assert label_classes(torch.tensor([-2.0, 0.0, 0.1]), spec).tolist() == [0, 1, 2]
    shifted = dataclasses.replace(spec, label_range=(0.0, 10.0))
    assert label_classes(torch.tensor([4.0, 5.0, 6.0]), shifted).tolist() == [0, 1, 2]
    classes = torch.tensor([2, 0])
    assert label_classes(classes, planted.spec(kind="classification")) is classes


def share_of_own_class(classes: torch.Tensor, views: int, form: Contrast) -> float:
    """Of all pairs of an anchor and a positive, the share that are of one class in truth."""
    told, true = classes_of_views(classes, views, form), classes.repeat_interleave(views)
    positive = (told.unsqueeze(1) == told) & ~torch.eye(len(told), dtype=torch.bool)
    return float((true.unsqueeze(1) == true)[positive].float().mean())


def test_the_released_positives_have_the_anchor_s_class_at_chance_and_the_published_always():
    draw = torch.Generator().manual_seed(0)
    shares: dict[Contrast, list[float]] = {"published": [], "released": []}
    classes = torch.zeros(128, dtype=torch.int64)
    for _ in range(20):
        classes = torch.randint(0, 6, (128,), generator=draw)
        for form, found in shares.items():
            found.append(share_of_own_class(classes, 2, form))
    assert set(shares["published"]) == {1.0}
    assert np.mean(shares["released"]) == pytest.approx(1 / 6, abs=0.01)
    assert share_of_own_class(classes, 1, "released") == 1.0  # with one view the two layouts are the same


def test_the_released_contrast_is_the_double_sum_over_its_layout():
    """By hand: row r of the features is view r % 2 of sample r // 2, and has the class of sample r % batch."""
    batch, tau = 7, 0.1
    views = torch.randn(batch, 2, 5, dtype=torch.float64)
    classes = torch.tensor([0, 1, 0, 2, 1, 0, 3])
    rows = F.normalize(views, dim=-1).reshape(2 * batch, 5).numpy()
    terms = []
    for i in range(2 * batch):
        likeness = {j: math.exp(rows[i] @ rows[j] / tau) for j in range(2 * batch) if j != i}
        logs = [
            -math.log(e / sum(likeness.values()))
            for j, e in likeness.items()
            if classes[j % batch] == classes[i % batch]
        ]
        terms += [np.mean(logs)] if logs else []
    known = torch.ones(batch, 2, dtype=torch.bool)
    found = supervised_contrast(views, known, classes, tau, "released").item()
    assert found == pytest.approx(np.mean(terms), abs=1e-6)  # no factor of tau / 0.07
    some = known.clone()
    some[3, 1] = False
    assert supervised_contrast(views, some, classes, tau, "released").isfinite()


@pytest.mark.parametrize(("form", "least", "most"), [("published", 0.9, 1.0), ("released", 0.0, 0.5)])
def test_trained_alone_the_published_contrast_groups_classes_and_the_released_does_not(
    form: Contrast, least: float, most: float
):
    classes = torch.arange(6).repeat(12)
    views = (0.1 * torch.randn(72, 2, 8)).requires_grad_()
    optimiser = torch.optim.Adam([views], lr=0.05)
    for _ in range(60):
        order = torch.randperm(72)  # the released labels change with the order of the batch
        optimiser.zero_grad()
        known = torch.ones(72, 2, dtype=torch.bool)
        supervised_contrast(views[order], known, classes[order], 0.1, form).backward()
        optimiser.step()
    first = F.normalize(views.detach()[:, 0], dim=-1)
    near = (first @ first.T).fill_diagonal_(-2).argmax(1)
    assert least <= float((classes[near] == classes).float().mean()) <= most


def test_a_projection_with_batch_norms_sees_the_rows_that_are_known():
    """Running statistics are those of the known rows; one row, and none, are taken by them."""
    parts = Stacked(2, lambda: projection(4, 6, 3, batch_norm=True))
    rows = torch.randn(8, 2, 4)
    known = torch.ones(8, 2, dtype=torch.bool)
    known[4:, 1] = False
    said = parts(rows, known)
    assert torch.equal(said[:, 0], parts.parts[0](rows[:, 0]))
    assert not said[4:, 1].any()
    assert torch.equal(said[:4, 1], parts.parts[1](rows[:4, 1]))
    for count in (0, 1):
        only = torch.arange(8).unsqueeze(1).expand(-1, 2) < count
        assert parts(rows, only).isfinite().all()
