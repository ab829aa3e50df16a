"""MMPareto: the solution of least norm against a search, the gradients by hand, and what the weak encoder gains."""

from __future__ import annotations

import pytest
import torch
from mmbench.methods.balance.mmpareto import MARGIN, MMPareto, MMParetoParams, lengthened, min_norm_share
from mmbench.methods.balance.uniform import Uniform, UniformParams
from torch import Tensor

from .. import planted
from .strong_weak import accuracy, probes, trained

SPEC = planted.spec("text", "audio", kind="classification")


def network(**params) -> MMPareto:
    torch.manual_seed(0)
    return MMPareto(MMParetoParams(width=8, layers=1, **params), SPEC).eval()


def gradients(net: MMPareto | Uniform, batch) -> dict[str, Tensor]:
    net.zero_grad()
    net.backward(batch)
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("seed", range(6))
def test_the_share_is_that_of_a_search(seed: int):
    draw = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 5, generator=draw) * torch.tensor([[1.0], [0.2 + seed]])
    grid = torch.linspace(MARGIN, 1 - MARGIN, 9_981)
    lengths = (grid[:, None] * a + (1 - grid)[:, None] * b).norm(dim=1)
    assert min_norm_share(a, b) == pytest.approx(float(grid[lengths.argmin()]), abs=2e-4)


def test_shares_at_the_ends_and_of_equal_vectors():
    a = torch.tensor([1.0, 0.0])
    assert min_norm_share(a, 3 * a) == 1 - MARGIN
    assert min_norm_share(3 * a, a) == MARGIN
    assert min_norm_share(a, a) == 0.5
    assert min_norm_share(a, -3 * a) == pytest.approx(0.75)  # 0 is reached


def test_lengthened_keeps_the_direction_and_never_shortens():
    v = torch.tensor([3.0, 4.0])
    assert lengthened(v, torch.tensor([20.0])).tolist() == [12.0, 16.0]
    assert lengthened(v, torch.tensor([1.0])).tolist() == [3.0, 4.0]
    assert lengthened(0 * v, v).tolist() == [0.0, 0.0]


def test_with_equal_weights_and_no_gain_the_gradients_are_those_of_uniform():
    batch, net = planted.noise(SPEC, 16), network(weights="equal", gain=1.0)
    other = Uniform(UniformParams(width=8, layers=1), SPEC).eval()
    other.load_state_dict({k: v for k, v in net.state_dict().items() if k in other.state_dict()})
    found, goal = gradients(net, batch), gradients(other, batch)
    assert found.keys() == goal.keys()
    assert all(torch.allclose(found[name], goal[name], atol=1e-6) for name in goal)


@pytest.mark.parametrize("rescale", [True, False])
def test_an_encoder_in_conflict_is_given_the_combination_by_hand(rescale: bool):
    net, batch = network(rescale=rescale), planted.noise(SPEC, 16)
    # With other weights in the head of the text an encoder's two gradients are in conflict, as is asserted below.
    net.heads.parts[0].load_state_dict(
        {k: torch.randn(v.shape, generator=torch.Generator().manual_seed(3)) for k, v in net.heads.parts[0].state_dict().items()}
    )  # fmt: skip
    names = [name for name, _ in net.named_parameters()]
    each = []
    for term in ("task", "unimodal"):
        net.zero_grad()
        net.loss(batch)[term].backward()
        each.append({name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None})
    found, told = gradients(net, batch), []
    for i in range(2):
        own = [n for n in names if n.startswith(f"encoders.parts.{i}.") and n in each[0] and n in each[1]]
        a, b = (torch.cat([g[n].flatten() for n in own]) for g in each)
        gamma = min_norm_share(a, b) if a @ b < 0 else 0.5
        told.append(bool(a @ b < 0))
        for n in own:
            goal = 2 * gamma * each[0][n] + 2 * (1 - gamma) * each[1][n]
            if rescale:
                goal = lengthened(goal, each[0][n] + each[1][n])
            assert torch.allclose(found[n], 1.5 * goal, atol=1e-5), n
    assert any(told)
    assert net.conflicts.tolist() == [float(x) for x in told]
    heads = [n for n in found if not n.startswith("encoders.")]
    assert all(torch.allclose(found[n], each[0].get(n, 0) + each[1].get(n, 0), atol=1e-6) for n in heads)


def test_opposite_gradients_are_in_conflict_and_their_combination_ascends_neither_loss():
    net = network(gain=1.0)
    part = list(net.encoders.parts[0].parameters())
    size = sum(p.numel() for p in part)
    draw = torch.Generator().manual_seed(1)
    a = torch.randn(size, generator=draw)
    b = -0.8 * a + 0.5 * torch.randn(size, generator=draw)
    sizes = [p.numel() for p in part]
    fused, own = (
        {p: v.view_as(p) for p, v in zip(part, whole.split(sizes), strict=True)} for whole in (a, b)
    )
    for p in part:
        p.grad = fused[p] + own[p]
    net.measured += 1
    net._combine(0, part, fused, own)
    assert net.conflicts.tolist() == [1.0, 0.0]
    assert float(net.share[0]) == pytest.approx(min_norm_share(a, b))
    direct = min_norm_share(a, b) * a + (1 - min_norm_share(a, b)) * b
    assert float(direct @ a) >= 0
    assert float(direct @ b) >= 0


def test_the_weak_encoder_gains_over_joint_training_and_the_prediction_stays():
    assert probes("mmpareto") > probes("erm") + 0.1
    assert probes("mmpareto") > probes("uniform") - 0.05
    assert accuracy(trained("mmpareto")) > accuracy(trained("erm")) - 0.02
