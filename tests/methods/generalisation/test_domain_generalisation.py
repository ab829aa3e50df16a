"""What RNA, SimMMDG, MOOSA, CMRF and NEL have in common. What each is for: in its own file."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from mmbench.methods.generalisation.cmrf import CMRF, CMRFParams
from mmbench.methods.generalisation.moosa import MOOSA, MOOSAParams
from mmbench.methods.generalisation.nel import NEL, NELParams
from mmbench.methods.generalisation.rna import RNA, RNAParams
from mmbench.methods.generalisation.simmmdg import SimMMDG, SimMMDGParams
from mmbench.methods.method import Method

from .. import planted

SMALL = {
    "rna": (RNA, RNAParams(width=16, layers=1)),
    "simmmdg": (SimMMDG, SimMMDGParams(width=16, layers=1, hidden=32, contrast_width=16)),
    "moosa": (MOOSA, MOOSAParams(width=16, layers=1, hidden=32, contrast_width=16)),
    "cmrf": (CMRF, CMRFParams(width=16, layers=1, hidden=32, start=0)),
    "nel": (NEL, NELParams(width=16, layers=1, hidden=32)),
}
NAMES = pytest.mark.parametrize("name", list(SMALL))
KINDS = pytest.mark.parametrize("kind", ["regression", "classification"])


def build(name: str, *modalities: str, kind: str = "regression") -> Method:
    made, params = SMALL[name]
    net = made(params, planted.spec(*modalities, kind=kind))
    net.after_step()  # with start=0, CMRF distils from here on
    return net


def total(net: Method, batch) -> torch.Tensor:
    return torch.stack(list(net.loss(batch).values())).sum()


@NAMES
@KINDS
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_pattern_and_batch_size_gives_finite_terms_and_gradients(name, kind, count):
    net = build(name, *list(planted.SIZES)[:count], kind=kind)
    # Sample 0 has no modality, sample 1 has one.
    everything = planted.all_patterns(planted.noise(net.spec, 2**count), net.spec)
    for batch in (everything, everything.take(slice(1, 2)), everything.take(slice(0, 1))):
        net.zero_grad()
        terms = net.loss(batch)
        assert all(term.shape == () and term.isfinite() for term in terms.values())
        torch.stack(list(terms.values())).sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
        out = net(batch)
        assert all(said.shape == out.prediction.shape for said in out.unimodal.values())
        assert all(d.shape == (len(batch),) and d.isfinite().all() for d in out.diagnostics.values())


@NAMES
@KINDS
def test_gradients_reach_everything_that_trains(name, kind):
    net = build(name, kind=kind)
    total(net, planted.noise(net.spec, 32)).backward()
    trained = [(n, p) for n, p in net.named_parameters() if p.requires_grad]
    assert [n for n, p in trained if p.grad is None or not p.grad.abs().sum() > 0] == []
    assert all(n.startswith("teacher.") for n, p in net.named_parameters() if not p.requires_grad)


@NAMES
def test_garbage_in_an_absent_modality_changes_neither_loss_nor_gradient(name):
    net = build(name)
    batch = planted.all_patterns(planted.noise(net.spec, 16), net.spec)
    features = {
        m: torch.where(batch.present[m][:, None, None], x, torch.nan) for m, x in batch.features.items()
    }
    found = []
    for given in (batch, dataclasses.replace(batch, features=features)):
        torch.manual_seed(3)
        net.zero_grad()
        total(net, given).backward()
        found.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@NAMES
def test_the_loss_does_not_ask_which_source_a_sample_is_from(name):
    net = build(name)
    batch = planted.noise(net.spec, 12)
    losses = []
    for domain in (batch.domain, torch.arange(12) % 3):
        torch.manual_seed(3)
        losses.append(total(net, dataclasses.replace(batch, domain=domain)))
    assert torch.equal(*losses)


@pytest.mark.parametrize(
    ("name", "term"), [("rna", "norms"), ("simmmdg", "translation"), ("moosa", "translation")]
)
def test_terms_between_modalities_are_off_with_one(name, term):
    alone, several = build(name, "text"), build(name)
    assert alone.loss(planted.noise(alone.spec, 8))[term] == 0
    assert several.loss(planted.noise(several.spec, 8))[term] > 0


def test_cmrf_distils_only_between_modalities():
    alone, several = build("cmrf", "text"), build("cmrf")
    assert "distillation" not in alone.loss(planted.noise(alone.spec, 8))
    assert "distillation" in several.loss(planted.noise(several.spec, 8))
