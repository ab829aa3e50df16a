"""The formulas of QA-MoE, one by one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.losses import gaussian_nll
from mmbench.methods.missing.qamoe import BANK, LEAST_VARIANCE, QAMoE, QAMoEParams
from mmbench.methods.shared.qamoe_parts import balance, damaged, near_labels, spread, top_gates

from .. import planted

SPEC = planted.spec("text", "audio")
ONE_STEP = replace(SPEC, steps=dict.fromkeys(SPEC.modalities, 1))


def network(spec: Spec = ONE_STEP, **params) -> QAMoE:
    torch.manual_seed(0)
    return QAMoE(QAMoEParams(width=8, layers=1, **params), spec).eval()


def embeddings(net: QAMoE, batch: Batch) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return net.encode_all(batch)


# --- sizes ------------------------------------------------------------------------------------------------


def test_sizes_are_those_counted_by_hand():
    net = QAMoE(QAMoEParams(), planted.spec("text", "audio", "vision"))
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    assert sizes["experts"] == 8 * 3 * 40 * 40 == 38_400
    assert sizes["router"] == 40 * 8 + 8
    assert sizes["means"] == 3 * (40 * 40 + 40)
    assert sizes["variances"] == 3 * (41 * 40 + 40 + 40 * 40 + 40)  # the spread is one number more
    assert sizes["reduce"] == 120 * 40 + 40
    assert sizes["head"] == 40 * 2 + 2  # a score and its variance
    assert sizes["branches"] == 3 * 41
    assert net.codes.numel() + net.prior.numel() == 3 * 40 + 40


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"experts": 2, "top": 3}, "top is 3: it should be between 1 and experts, 2"),
        ({"lambda_max": 0.0}, "lambda_max is 0.0"),
        ({"lambda_max": -1.0}, "both should be above 0"),
    ],
)
def test_what_cannot_be_is_refused(params: dict, message: str):
    with pytest.raises(ValueError, match=message):
        network(**params)


# --- the mixture ------------------------------------------------------------------------------------------


def test_gates_are_the_largest_and_sum_to_one():
    probability = torch.tensor([[0.1, 0.4, 0.2, 0.3]])
    assert torch.allclose(top_gates(probability, 3), torch.tensor([[0, 4 / 9, 2 / 9, 3 / 9]]))
    net, batch = network(), planted.noise(SPEC, 16)
    mixture = net.mix(embeddings(net, batch), batch)
    assert torch.allclose(mixture.gates.sum(-1), torch.ones(16, 2))
    assert ((mixture.gates > 0).sum(-1) == 3).all()


def test_what_is_said_is_the_formula_by_hand():
    net, batch = network(), planted.noise(SPEC, 5)
    torch.nn.init.normal_(net.prior)
    found = embeddings(net, batch)
    mixture = net.mix(found, batch)
    first, second, third = net.experts.weights
    said = torch.zeros(5, 2, 8)
    for b in range(5):
        for i, m in enumerate(SPEC.modalities):
            u = found[m][b]
            mean = net.means.parts[i](u)
            told = torch.cat([u, spread(batch, m)[b : b + 1]])
            variance = torch.nn.functional.softplus(net.variances.parts[i](told))
            r = 1 / (1 + variance.mean())
            assert torch.isclose(r, mixture.reliability[b, i])
            p = net.router(mean + net.codes[i]).softmax(-1)
            best = p.topk(3).indices.tolist()
            mixed = torch.zeros(8)
            for j in best:
                expert = (mean @ first[j]) * (mean @ second[j]).sigmoid() @ third[j]
                mixed = mixed + p[j] / p[best].sum() * expert
            said[b, i] = r * mixed + (1 - r) * net.prior
    raw = net.head(torch.relu(net.reduce(said.flatten(1))))
    assert torch.allclose(mixture.raw, raw, atol=1e-5)


def test_the_route_may_heed_the_reliability():
    net, batch = network(route="mean+reliability"), planted.noise(SPEC, 8)
    found = embeddings(net, batch)
    start = net.mix(found, batch)
    assert torch.equal(start.probability, network().mix(found, batch).probability)  # its code starts as 0
    with torch.no_grad():
        net.reliability_code[0] = 5.0
    heeded = net.mix(found, batch)
    by_hand = start.probability.log() + heeded.own.unsqueeze(-1) * net.reliability_code
    assert torch.allclose(heeded.probability, by_hand.softmax(-1), atol=1e-6)


def test_an_absent_modality_is_the_prior_and_has_no_reliability():
    net, batch = network(), planted.noise(SPEC, 16)
    torch.nn.init.normal_(net.prior)
    gone = batch.with_present({"audio": torch.zeros(16, dtype=torch.bool)})
    output = net(gone)
    assert (output.diagnostics["reliability/audio"] == 0).all()
    assert (output.diagnostics["reliability/text"] > 0).all()
    assert (output.diagnostics["gate_entropy/audio"] == 0).all()
    p = net.mix(embeddings(net, gone), gone).probability[:, 0]
    by_hand = -(p * p.log()).sum(-1) / math.log(8)
    assert torch.allclose(output.diagnostics["gate_entropy/text"], by_hand, atol=1e-5)
    given = net.mix(embeddings(net, batch), batch).own * torch.tensor([1.0, 0.0])
    by_hand = net.mix(embeddings(net, batch), batch, given).raw[:, 0]
    assert torch.equal(output.prediction, by_hand)
    published = network(variance_head="linear", flag_missing=False)
    assert (published(gone).diagnostics["reliability/audio"] > 0).all()


@pytest.mark.parametrize("head", ["mlp", "linear"])
def test_spread_is_read_by_the_deep_head_alone(head: str):
    net = network(variance_head=head)
    batch = planted.noise(SPEC, 4, steps=1)
    wide = replace(batch, features={m: torch.cat([x - 1, x + 1], 1) for m, x in batch.features.items()},
                   mask={m: torch.ones(4, 2).bool() for m in SPEC.modalities})  # fmt: skip
    assert (spread(batch, "text") == 0).all()  # of a single step
    assert torch.allclose(spread(wide, "text"), torch.full((4,), math.log(2)))
    same = torch.allclose(
        net(batch).diagnostics["reliability/text"], net(wide).diagnostics["reliability/text"], atol=1e-6
    )
    assert same == (head == "linear")


def test_one_modality_with_one_feature():
    net = network(Spec({"pulse": 1}, "regression", label_range=(-3.0, 3.0), steps={"pulse": 1}))
    batch = planted.noise(Spec({"pulse": 1}, "regression"), 6)
    assert torch.isfinite(net(batch).prediction).all()
    assert (net(batch).diagnostics["reliability/pulse"] > 0).all()


# --- the controls of the gate -----------------------------------------------------------------------------


def test_controls_of_the_gate_are_what_they_say():
    net, batch = network(), planted.noise(SPEC, 16)
    net.bank.uniform_()
    found = embeddings(net, batch)

    def raw(gate: str, given: torch.Tensor | None = None) -> torch.Tensor:
        net.params = replace(net.params, gate=gate)
        return net.mix(found, batch, given).raw

    assert torch.equal(raw("constant"), raw("quality", net.bank.mean(0).expand(16, 2)))
    assert torch.equal(raw("none"), raw("quality", torch.ones(16, 2)))
    assert not torch.equal(raw("quality"), raw("none"))
    net.params = replace(net.params, gate="shuffled")
    drawn = net.mix(found, batch).reliability
    order = torch.randperm(16)
    again = net.mix({m: x[order] for m, x in found.items()}, batch.take(order)).reliability
    assert torch.equal(drawn[order], again)  # the sample's own, in any batch and order
    assert all(row in net.bank.tolist() for row in drawn.tolist())  # of one training sample
    net.train()
    own = net.mix(found, batch)
    assert sorted(own.reliability.tolist()) == sorted(own.own.tolist())
    assert not torch.equal(own.reliability, own.own)


def test_the_bank_holds_the_last_reliabilities_of_samples_that_have_the_modality():
    net, batch = network(train_damage="off").train(), planted.noise(SPEC, 24)
    start = float(net.bank[0, 0])
    assert start == pytest.approx(1 / (1 + math.log(2)))  # what a variance of softplus(0) gives
    half = batch.with_present({"audio": torch.arange(24) < 10})
    net.loss(half)
    assert net.place.tolist() == [24, 10]
    assert ((net.bank != start).sum(0) == torch.tensor([24, 10])).all()
    assert (net.bank > 0).all()
    for _ in range(BANK // 24):
        net.loss(half)
    assert net.place[0] == (24 * (BANK // 24 + 1)) % BANK


# --- the terms --------------------------------------------------------------------------------------------


def test_balance_is_one_where_all_experts_are_used_alike_and_more_elsewhere():
    probability = torch.full((8, 2, 4), 0.25)
    known = torch.ones(8, 2, dtype=torch.bool)
    used = torch.eye(4).repeat(4, 1).view(8, 2, 4)
    assert float(balance(probability, used, known)) == pytest.approx(1)
    first = torch.zeros(8, 2, 4)
    first[..., 0] = 1
    assert float(balance(first, first, known)) == pytest.approx(4)
    assert float(balance(first, first, torch.zeros_like(known))) == 0


def test_contrast_needs_a_near_label():
    rows, target = torch.randn(4, 3), torch.tensor([0.0, 0.4, 2.0, 3.0])
    assert float(near_labels(rows, target, 0.5, 0.1)) > 0
    assert float(near_labels(rows, 10 * target, 0.5, 0.1)) == 0
    assert float(near_labels(rows[:1], target[:1], 0.5, 0.1)) == 0
    same = near_labels(rows[:2].repeat(2, 1), torch.tensor([0.0, 5.0, 0.0, 5.0]), 0.5, 0.1)
    assert float(same) < float(near_labels(rows, torch.tensor([0.0, 5.0, 0.0, 5.0]), 0.5, 0.1))


@pytest.mark.parametrize("tie", ["task", "denoise", "none"])
def test_labels_that_never_change_leave_every_term_a_number(tie: str):
    net, batch = network(tie=tie).train(), planted.noise(SPEC, 8)
    net.before_epoch(lambda: iter(()), 0.5)
    terms = net.backward(replace(batch, target=torch.zeros(8)))
    assert all(term.isfinite() for term in terms.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_contrast_begins_after_a_sixth_of_the_training():
    net, batch = network(train_damage="off").train(), planted.noise(SPEC, 16)
    assert "contrast" not in net.loss(batch)
    net.before_epoch(lambda: iter(()), 0.2)
    assert "contrast" in net.loss(batch)
    alone = net.loss(batch.take(slice(0, 1)))
    assert float(alone["contrast"].detach()) == 0


def test_terms_of_scores_are_the_published_ones_as_published():
    batch = planted.noise(SPEC, 16)
    ours, published = network(train_damage="off"), network(train_damage="off", **QAMoE.as_published)
    terms = published.loss(batch)
    assert float(terms["task"].detach()) == 0
    assert "tie" not in terms
    output = published(batch)
    assert output.log_variance is not None
    likelihood = gaussian_nll(output.prediction, output.log_variance, batch.target).mean()
    assert torch.isclose(terms["nll"], likelihood)
    assert set(ours.loss(batch)) == {"task", "nll", "balance", "tie"}
    classes = network(replace(planted.spec("text", "audio", kind="classification"), steps=ONE_STEP.steps))
    told = planted.noise(planted.spec("text", "audio", kind="classification"), 16)
    assert set(classes.loss(told)) == {"task", "balance", "tie"}
    assert classes(told).log_variance is None


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_the_tie_is_least_where_the_variance_is_the_expected_error(kind: str):
    spec = replace(planted.spec("text", "audio", kind=kind), steps=ONE_STEP.steps)
    net, batch = network(spec, train_damage="off"), planted.noise(spec, 64)
    mixture = net.mix(embeddings(net, batch), batch)
    said = net.branches(mixture.mean)
    if kind == "regression":
        expected = (said[..., 0] - batch.target[:, None]).square().mean(0)
    else:
        told = said.log_softmax(-1).gather(-1, batch.target.view(-1, 1, 1).expand(-1, 2, 1))
        expected = -2 * told[..., 0].mean(0)

    def tie(share: float) -> float:
        variance = (share * expected).view(1, 2, 1).expand(64, 2, 8)
        return float(net.branch_loss(replace(mixture, variance=variance), batch.target).detach())

    assert tie(1.0) < min(tie(0.8), tie(1.25))


def test_branches_speak_where_they_are_trained():
    batch = planted.noise(SPEC, 8)
    said = network()(batch).unimodal
    assert [one.shape for one in said.values()] == [(8,), (8,)]
    assert not network(tie="none")(batch).unimodal


def test_denoising_is_least_where_the_variance_is_how_far_the_mean_moved():
    net, batch = network(tie="denoise"), planted.noise(SPEC, 64)
    moved = net.mix(embeddings(net, batch), batch)
    shift = torch.randn(64, 2, 8)
    clean = net.mix(embeddings(net, batch), batch).mean
    deviation = clean.std(dim=0, unbiased=False)
    moved = replace(moved, mean=clean + 0.5 * shift * deviation)

    def tie(variance: float) -> float:
        return float(net.denoising_loss(replace(moved, variance=torch.full((64, 2, 8), variance)), batch))

    least = 0.25 - LEAST_VARIANCE
    assert tie(least) < min(tie(0.6 * least), tie(1.6 * least))


# --- the damage -------------------------------------------------------------------------------------------


def test_damage_is_half_of_it_none_and_never_takes_all():
    spec = planted.spec()
    batch = planted.noise(spec, 2000, steps=6)
    broken = damaged(batch, 3.0, whole_batch=False)
    names = list(spec.modalities)
    there = torch.stack([broken.present[m] for m in names], 1)
    assert there.any(1).all()
    assert 0.13 < float((~there).float().mean()) < 0.17
    strength = (broken.features["text"] - batch.features["text"]).flatten(1).std(dim=1)
    assert 0.46 < float((strength == 0).float().mean()) < 0.54
    assert 2.5 < float(strength.max()) < 4.5
    assert torch.equal(batch.features["text"], planted.noise(spec, 2000, steps=6).features["text"])
    single = batch.with_present({"text": torch.zeros(2000).bool(), "audio": torch.zeros(2000).bool()})
    assert damaged(single, 3.0, whole_batch=False).present["vision"].all()


def test_damage_as_published_is_one_for_the_batch():
    spec = planted.spec()
    batch = planted.noise(spec, 500, steps=6)
    strengths, rates = [], []
    for _ in range(20):
        broken = damaged(batch, 1.0, whole_batch=True)
        own = torch.stack([(broken.features[m] - batch.features[m]).std() for m in spec.modalities])
        assert float(own.max() / own.min()) < 1.1
        strengths.append(float(own.mean()))
        there = torch.stack(list(broken.present.values()), 1)
        assert there.any(1).all()
        rates.append(1 - float(there.float().mean()))
    assert min(strengths) < 0.3
    assert 0.7 < max(strengths) < 1.05
    assert min(rates) < 0.2
    assert max(rates) > 0.5


def test_raw_media_and_entries_that_were_not_observed_get_no_noise():
    batch = planted.noise(SPEC, 8)
    observed = torch.rand(batch.features["text"].shape) < 0.5
    partly = batch.with_observed({"text": observed})
    broken = damaged(partly, 3.0, whole_batch=True, skipped=("audio",))
    assert torch.equal(broken.features["audio"], batch.features["audio"])
    assert (broken.features["text"][~observed] == 0).all()
    assert not torch.equal(broken.features["text"], partly.features["text"])
