"""What the classic methods promise alike: shapes, patterns, batches, gradients, and ERM with one source."""

from __future__ import annotations

import pytest
import torch
from mmbench.benchmark.core.registry import find
from mmbench.methods import METHODS
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.method import Method

from .. import planted, two_domains

CLASSICS = ("late_concat", "mixup", "mmd", "coral", "miro", "supcon", "irm", "vrex", "groupdro")
BETWEEN_DOMAINS = ("mmd", "coral", "irm", "vrex", "groupdro")


def build(name: str, spec) -> Method:
    torch.manual_seed(0)
    kind = find("method", name).load()
    return kind(kind.Params(layers=1, width=16), spec)


@pytest.mark.parametrize("kind", ["regression", "classification"])
@pytest.mark.parametrize("name", CLASSICS)
def test_every_pattern_batch_and_number_of_domains_is_finite(name, kind):
    for count in (1, 2, 3, 4):
        spec = two_domains.spec(*list(planted.SIZES)[:count], kind=kind, domains=1 + count % 3)
        net = build(name, spec)
        whole = planted.all_patterns(planted.noise(spec, 24), spec)
        whole.domain[:] = torch.arange(24) % spec.domains
        for stage in range(len(net.stages)):
            net.begin_stage(stage)
            # All domains, one domain, a sample without anything, a sample.
            for rows in (slice(None), slice(0, None, spec.domains), slice(0, 1), slice(1, 2)):
                batch = whole.take(rows)
                assert len(net(batch).prediction) == len(batch)
                terms = net.loss(batch)
                assert all(term.shape == () and term.isfinite() for term in terms.values())
                net.zero_grad()
                torch.stack(list(terms.values())).sum().backward()
                assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("kind", ["regression", "classification"])
@pytest.mark.parametrize("name", CLASSICS)
def test_gradients_reach_everything(name, kind):
    net = build(name, two_domains.spec(kind=kind))
    batch = planted.noise(net.spec, 32)
    batch.domain[:] = torch.arange(32) % 2
    torch.stack(list(net.loss(batch).values())).sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("name", BETWEEN_DOMAINS)
def test_own_term_reaches_the_encoders_and_is_off_with_one_source(name):
    def loss(domains: int) -> tuple[torch.Tensor, torch.Tensor]:
        spec = two_domains.spec("text", "audio", domains=domains)
        net, batch = build(name, spec), two_domains.imbalanced(spec, 64, seed=1)
        erm = ERM(ERMParams(layers=1, width=16), spec)
        erm.load_state_dict(net.state_dict(), strict=False)
        batch.domain[:] %= domains
        values = []
        for method in (net, erm):
            torch.manual_seed(1)
            total = torch.stack(list(method.loss(batch).values())).sum()
            first = dict(method.named_parameters())["encoders.parts.0.project.weight"]
            (slope,) = torch.autograd.grad(total, first)
            values.append(slope)
        return values[0], values[1]

    assert build(name, two_domains.spec()).needs_domains == 2
    assert torch.equal(*loss(1))
    ours, erms = loss(2)
    assert (ours - erms).norm() > 1e-3 * erms.norm()


def test_methods_that_do_not_compare_domains_do_not_ask_for_them():
    assert {name for name in METHODS if find("method", name).load().needs_domains > 1} >= {*BETWEEN_DOMAINS}
    for name in set(CLASSICS) - set(BETWEEN_DOMAINS):
        assert find("method", name).load().needs_domains == 1
