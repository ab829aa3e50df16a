"""The contract of EBMC: shapes, patterns, stages, teacher, switches. Its mechanisms: test_ebmc_mechanisms."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from mmbench.benchmark.train.lightning_module import _stage_starts
from mmbench.datasets.batch import Batch
from mmbench.methods.missing.ebmc import EBMC, EBMCParams
from mmbench.methods.shared import ebmc_parts
from torch import Tensor

from .. import planted

KINDS = pytest.mark.parametrize("kind", ["regression", "classification"])


def build(
    *modalities: str, kind: str = "regression", protocol: str = "fair", stage: int = 0, **params
) -> EBMC:
    if protocol == "as-published":
        params = {**EBMC.as_published, **params}
    net = EBMC(EBMCParams(layers=1, **params), planted.spec(*modalities, kind=kind, protocol=protocol))
    net.begin_stage(stage)
    return net


def same_draws(net: EBMC, batch: Batch) -> dict[str, Tensor]:
    """The loss with every random draw the same from call to call, at the first step."""
    torch.manual_seed(3)
    net.steps = 0
    return net.loss(batch)


@KINDS
@pytest.mark.parametrize("protocol", ["fair", "as-published"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_pattern_stage_and_batch_size_is_finite(kind, protocol, count):
    net = build(*list(planted.SIZES)[:count], kind=kind, protocol=protocol)
    for stage in (0, 1):
        net.begin_stage(stage)
        # Sample 0 has no modality, sample 1 has one.
        everything = planted.all_patterns(planted.noise(net.spec, 2**count), net.spec)
        for batch in (everything, everything.take(slice(1, 2)), everything.take(slice(0, 1))):
            out = net(batch)
            assert out.prediction.shape == ((len(batch), 3) if kind == "classification" else (len(batch),))
            assert out.prediction.isfinite().all()
            assert all(u.shape == out.prediction.shape for u in out.unimodal.values())
            assert all(d.shape == (len(batch),) and d.isfinite().all() for d in out.diagnostics.values())
            net.zero_grad()
            terms = net.loss(batch)
            assert all(term.shape == () and term.isfinite() for term in terms.values())
            torch.stack(list(terms.values())).sum().backward()
            assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@KINDS
def test_gradients_reach_everything_that_should_train_in_each_stage(kind):
    net = build(kind=kind)
    for stage in (0, 1):
        net.begin_stage(stage)
        net.zero_grad()
        torch.stack(list(net.loss(planted.noise(net.spec, 33)).values())).sum().backward()
        still = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert still == []


def test_embeddings_serve_every_missing_pattern():
    net = build().eval()
    batch = planted.noise(net.spec, 6)
    with torch.no_grad():
        encoded = {m: net.encode(m, batch) for m in net.spec.modalities}
        for pattern in planted.patterns(net.spec):
            hidden = batch.with_present({m: torch.full((6,), there) for m, there in pattern.items()})
            once, again = net.fuse(encoded, hidden), net(hidden)
            assert torch.equal(once.prediction, again.prediction)
            assert once.diagnostics.keys() == again.diagnostics.keys()
            assert all(torch.equal(v, again.diagnostics[k]) for k, v in once.diagnostics.items())


def test_garbage_in_an_absent_modality_changes_nothing():
    net = build(stage=1)
    batch = planted.noise(net.spec, 8).with_present({"text": torch.arange(8) % 2 == 0})
    nan = torch.where(batch.present["text"][:, None, None], batch.features["text"], torch.nan)
    broken = dataclasses.replace(batch, features={**batch.features, "text": nan})
    clean_loss, broken_loss = same_draws(net, batch), same_draws(net, broken)
    assert all(torch.equal(clean_loss[k], broken_loss[k]) for k in clean_loss)
    net.eval()
    assert torch.equal(net(batch).prediction, net(broken).prediction)


def test_no_label_is_read_in_prediction():
    net = build().eval()
    batch = planted.noise(net.spec, 5)
    other = dataclasses.replace(batch, target=batch.target + 100)
    assert all(torch.equal(v, net(other).diagnostics[k]) for k, v in net(batch).diagnostics.items())


# --- the patterns of training ---------------------------------------------------------------------------


def test_patterns_are_the_nonempty_subsets_equally_likely():
    known = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [False] * 3])
    draws = ebmc_parts.draw_pattern(known.repeat_interleave(4000, 0), 1.0).view(4, 4000, 3)
    for row, subsets in zip(draws, (7, 3, 1, 1), strict=True):
        found, counts = row.unique(dim=0, return_counts=True)
        assert len(found) == subsets
        assert counts.min() > 0.85 * 4000 / subsets
    assert (draws[:3].any(-1)).all()
    assert not (draws & ~known.unsqueeze(1)).any()


def test_patterns_are_drawn_only_in_training_and_with_their_probability():
    net = build(pattern_probability=0.3)
    known = torch.ones(4000, 3, dtype=torch.bool)
    hidden = (~ebmc_parts.draw_pattern(known, 0.3).all(1)).float().mean().item()
    assert hidden == pytest.approx(0.3 * 6 / 7, abs=0.03)
    net.eval()
    batch = planted.noise(net.spec, 16)
    assert torch.equal(net.loss(batch)["cce"], net.loss(batch)["cce"])


# --- the teacher ----------------------------------------------------------------------------------------


def test_teacher_is_a_frozen_copy_outside_of_the_network():
    net = build()
    names, count = set(net.state_dict()), sum(p.numel() for p in net.parameters())
    batch = planted.noise(net.spec, 8)
    net.begin_stage(1)
    assert set(net.state_dict()) == names
    assert sum(p.numel() for p in net.parameters()) == count
    before = net.teach(batch)
    net.eval()
    encoded = torch.stack([net.encode(m, batch) for m in net.names], 1)
    torch.testing.assert_close(before, net.branches(encoded))
    net.train()
    optimiser = torch.optim.SGD(net.parameters(), 0.1)
    torch.stack(list(net.loss(batch).values())).sum().backward()
    optimiser.step()
    assert torch.equal(net.teach(batch), before)  # no dropout, no update
    assert not before.requires_grad
    assert (
        net.branches(torch.stack([net.encode(m, batch) for m in net.names], 1)) - before
    ).abs().max() > 1e-3


def test_teacher_sees_what_is_hidden_from_the_student(monkeypatch):
    net = build(stage=1)
    seen: list[Tensor] = []
    teach = EBMC.teach

    def spy(self: EBMC, batch: Batch) -> Tensor:
        seen.append(self.known(batch))
        return teach(self, batch)

    monkeypatch.setattr(EBMC, "teach", spy)
    net.loss(planted.noise(net.spec, 64))
    assert seen[0].all()


def test_copies_and_moves_take_the_teacher_along():
    net = build(stage=1)
    batch = planted.noise(net.spec, 4)
    twin = copy.deepcopy(net)
    assert torch.equal(twin.teach(batch), net.teach(batch))
    assert twin.teacher[0] is not net.teacher[0]
    net.to(torch.float64)
    assert all(p.dtype == torch.float64 for p in net.teacher[0].parameters())
    again = build()
    again.to("cpu").begin_stage(1)
    assert again.teacher


def test_weights_alone_restore_the_predictions():
    net = build(stage=1).eval()
    other = build().eval()
    other.load_state_dict(net.state_dict())
    batch = planted.all_patterns(planted.noise(net.spec, 8), net.spec)
    assert torch.equal(net(batch).prediction, other(batch).prediction)


# --- switches -------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize(
    ("switch", "term"), [("msd", "msd"), ("emc", "emc"), ("imtd_distill", "imtd")], ids=["msd", "emc", "imtd"]
)
def test_a_switch_removes_its_term_and_leaves_the_others(kind, switch, term):
    full = build(kind=kind, stage=1)
    off = EBMC(dataclasses.replace(full.params, **{switch: False}), full.spec)
    off.load_state_dict(full.state_dict())
    off.begin_stage(1)
    full.begin_stage(1)
    batch = planted.noise(full.spec, 16)
    with_it, without = same_draws(full, batch), same_draws(off, batch)
    assert with_it.pop(term).abs() > 0
    assert with_it.keys() == without.keys()
    assert all(torch.equal(with_it[k], without[k]) for k in without)


def test_cce_off_removes_its_term_and_its_path():
    off = build(stage=1, cce=False)
    batch = planted.noise(off.spec, 8).with_present({"text": torch.zeros(8, dtype=torch.bool)})
    assert "cce" not in off.loss(batch)
    on, off = build().eval()(batch), off.eval()(batch)
    assert (off.diagnostics["reconstruction/text"] == 0).all()
    assert (on.diagnostics["reconstruction/text"] > 0).all()


def test_the_loss_of_the_task_enters_once_in_stage_two():
    net = build(stage=1, imtd_distill=False)  # distilling is the only other term of the fused prediction
    batch = planted.noise(net.spec, 16)
    terms = same_draws(net, batch)
    weights = list(net.head.parameters())
    whole = torch.autograd.grad(torch.stack(list(terms.values())).sum(), weights, retain_graph=True)
    once = torch.autograd.grad(terms["task"], weights, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(whole, once, strict=True))
    assert terms["cce"] > 0
    first = build(stage=0)  # there it is the only one that trains the fusion
    (slope, *_) = torch.autograd.grad(same_draws(first, batch)["cce"], list(first.head.parameters()))
    assert slope.abs().sum() > 0


def test_imtd_off_removes_its_term_and_its_weights():
    batch = planted.noise(planted.spec(), 8)
    assert "imtd" not in build(stage=1, imtd=False).loss(batch)
    for off in (build(imtd=False), build(imtd_fusion=False)):
        assert (off.eval()(batch).diagnostics["trust/text"] == 1 / 3).all()
    assert build().eval()(batch).diagnostics["trust/text"].std() > 0


def test_the_energy_gap_is_between_the_modalities_that_are_there():
    net = build().eval()
    told = net(planted.all_patterns(planted.noise(net.spec, 8), net.spec)).diagnostics
    energies = torch.stack([told[f"energy/{m}"] for m in net.names], dim=1)
    gap = told["energy_gap"]
    assert gap[[0, 1, 2, 4]].tolist() == [0, 0, 0, 0]  # no modality, or one
    torch.testing.assert_close(gap[3], (energies[3, 0] - energies[3, 1]).abs())
    torch.testing.assert_close(gap[7], energies[7].max() - energies[7].min())


def test_terms_of_each_stage():
    net = build()
    batch = planted.noise(net.spec, 8)
    assert set(net.loss(batch)) == {"branches", "msd", "cce"}
    net.begin_stage(1)
    assert set(net.loss(batch)) == {"task", "branches", "msd", "cce", "emc", "imtd"}
    alone = build("text", stage=1)
    assert set(alone.loss(planted.noise(alone.spec, 8))) == {"task", "branches", "msd", "imtd"}


def test_gradient_term_comes_every_k_steps_or_never():
    batch = planted.noise(planted.spec(), 16)

    def emc(every: int) -> list[float]:
        net = build(
            stage=1, gradient_every=every, gradient_weight=100.0
        ).eval()  # no dropout: steps are equal
        return [round(net.loss(batch)["emc"].item(), 4) for _ in range(5)]

    values = emc(2)
    assert values[0] == values[2] == values[4] > values[1] == values[3]
    assert len(set(emc(0))) == 1


def test_one_sided_energy_gives_the_least_energy_no_gradient():
    energies = torch.tensor([[1.0, 2.0, 4.0]], requires_grad=True)
    known = torch.tensor([[True, True, True]])
    (two,) = torch.autograd.grad(ebmc_parts.energy_gap(energies, known), energies)
    (one,) = torch.autograd.grad(ebmc_parts.energy_excess(energies, known), energies)
    assert two[0, 0] < 0  # descending raises the strongest modality's energy
    assert one.tolist() == [[0.0, 2.0, 6.0]]


def test_as_published_takes_every_release_value_and_each_moves_the_numbers():
    published = build(protocol="as-published", stage=1)
    documented = {
        f.name for f in dataclasses.fields(EBMCParams) if f"``{f.name}`` " in str(EBMCParams.__doc__)
    }
    assert documented == set(EBMC.as_published)
    assert (published.params.energy, published.params.contrast) == ("batch", "batch")
    assert not published.params.reconstruction_in_fusion
    assert not published.params.imtd_fusion
    assert all(getattr(EBMCParams(), k) != v for k, v in EBMC.as_published.items())
    batch = planted.noise(planted.spec(), 16).with_present({"text": torch.arange(16) > 4})

    def numbers(stage: int, **params) -> list[float]:
        torch.manual_seed(0)
        net = build(stage=stage, **params)
        second = [v.item() for _ in range(2) for v in (torch.manual_seed(3), *net.loss(batch).values())[1:]]
        return [*second, *net.eval()(batch).prediction.tolist()]

    plain = [numbers(stage) for stage in (0, 1)]
    for field, value in EBMC.as_published.items():
        if field == "first_stage":  # moves the epoch at which stage II begins
            assert build(first_stage=value).stages == (0.5, 0.5)
            continue
        if field == "kl_from":
            by_class = planted.spec(kind="classification")
            other = planted.noise(by_class, 16)
            reverse, usual = (build(kind="classification", stage=1, kl_from=k) for k in ("teacher", "fusion"))
            reverse.load_state_dict(usual.state_dict())
            reverse.begin_stage(1)
            assert same_draws(reverse, other)["imtd"] != same_draws(usual, other)["imtd"]
            continue
        assert [numbers(stage, **{field: value}) for stage in (0, 1)] != plain, field


# --- formulas, by hand ----------------------------------------------------------------------------------


def test_trust_follows_its_formula_and_ignores_what_is_not_known():
    deviation = torch.tensor([[0.5, 1.0, 2.0]])
    raw = (-deviation).exp() / ((1 + deviation**2).log() + 0.1)
    known = torch.tensor([[True, False, True]])
    expected = raw * known / (raw * known).sum()
    torch.testing.assert_close(ebmc_parts.trust_weights(deviation, known), expected)
    assert (ebmc_parts.trust_weights(deviation, torch.zeros_like(known)) == 0).all()


def test_energy_gap_counts_known_pairs():
    energies = torch.tensor([[1.0, 3.0, 7.0], [1.0, 3.0, 7.0]])
    known = torch.tensor([[True, True, True], [True, True, False]])
    assert ebmc_parts.energy_gap(energies, known).item() == (4 + 36 + 16 + 4) / 2


def test_mean_of_others():
    values = torch.tensor([[[1.0], [2.0], [torch.nan]]])
    known = torch.tensor([[True, True, False]])
    assert ebmc_parts.mean_of_others(values, known).flatten().tolist() == [2.0, 1.0, 1.5]
    assert ebmc_parts.has_others(known).tolist() == [[True, True, True]]
    assert ebmc_parts.has_others(torch.tensor([[True, False]])).tolist() == [[False, True]]


def test_released_contrast_by_hand():
    shared, known = torch.randn(5, 3, 8), torch.ones(5, 3, dtype=torch.bool)
    n = torch.nn.functional.normalize(shared, dim=-1)
    pairs = n[:, 0] @ n[:, 1].T + n[:, 0] @ n[:, 2].T + n[:, 1] @ n[:, 2].T
    negative = (pairs / 0.5).exp().sum(1).mean()
    positive = torch.cosine_similarity(shared, shared.mean(1, keepdim=True), dim=-1).mean()
    expected = -((positive / 0.5).exp() / negative).log()
    torch.testing.assert_close(ebmc_parts.shared_contrast_of_batch(shared, known, 0.5), expected)


def test_label_scale_does_not_change_the_trust():
    small = EBMC(EBMCParams(layers=1), dataclasses.replace(planted.spec(), label_range=(-1.0, 1.0))).eval()
    usual = build().eval()
    small.load_state_dict(usual.state_dict())
    batch = planted.noise(usual.spec, 8)
    torch.testing.assert_close(small(batch).diagnostics["trust/text"], usual(batch).diagnostics["trust/text"])


# --- the release's forms, by hand -----------------------------------------------------------------------


def released(kind: str = "regression", **params) -> EBMC:
    net = build(kind=kind, protocol="as-published", stage=1, **params).eval()
    with torch.no_grad():  # a teacher of its own
        for p in net.teacher[0].parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    return net


def test_released_energies_and_their_gradient_term():
    """E_m = mean z^2 + MSE_m + Var_(n - 1)(T_m), one number a batch; delta times sum_m mean (dE_m / dz)^2."""
    for weight in (0.0, 10.0):
        net = released(gradient_weight=weight)
        batch = planted.noise(net.spec, 12)
        z = torch.stack([net.encode(m, batch) for m in net.names], 1)
        said = net.branches.said(net.branches(z))
        taught = net.branches.said(net.teach(batch))
        energies = [
            z[:, m].square().mean() + (said[:, m] - batch.target).square().mean() + taught[:, m].var()
            for m in range(3)
        ]
        gap = torch.stack([(energies[i] - energies[j]) ** 2 for i in range(3) for j in range(i)]).sum()
        slopes = torch.stack([(2 * z[:, m] / z[:, m].numel()).square().mean() for m in range(3)]).sum()
        expected = 0.1 * float((gap + weight * slopes).detach())
        assert same_draws(net, batch)["emc"].item() == pytest.approx(expected, rel=1e-4)


def test_released_parts_of_a_modality_share_a_layer_norm():
    net = released()
    batch = planted.noise(net.spec, 12)
    z = torch.stack([net.encode(m, batch) for m in net.names], 1)
    path = net.collaborate(z, net.known(batch))
    private = torch.nn.functional.layer_norm(net.private(z), (z.shape[-1],))
    shared = torch.nn.functional.layer_norm(net.shared(z), (z.shape[-1],))
    assert torch.allclose(path.private, private, atol=1e-5)
    assert torch.allclose(path.shared, shared, atol=1e-5)
    assert not any("part_norms" in n for n, _ in build().named_parameters())


def test_released_distillation_of_classes_is_from_the_teacher():
    """(1 / M) sum_m alpha_m KL(softmax T_m || softmax z), alpha from the teacher's entropies."""
    net = released("classification")
    batch = planted.noise(net.spec, 12)
    taught = net.teach(batch)
    z = net(batch).prediction.softmax(-1)
    t = taught.softmax(-1)
    divergence = (t * (t.log() - z.log().unsqueeze(1))).sum(-1)
    entropy = -(t * t.log()).sum(-1) / torch.tensor(3.0).log()
    alpha = (-entropy).exp() / ((1 + entropy**2).log() + 0.1)
    alpha = alpha / alpha.sum(1, keepdim=True)
    expected = 0.1 * float((alpha * divergence).sum(1).mean().detach()) / 3
    assert same_draws(net, batch)["imtd"].item() == pytest.approx(expected, rel=1e-4)


def test_the_released_budget_is_its_own_and_its_stages_are_equal():
    rules = EBMC.rules_as_published["sentiment"]
    assert rules == {"epochs": 300, "batch_size": 64, "weight_decay": 1e-5, "clip_norm": 1.0}
    assert _stage_starts(build(protocol="as-published").stages, rules["epochs"]) == [0, 150]
    assert _stage_starts(build().stages, 20) == [0, 8]
