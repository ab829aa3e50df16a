"""The sparse mixture of experts: written out by loops, its router's noise and load, and what its balance counts."""

from __future__ import annotations

import pytest
import torch
from mmbench.methods.shared.experts import SparseExperts, variation
from torch.nn import functional as F


@pytest.mark.parametrize("router", ["laplace", "gaussian", "softmax"])
def test_a_token_is_the_gated_sum_of_its_experts(router: str) -> None:
    """By loops over tokens and experts, in double precision."""
    torch.manual_seed(0)
    mixture = SparseExperts(4, 5, 3, 2, router).double().eval()  # type: ignore[arg-type]
    tokens = torch.randn(6, 2, 4, dtype=torch.float64)
    found = mixture(tokens)
    for row in range(6):
        for place in range(2):
            token = tokens[row, place]
            apart = [(token - centre).square().sum() for centre in mixture.centres]
            logits = {
                "laplace": [-one.sqrt() for one in apart],
                "gaussian": [-one for one in apart],
                "softmax": [token @ centre for centre in mixture.centres],
            }[router]
            best = sorted(range(5), key=lambda e: -float(logits[e].detach()))[:2]
            shares = torch.stack([logits[e] for e in best]).softmax(0)
            said = [
                F.gelu(token @ mixture.enter[e] + mixture.enter_bias[e]) @ mixture.leave[e]
                + mixture.leave_bias[e]
                for e in best
            ]
            expected = sum(share * one for share, one in zip(shares, said, strict=True))
            torch.testing.assert_close(found.values[row, place], expected, atol=1e-6, rtol=1e-5)
            assert set(found.gates[row, place].nonzero().flatten().tolist()) == set(best)


def test_there_is_noise_in_training_alone() -> None:
    torch.manual_seed(0)
    mixture = SparseExperts(4, 6, 3, 2).eval()
    tokens = torch.randn(50, 4)
    assert torch.equal(mixture(tokens).gates, mixture(tokens).gates)
    torch.testing.assert_close(mixture(tokens[:1]).values, mixture(tokens).values[:1])
    mixture.train()
    assert not torch.equal(mixture(tokens).gates, mixture(tokens).gates)


def test_the_load_is_the_chance_to_be_chosen_under_another_draw_of_the_own_noise() -> None:
    """Monte Carlo for one expert of one token: the others keep their noise."""
    torch.manual_seed(0)
    mixture = SparseExperts(3, 5, 2, 2)
    tokens, draws = torch.randn(3, 3), 20_000
    clean = mixture.logits(tokens)
    scale = F.softplus(torch.zeros_like(clean)) + 1e-2
    noisy = clean + torch.randn_like(clean) * scale
    load = mixture._load(clean, noisy, scale)
    for token in range(3):
        for expert in range(5):
            again = noisy[token].expand(draws, 5).clone()
            again[:, expert] = clean[token, expert] + torch.randn(draws) * scale[token, expert]
            chosen = (again.topk(2, dim=1).indices == expert).any(1).float().mean()
            assert float(load[token, expert]) == pytest.approx(float(chosen), abs=0.02)


def test_balance_counts_known_tokens_and_is_least_where_all_experts_are_used_alike() -> None:
    assert float(variation(torch.tensor([2.0, 2.0, 2.0]))) == pytest.approx(0, abs=1e-7)
    assert float(variation(torch.tensor([0.0, 0.0, 3.0]))) == pytest.approx(3.0)
    torch.manual_seed(0)
    mixture = SparseExperts(2, 4, 3, 1).eval()
    alike, one = mixture.centres.detach() * 3, mixture.centres.detach()[:1].expand(4, -1)
    assert float(mixture(alike).balance.detach()) == pytest.approx(0, abs=1e-6)
    assert float(mixture(one).balance.detach()) == pytest.approx(8.0, rel=1e-4)
    both = torch.cat([alike, one])
    known = torch.arange(8) < 4
    assert float(mixture(both, known).balance.detach()) == pytest.approx(0, abs=1e-6)


def test_balance_spreads_tokens_over_the_experts() -> None:
    """All tokens lie nearest to one expert: minimised, the term moves them to all four."""
    torch.manual_seed(0)
    mixture = SparseExperts(3, 4, 2, 1)
    with torch.no_grad():
        mixture.centres.copy_(torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 3]]))
    tokens = 0.5 * torch.randn(200, 3)
    used = mixture.eval()(tokens).gates.mean(0)
    assert float(used.max()) > 0.9
    optimizer = torch.optim.Adam([mixture.centres, mixture.noise], lr=0.05)
    mixture.train()
    for _ in range(150):
        optimizer.zero_grad()
        mixture(tokens).balance.backward()
        optimizer.step()
    assert float(mixture.eval()(tokens).gates.mean(0).max()) < 0.5


def test_no_or_too_many_experts_are_refused() -> None:
    for top in (0, 4):
        with pytest.raises(ValueError, match=f"top is {top}: it should be between 1 and .* 3"):
            SparseExperts(2, 3, 2, top)
