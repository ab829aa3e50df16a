"""MMD, CORAL and MIRO: their distances by independent computation, and that training makes them small."""

from __future__ import annotations

import functools
from itertools import combinations

import numpy as np
import pytest
import torch
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.generalisation.coral import CORAL, CORALParams
from mmbench.methods.generalisation.miro import MIRO, MIROParams
from mmbench.methods.generalisation.mmd import GAMMAS, MMD, MMDParams
from mmbench.methods.method import Method
from mmbench.methods.shared.divergences import coral, mean_distance, mmd
from mmbench.methods.shared.domains import domain_means, mean_over_pairs
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import rbf_kernel
from torch import Tensor
from torch.nn import functional as F

from .. import planted, two_domains

SPEC = two_domains.spec("text", "audio")
TRAIN = two_domains.shifted(SPEC, 512, seed=1)
TEST = two_domains.shifted(SPEC, 512, seed=5)


@functools.cache
@torch.enable_grad()  # it may be asked for first where gradients are off
def trained(kind: type[Method], params) -> Method:
    torch.manual_seed(0)
    return planted.train(kind(params, SPEC), TRAIN, epochs=12, lr=4e-3)


def erm() -> Method:
    return trained(ERM, ERMParams(width=16, layers=1))


@torch.no_grad()
def between_domains(net: Method, distance, normalised: bool = False) -> float:
    fused = net(TEST).fused
    assert fused is not None
    fused = F.normalize(fused, dim=-1) if normalised else fused
    return float(mean_over_pairs(distance, fused, TEST.domain))


def two_samples() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    one = torch.randn(9, 4, generator=draw, dtype=torch.float64)
    return one, 0.5 * torch.randn(6, 4, generator=draw, dtype=torch.float64) + 1


# --- the distances --------------------------------------------------------------------------------------


def test_mmd_is_scikit_learns_kernels():
    x, y = two_samples()
    expected = np.mean(
        [
            rbf_kernel(x, x, g).mean() + rbf_kernel(y, y, g).mean() - 2 * rbf_kernel(x, y, g).mean()
            for g in GAMMAS
        ]
    )
    assert float(mmd(x, y, GAMMAS)) == pytest.approx(expected, abs=1e-9)
    assert float(mmd(x, x, GAMMAS)) == pytest.approx(0, abs=1e-12)


def test_coral_is_numpys_covariance():
    x, y = two_samples()
    gap = np.cov(x.numpy(), rowvar=False) - np.cov(y.numpy(), rowvar=False)
    assert float(coral(x, y)) == pytest.approx(np.linalg.norm(gap, "fro") ** 2 / (4 * 4**2), rel=1e-9)
    assert float(coral(x, x + 3)) == pytest.approx(0, abs=1e-12)
    expected = cdist(x.mean(0, keepdim=True), y.mean(0, keepdim=True), "sqeuclidean")[0, 0] / 4
    assert float(mean_distance(x, y)) == pytest.approx(expected, rel=1e-9)


def test_pairs_are_all_pairs_of_domains_with_enough_samples():
    features, domain = torch.randn(12, 3), torch.tensor([0, 0, 2, 2, 2, 4, 4, 4, 4, 7, 0, 2])
    groups = [features[domain == d] for d in (0, 2, 4)]
    expected = np.mean([float(mean_distance(a, b)) for a, b in combinations(groups, 2)])
    assert float(mean_over_pairs(mean_distance, features, domain, least=2)) == pytest.approx(
        expected, rel=1e-6
    )
    assert mean_over_pairs(mean_distance, features[9:], domain[9:], least=2) == 0


def test_domain_means_by_hand():
    means, seen = domain_means(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([0, 2, 2]), 4)
    assert means.tolist() == [1, 0, 4, 0]
    assert seen.tolist() == [True, False, True, False]


# --- what they are for ----------------------------------------------------------------------------------


def test_mmd_falls_against_erm():
    net = trained(MMD, MMDParams(width=16, layers=1, weight=10.0))
    own = functools.partial(mmd, gammas=GAMMAS)
    assert between_domains(net, own, True) < 0.6 * between_domains(erm(), own, True)


def test_coral_falls_against_erm():
    net = trained(CORAL, CORALParams(width=16, layers=1))
    for distance, most in ((coral, 0.5), (mean_distance, 0.3)):
        assert between_domains(net, distance) < most * between_domains(erm(), distance)


def test_coral_as_published_aligns_covariances_alone():
    net = trained(CORAL, CORALParams(width=16, layers=1, weight=10.0, **CORAL.as_published))
    assert between_domains(net, coral) < 0.5 * between_domains(erm(), coral)
    assert between_domains(net, mean_distance) > 0.3 * between_domains(erm(), mean_distance)


def test_features_stay_near_the_start_with_miro():
    net = trained(MIRO, MIROParams(width=16, layers=1))
    assert isinstance(net, MIRO)
    start = net.first_features(TEST)
    with torch.no_grad():
        ours, erms = ((n(TEST).fused - start).square().mean() for n in (net, erm()))
    assert ours < 0.4 * erms


# --- MIRO's bound ---------------------------------------------------------------------------------------


def test_miro_starts_at_no_distance_and_the_paper_variance():
    net = MIRO(MIROParams(width=16, layers=1), SPEC)
    batch = planted.all_patterns(TEST.take(slice(0, 8)), SPEC)
    torch.testing.assert_close(net.variance(), torch.full((32,), 0.1))
    net.eval()
    torch.testing.assert_close(net(batch).fused, net.first_features(batch))
    # No distance is left but log v.
    assert net.loss(batch)["miro"].item() == pytest.approx(0.1 * np.log(0.1) / 2, rel=1e-5)


def test_miro_is_a_gaussian_log_likelihood():
    net = MIRO(MIROParams(width=16, layers=1), SPEC)
    with torch.no_grad():
        net.raw_variance.add_(torch.randn(32))
        for p in net.encoders.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    net.eval()
    expected = torch.distributions.Normal(net(TEST).fused, net.variance().sqrt())
    likelihood = expected.log_prob(net.first_features(TEST)).mean()
    miro = -likelihood - 0.5 * np.log(2 * np.pi)
    torch.testing.assert_close(net.loss(TEST)["miro"], 0.1 * miro, rtol=1e-5, atol=1e-6)


def test_the_start_is_neither_trained_nor_saved_nor_read_in_prediction():
    net = trained(MIRO, MIROParams(width=16, layers=1))
    assert isinstance(net, MIRO)
    torch.manual_seed(0)
    fresh = MIRO(MIROParams(width=16, layers=1), SPEC)
    assert torch.equal(net.first_features(TEST), fresh.first_features(TEST))
    assert not any("start" in name for name in net.state_dict())
    net.double()
    assert net.first_features(TEST).dtype == torch.float64
    net.float()
