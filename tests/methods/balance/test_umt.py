"""UMT: its term by hand, what its stages train, and what the weak modality's encoder gains from a teacher."""

from __future__ import annotations

import pytest
import torch
from mmbench.methods.balance.umt import UMT, UMTParams

from .. import planted
from .strong_weak import accuracy, probe, trained


def network(kind: str = "classification", stage: int = 1, **params) -> UMT:
    torch.manual_seed(0)
    net = UMT(UMTParams(width=8, layers=1, **params), planted.spec("text", "audio", kind=kind))
    net.begin_stage(stage)
    return net.eval()


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_the_distance_to_the_teachers_is_a_mean_over_the_samples_that_have_the_modality(kind: str):
    net = network(kind)
    batch = planted.noise(net.spec, 6).with_present({"audio": torch.arange(6) < 2})
    goal, own = net.teachers.together(batch), net.encode_all(batch)
    text = (own["text"] - goal["text"]).square().mean()
    audio = (own["audio"][:2] - goal["audio"][:2]).square().mean()
    terms = net.loss(batch)
    torch.testing.assert_close(terms["taught"], 10 * (text + audio))
    assert "taught" not in network(kind, weight=0.0).loss(batch)


def test_stages_train_their_parts_and_teachers_have_no_dropout_when_they_teach():
    batch = planted.noise(network().spec, 16)
    moved = []
    for stage in (0, 1):
        net = network(stage=stage).train()
        torch.stack(list(net.loss(batch).values())).sum().backward()
        moved.append({name.partition(".")[0] for name, p in net.named_parameters() if p.grad is not None})
        assert net.teachers.training == (stage == 0)
    assert moved == [{"teachers", "heads"}, {"encoders", "head"}]


def test_in_stage_0_the_teachers_predict_by_their_mean_and_learn_apart():
    net = network("regression", stage=0)
    batch = planted.noise(net.spec, 6)
    output = net(batch)
    mean = torch.stack(list(output.unimodal.values())).mean(0)
    torch.testing.assert_close(output.prediction, mean)
    net.loss(batch)["task/text"].backward()
    got = {name for name, p in net.named_parameters() if p.grad is not None and bool(p.grad.any())}
    assert got
    assert all(".parts.0." in name for name in got)


def test_the_weak_encoder_gains_by_what_its_teacher_learned_and_not_without_it():
    taught, joint = trained("umt", epochs=20), trained("umt", epochs=20, weight=0.0)
    assert probe(taught, "weak") > probe(joint, "weak") + 0.08
    assert accuracy(taught) > 0.94
