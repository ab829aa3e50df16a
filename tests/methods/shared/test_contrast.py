from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from mmbench.methods.shared.contrast import label_classes, supervised_contrast

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
