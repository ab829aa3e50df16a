"""The switches of single methods' own terms under ``as-published``: each moves them in the way that it states."""

from __future__ import annotations

import copy

import pytest
import torch
from mmbench.benchmark.core.as_published import BUDGETS
from mmbench.datasets.batch import Spec
from mmbench.methods.generalisation.cmrf import CMRF
from mmbench.methods.generalisation.gmp import GMP
from mmbench.methods.generalisation.mbcd import MBCD, dsu
from mmbench.methods.generalisation.moosa import MOOSA
from mmbench.methods.generalisation.nel import NEL, mean_shift, spectral_entropy
from mmbench.methods.generalisation.simmmdg import SimMMDG
from torch.nn import functional as F

from . import planted, two_domains
from .test_published import CLASSES, THREE, build, gradients, loss

# --- GMP ------------------------------------------------------------------------------------------------------


def test_an_adversary_that_is_not_trained_stays_what_chance_made_it():
    batch = two_domains.shifted(THREE, 64, 1)
    net, fair = build(GMP, THREE, adversary_trained=False), build(GMP, THREE)
    names = [n for n, _ in net.named_parameters() if n.startswith(("projectors", "discriminator"))]
    assert not set(names) & set(gradients(net, batch))
    assert set(names) <= set(gradients(fair, batch))
    for n, own in gradients(net, batch).items():  # the encoders are reversed all the same
        assert torch.allclose(own, gradients(fair, batch)[n], atol=1e-6), n
    for one, moves in ((net, False), (fair, True)):
        start = copy.deepcopy(one.state_dict())
        planted.train(one, batch, epochs=4)
        assert all(torch.equal(start[n], one.state_dict()[n]) != moves for n in names)
    before, after = (one._terms(batch)[0]["domain"].item() for one in (net, fair))
    assert after < before - 0.05  # the one that learns tells the domains better


# --- MBCD -----------------------------------------------------------------------------------------------------


def test_norms_that_are_not_trained_stay():
    batch = planted.linked(CLASSES, 32, 1)
    for trained in (True, False):
        net = planted.train(
            build(MBCD, CLASSES, norms_trained=trained, evaluated_student=True), batch, epochs=3
        )
        start = all(bool((part.weight == 1).all() and (part.bias == 0).all()) for part in net.norms.parts)  # type: ignore[union-attr]
        assert start != trained


def test_noise_on_statistics_has_the_spread_of_the_batch():
    draw = torch.Generator().manual_seed(0)
    features = 3 + 2 * torch.randn(64, 1, 5, generator=draw)
    valid = torch.ones(64, 1, dtype=torch.bool)
    valid[0] = False
    features[0] = torch.nan
    torch.manual_seed(0)
    drawn = [dsu(features, valid)[1:] for _ in range(400)]
    changed = [x for x in drawn if not torch.equal(x, features[1:])]
    assert 150 < len(changed) < 250  # one half
    noise = torch.stack(changed) - features[1:]
    assert torch.allclose(noise.mean(0), torch.zeros(63, 1, 5), atol=0.7)
    assert torch.allclose(noise.std(0).mean(0), features[1:].std(0), rtol=0.05)
    assert torch.equal(dsu(features[1:2], valid[1:2]), features[1:2])  # one sample has no spread


def test_noise_leaves_the_shape_of_a_sequence_and_what_is_padded():
    features = torch.randn(16, 6, 3)
    valid = torch.arange(6) < torch.arange(2, 7).repeat(4)[:16].unsqueeze(1)
    torch.manual_seed(1)
    found = next(x for x in iter(lambda: dsu(features, valid), None) if not torch.equal(x, features))
    assert torch.equal(found[~valid], features[~valid])
    for row, steps in zip(range(16), valid, strict=True):
        new, old = found[row, steps], features[row, steps]
        unit_new = (new - new.mean(0)) / new.std(0, correction=0)
        unit_old = (old - old.mean(0)) / old.std(0, correction=0)
        assert torch.allclose(unit_new.abs(), unit_old.abs(), atol=1e-2)


def test_noise_is_in_the_first_pass_of_training_alone():
    batch = planted.linked(CLASSES, 32, 1)
    net = build(MBCD, CLASSES, feature_noise=True)
    torch.manual_seed(3)
    assert torch.equal(net.eval()(batch).prediction, net(batch).prediction)
    net.train()
    passes = [net.first_pass(batch).embeddings["text"] for _ in range(12)]
    for module in net.modules():  # without dropout, the passes differ by the noise
        if isinstance(module, torch.nn.Dropout | torch.nn.MultiheadAttention):
            module.eval()
    assert len({float(x.sum().detach()) for x in passes}) > 4
    assert not net.noisy


@pytest.mark.parametrize("base", [0.0, 0.5])
def test_without_adaptive_drop_nothing_is_dropped_unless_there_is_a_base(base: float):
    batch = planted.linked(CLASSES, 256, 1)
    found = {}
    for adaptive in (True, False):
        net = build(MBCD, CLASSES, adaptive_drop=adaptive, modality_drop_base=base).eval()
        with torch.no_grad():
            net.heads.parts[0].out.weight.mul_(30)  # text is sure of itself
        torch.manual_seed(0)
        found[adaptive] = float(net._drop(net(batch), batch).float().mean())
    assert found[True] > 0.05
    assert found[False] == (0 if base == 0 else found[True])


def test_the_student_is_evaluated_where_it_is_to_be():
    batch = planted.linked(CLASSES, 32, 1)
    for student in (False, True):
        net = build(MBCD, CLASSES, evaluated_student=student)
        planted.train(net, batch, epochs=1)
        assert (net.evaluated() is None) == student
        assert net.teacher  # who teaches all the same


def test_mbcd_in_sentiment_has_no_inner_step_and_a_head_aside():
    """Without an inner step the gradient is that of the sum of the terms; what is dropped has its own head."""
    spec = two_domains.spec("text", "audio")
    batch = planted.linked(spec, 32, 1)
    net = build(
        MBCD, spec, inner_rate=0.0, weight_aside=0.2, weight_unimodal=0.2, modality_drop_base=0.5
    ).eval()
    found = gradients(net, batch)
    net.zero_grad()
    torch.manual_seed(3)
    torch.stack(list(net.loss(batch).values())).sum().backward()
    assert all(
        torch.allclose(found[n], p.grad, atol=1e-6)
        for n, p in net.named_parameters()
        if n in found and p.grad is not None
    )
    output = net(batch)
    terms = loss(net, batch)
    error = float((output.prediction - batch.target).abs().mean().detach())
    assert terms["task"] == pytest.approx(error, rel=1e-5)  # of all that is there, though half is dropped
    heads = float(net.unimodal_losses(output, batch).sum().detach())
    assert terms["unimodal"] == pytest.approx(0.2 * heads, rel=1e-5)
    torch.manual_seed(3)
    dropped = net._drop(output, batch)
    assert dropped.any()
    kept = torch.cat(
        [x.where(~dropped[:, i : i + 1], 0) for i, x in enumerate(output.embeddings.values())], -1
    )
    aside = float((net.aside(kept).squeeze(-1) - batch.target).abs().mean().detach())
    assert terms["aside"] == pytest.approx(0.2 * aside, rel=1e-5)
    fair = build(MBCD, spec, modality_drop_base=0.5).eval()
    fair.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith("aside")})
    assert loss(fair, batch)["task"] != pytest.approx(error, rel=1e-3)


# --- CMRF and NEL ---------------------------------------------------------------------------------------------


def started(net: CMRF) -> CMRF:
    """Past step t0, its teacher another network than the student."""
    net.steps += net.params.start + 5
    with torch.no_grad():
        for p in net.teacher.parameters():
            p.add_(0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    return net.eval()


def test_sums_and_the_weight_of_sound_by_hand():
    batch = planted.linked(THREE, 16, 1)
    net = started(build(CMRF, THREE, sums=True, audio_weight=0.5, start=0))
    output = net(batch)
    each = [float((output.unimodal[m] - batch.target).abs().mean().detach()) for m in THREE.modalities]
    terms = loss(net, batch)
    assert terms["unimodal"] == pytest.approx(2.0 * (each[0] + 0.5 * each[1] + each[2]), rel=1e-5)
    fair = started(build(CMRF, THREE, start=0))
    fair.load_state_dict(net.state_dict())
    plain = loss(fair, batch)
    assert plain["unimodal"] == pytest.approx(2.0 * sum(each) / 3, rel=1e-5)
    # Distillation: six pairs, those of sound at one half. The mean of six, had all the same weight.
    whole = started(build(CMRF, THREE, sums=True, start=0))
    whole.load_state_dict(net.state_dict())
    assert loss(whole, batch)["distillation"] == pytest.approx(6 * plain["distillation"], rel=1e-5)
    assert terms["distillation"] < loss(whole, batch)["distillation"]


def test_cmrf_with_simmmdg_has_its_terms_beside_its_own():
    batch = planted.linked(THREE, 16, 1)
    net = started(build(CMRF, THREE, with_simmmdg=True))
    other = build(SimMMDG, THREE, hidden=256, batch_norm=True).eval()
    other.encoders.load_state_dict(net.encoders.state_dict())
    other.halves.load_state_dict(net.halves.state_dict())
    mine, theirs = loss(net, batch), loss(other, batch)
    for name in ("translation", "contrast", "apart"):
        assert mine[f"simmmdg_{name}"] == pytest.approx(theirs[name], rel=1e-5)
    plain = started(build(CMRF, THREE))
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith("halves")})
    assert {k: v for k, v in mine.items() if not k.startswith("simmmdg")} == pytest.approx(loss(plain, batch))


def test_projections_but_audio_s_stay_what_chance_made_them():
    batch = planted.linked(THREE, 32, 1)
    for asked, expected in (("all", {"text", "audio", "vision"}), ("audio", {"audio"})):
        net = build(CMRF, THREE, trained_projections=asked, start=0)
        start = copy.deepcopy(net.projections.state_dict())
        planted.train(net, batch, epochs=3)
        moved = {
            m
            for i, m in enumerate(THREE.modalities)
            if any(
                not torch.equal(start[k], v)
                for k, v in net.projections.state_dict().items()
                if k.startswith(f"parts.{i}.")
            )
        }
        assert moved == expected


def test_the_halves_of_motor_faults_by_hand():
    batch = planted.linked(THREE, 16, 1)
    net = started(build(CMRF, THREE, weight_apart=0.7))
    e = torch.stack(list(net(batch).embeddings.values()), dim=1)
    gap = F.normalize(e[..., :8], dim=-1) - F.normalize(e[..., 8:], dim=-1)
    assert loss(net, batch)["apart"] == pytest.approx(-0.7 * float(gap.square().mean().detach()), rel=1e-5)
    assert "apart" not in loss(started(build(CMRF, THREE)), batch)


def test_teacher_and_student_see_the_same_kind_of_embedding():
    batch = planted.linked(THREE, 8, 1)
    net = build(CMRF, THREE, whole_network=True, extra_width=24, bounded=True, start=0).eval()
    assert torch.allclose(
        net.teach(batch),
        F.normalize(net.projections(torch.stack(list(net(batch).embeddings.values()), 1)), dim=-1),
        atol=1e-5,
    )
    planted.train(net, batch, epochs=2)
    assert {n.partition(".")[0] for n in net.teacher.state_dict()} == {
        "encoders",
        "extra",
        "projections",
        "heads",
        "head",
    }


def test_modalities_as_views_and_the_raw_spectrum_by_hand():
    batch = planted.linked(THREE, 16, 1)
    net = build(NEL, THREE, modality_views=True, raw_spectrum=True).eval()
    s, output = net.params, net(batch)
    views = F.normalize(net.projections(torch.stack(list(output.embeddings.values()), 1)), dim=-1)
    shifted = mean_shift(views, torch.ones(16, 3, dtype=torch.bool), s.neighbours)
    found = []
    for a, b in ((0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)):
        share = (
            F.normalize(shifted[:, a], dim=-1) @ F.normalize(shifted[:, b], dim=-1).T / s.temperature_views
        ).log_softmax(1)
        found.append(-share.diagonal().mean())
    terms = loss(net, batch)
    assert terms["views"] == pytest.approx(s.alpha * float(torch.stack(found).mean().detach()), rel=1e-4)
    assert terms["spectrum"] == pytest.approx(
        -s.beta * float(spectral_entropy(output.fused).detach()), rel=1e-4
    )
    scaled = output.fused * torch.rand(16, 1)  # rows of other lengths
    assert not torch.isclose(spectral_entropy(scaled), spectral_entropy(output.fused))
    lowered = build(NEL, THREE, weight=0.2).eval()
    full = build(NEL, THREE).eval()
    few, whole = loss(lowered, batch), loss(full, batch)
    assert all(few[k] == pytest.approx((0.2 if k != "task" else 1) * whole[k], rel=1e-5) for k in whole)


def test_the_published_values_of_cmrf_and_nel_and_moosa():
    """Mixtures nearer to one modality, a later average, one over the batch, and fewer pieces."""
    shares = {mixing: build(CMRF, THREE, mixing=mixing).draw_shares(4000) for mixing in (1.0, 0.1)}
    assert all(bool(((x >= 0.5) & (x <= 1)).all()) for x in shares.values())
    assert float(shares[1.0].mean()) == pytest.approx(0.75, abs=0.01)
    assert float(shares[0.1].mean()) > 0.9
    batch = planted.linked(THREE, 16, 1)
    for start in (0, 400):
        net = build(CMRF, THREE, start=start)
        net.steps += 300
        assert ("distillation" in loss(net, batch)) == (start < 300)
    for family, values in NEL.as_published_in.items():
        assert values.get("beta", 0.0417) == pytest.approx(1 / BUDGETS[family]["batch_size"], abs=1e-4)
    for pieces in (2, 4):
        assert build(MOOSA, THREE, pieces=pieces).jigsaw.orders.shape == (128, 3 * pieces)


def test_the_averaged_teacher_has_the_averaged_statistics_of_batch_norms():
    motor = Spec({"sound": 1}, "classification", 3, encoders={"sound": "cnn1d"})
    batch = planted.noise(motor, 8, 64)
    net = CMRF(CMRF.Params(start=1), motor)
    seen = []
    for _ in range(3):
        net.train()
        net(batch)
        net.after_step()
        seen.append(net.encoders.parts[0].layers[1].running_mean.clone())  # type: ignore[index,union-attr]
    average = net.teacher["encoders"].parts[0].layers[1].running_mean  # type: ignore[index,union-attr]
    assert torch.allclose(average, torch.stack(seen).mean(0), atol=1e-6)  # type: ignore[arg-type]
    assert not torch.allclose(seen[0], seen[2])
