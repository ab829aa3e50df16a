"""Terms of decoupled sequences against numpy: what is rebuilt, how parts lie to each other, and the margin between labels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from mmbench.methods.shared.decoupled import (
    Parts,
    ResidualHead,
    alignment,
    margin_hinge,
    rebuilding,
)

from .. import planted

SPEC = planted.spec("text", "audio")
KNOWN = torch.tensor([[True, True], [True, False], [True, True], [False, True]])


def parts() -> Parts:
    drawn = torch.randn(5, 2, 4, 3, 5)  # kind, modality, batch, steps, width
    return Parts(*(list(x.unbind(0)) for x in drawn.unbind(0)))


def test_errors_of_what_is_rebuilt_are_over_the_samples_that_have_the_modality():
    found = parts()
    by_hand = [0.0, 0.0]
    for i in range(2):
        rows = KNOWN[:, i].numpy()
        for j, (x, y) in enumerate([(found.rebuilt, found.whole), (found.again, found.specific)]):
            by_hand[j] += float(((x[i].numpy() - y[i].numpy()) ** 2)[rows].mean())
    assert [x.item() for x in rebuilding(found, KNOWN)] == pytest.approx(by_hand, rel=1e-5)


def test_alignment_is_the_cosine_of_both_parts_at_a_step_where_it_is_positive():
    found, by_hand = parts(), 0.0
    for i in range(2):
        s, c = found.specific[i].numpy(), found.common[i].numpy()
        cosine = (s * c).sum(-1) / (np.linalg.norm(s, axis=-1) * np.linalg.norm(c, axis=-1))
        by_hand += float(np.maximum(cosine, 0)[KNOWN[:, i].numpy()].mean())
    assert alignment(found, KNOWN).item() == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_the_margin_is_that_of_numpy(kind: str):
    spec = planted.spec("text", "audio", kind=kind)
    target = torch.tensor([1, 0, 2, 0]) if kind == "classification" else torch.tensor([1.0, -2, 1, 0.5])
    vectors = list(torch.randn(2, 4, 3).unbind(0))
    x, label = [], []
    for i in range(2):
        for row in range(4):
            if KNOWN[row, i]:
                x.append((vectors[i][row] / vectors[i][row].norm()).numpy())
                label.append(float(target[row]))
    anchors = []
    for i, own in enumerate(x):
        like = [j for j in range(len(x)) if j != i and label[j] == label[i]]
        unlike = [k for k in range(len(x)) if label[k] != label[i]]
        far = [1.0 if kind == "classification" else abs(label[k] - label[i]) for k in unlike]
        errors = [
            max(0.0, 0.15 * d - own @ x[j] + own @ x[k])
            for j in like
            for k, d in zip(unlike, far, strict=True)
        ]
        if errors:
            anchors.append(np.mean(errors))
    assert margin_hinge(vectors, KNOWN, target, spec).item() == pytest.approx(np.mean(anchors), rel=1e-4)
    same = torch.full_like(target, 1)
    assert margin_hinge(vectors, KNOWN, same, spec) == 0
    assert margin_hinge(vectors, torch.zeros_like(KNOWN), target, spec) == 0


def test_the_margin_has_the_unit_of_the_labels():
    vectors, target = list(torch.randn(2, 4, 3).unbind(0)), torch.tensor([1.0, -2, 1, 0.5])
    small = dataclasses.replace(SPEC, label_range=(-1.0, 1.0))
    torch.testing.assert_close(
        margin_hinge(vectors, KNOWN, target / 3, small), margin_hinge(vectors, KNOWN, target, SPEC)
    )


def test_a_residual_head_is_its_two_layers():
    head = ResidualHead(3, 4, 1, 0.0)
    h = torch.randn(2, 3)
    raw, whole, inner = head(h)
    torch.testing.assert_close(inner, head.inner(h).relu())
    torch.testing.assert_close(whole, h + head.outer(inner))
    torch.testing.assert_close(raw, head.out(whole))
