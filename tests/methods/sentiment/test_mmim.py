"""MMIM: its bounds against numpy, its sizes as released, and what the fused vector says of each modality on planted data."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from mmbench.datasets.batch import Batch
from mmbench.methods.losses import info_nce
from mmbench.methods.sentiment.mmim import MMIM, MMIMParams
from mmbench.methods.shared.mutual_information import RIDGE, LikelihoodBound, RecentRows, grouped_entropy
from mmbench.methods.shared.networks import known_modalities
from torch import nn

from .. import planted
from . import rows


def mlp(parts: nn.Module, x: np.ndarray) -> np.ndarray:
    w1, b1, w2, b2 = (p.detach().numpy() for p in parts.parameters())
    return np.maximum(x @ w1.T + b1, 0) @ w2.T + b2


def test_the_likelihood_is_that_of_numpy_over_the_samples_that_have_both():
    x, y, known = torch.randn(6, 3), torch.randn(6, 4), torch.tensor([True] * 4 + [False] * 2)
    for released in (False, True):
        bound = LikelihoodBound(3, 4, released)
        mean, log_variance = mlp(bound.mean, x.numpy()), mlp(bound.log_variance, x.numpy())
        each = -((y.numpy() - mean) ** 2) / (2 * np.exp(log_variance))
        if not released:
            each = each - log_variance / 2
        assert bound(x, y, known).item() == pytest.approx(each.sum(-1)[:4].mean(), rel=1e-5)


def test_the_entropy_is_half_the_log_determinant_of_each_groups_covariance():
    values, groups = torch.randn(40, 3), torch.arange(40) % 4 - 1
    by_hand = []
    for group in (0, 1):
        covariance = np.cov(values[groups == group].numpy().T, bias=True) + RIDGE * np.eye(3)
        by_hand.append(0.5 * np.linalg.slogdet(covariance)[1])
    assert grouped_entropy(values, groups, 2).item() == pytest.approx(np.mean(by_hand), rel=1e-4)
    assert grouped_entropy(values[:1], groups[:1], 2).item() == 0


def test_the_memory_keeps_the_last_samples():
    recent = RecentRows(4, 1)
    recent.keep(torch.arange(3.0)[:, None], torch.zeros(3, dtype=torch.int64))
    assert not recent.full
    recent.keep(torch.arange(3.0, 6.0)[:, None], torch.ones(3, dtype=torch.int64))
    assert recent.full
    assert recent.values[:, 0].tolist() == [2, 3, 4, 5]
    assert recent.groups.tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(("dataset", "count"), [("mosi", 281_673), ("mosei", 292_425), ("sims", 373_449)])
def test_the_released_network_has_the_released_size(dataset: str, count: int):
    assert rows.size(rows.published(MMIM, dataset)) == count


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, MMIM.controls["without its terms"], MMIM.as_published], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    net = MMIM(MMIMParams(**{"layers": 1, "width": 8, "entropy_rows": 4, **params}), spec)
    rows.any_pattern(net)
    rows.any_pattern(net)  # the memory is full now


def test_the_networks_of_the_likelihood_learn_by_their_own_step_and_teach_the_encoders():
    net = MMIM(MMIMParams(layers=1, weight_contrast=0.0, weight_mutual=1.0), rows.PAIR).eval()
    batch = planted.linked(rows.PAIR, 16, 1)
    terms = net.loss(batch)
    ours = list(net.bounds.parameters())
    theirs = list(net.encoders.parts[1].parameters())

    def reaches(term: str, parameters: list[nn.Parameter]) -> bool:
        found = torch.autograd.grad(terms[term], parameters, retain_graph=True, allow_unused=True)
        return any(g is not None and bool(g.abs().sum() > 0) for g in found)

    assert reaches("bounds", ours)
    assert not reaches("bounds", theirs)
    assert reaches("mutual", theirs)
    assert not reaches("mutual", ours)
    assert all(p.requires_grad for p in ours)


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained(contrast: float, mutual: float = 0.0, epochs: int = 12) -> MMIM:
    torch.manual_seed(0)
    params = MMIMParams(
        layers=1, width=8, fusion_width=8, dropout=0.0, weight_contrast=contrast, weight_mutual=mutual
    )
    net = MMIM(params, rows.PAIR)
    rows.small_encoders(net, net.encoders)
    return planted.train(net, planted.linked(rows.PAIR, 384, 1), epochs=epochs, lr=5e-3, last=0.1)  # type: ignore[return-value]


@torch.no_grad()
def guessed(net: MMIM, batch: Batch) -> float:
    """Mean over samples and modalities of the bound on what z says of h_m, in nats: log of the batch, less the contrast."""
    embeddings, known = net.encode_all(batch), known_modalities(batch, net.names)
    fused = net.mix(embeddings, known)
    found = [
        info_nce(embeddings[m], guess(fused), known[:, i], 1.0)
        for i, (m, guess) in enumerate(zip(net.names, net.guesses, strict=True))
    ]
    return float(np.log(len(batch)) - torch.stack(found).mean())


def test_the_fused_vector_says_which_sample_a_modality_is_of_and_without_the_contrast_it_does_not():
    test = planted.linked(rows.PAIR, 256, 5)
    assert guessed(trained(0.1), test) > 0.3
    assert guessed(trained(0.0), test) < 0.1


@torch.no_grad()
def information(net: MMIM, batch: Batch) -> float:
    """Between the two vectors, in nats, as if they were normally distributed."""
    text, audio = net.encode_all(batch).values()
    covariance = torch.cov(torch.cat([text, audio], dim=1).T.double()) + 1e-6 * torch.eye(16)
    parts = covariance[:8, :8], covariance[8:, 8:]
    return 0.5 * float(sum(x.logdet() for x in parts) - covariance.logdet())


def test_the_likelihood_and_the_entropy_raise_what_one_modality_says_of_the_other():
    test = planted.linked(rows.PAIR, 512, 5)
    assert information(trained(0.0, 0.1, 30), test) > information(trained(0.0, 0.0, 30), test) + 0.5


def test_the_task_is_learned_as_well_without_the_terms():
    """As docs/methods.md says, for which this is the check."""
    test = planted.linked(rows.PAIR, 512, 5)
    assert rows.error(trained(0.0, 0.0, 30), test) < 1.15 * rows.error(trained(0.0, 0.1, 30), test)
