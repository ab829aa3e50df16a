"""Self-MM: its rule of labels by hand, its size as released, and where labels go on data in which modalities disagree."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from mmbench.datasets.batch import Batch
from mmbench.methods.sentiment.self_mm import SelfMM, SelfMMParams
from mmbench.methods.shared.label_memory import LabelMemory, new_labels

from .. import planted
from . import rows

SAMPLES = 384


def test_the_rule_of_labels_by_hand():
    # the modality lies at 1 from the negative centre and 3 from the positive one, the fusion at 3 and 1
    feature, fused = torch.tensor([[1.0]]), torch.tensor([[3.0]])
    centres = torch.tensor([[0.0], [4.0]])
    lean, whole = (1 - 3) / 3, (3 - 1) / 1
    by_hand = 0.5 * lean / whole * 1.5 + 0.5 * (1.5 + lean - whole)
    found = new_labels(feature, fused, centres, centres, torch.tensor([1.5]), 3.0)
    assert found.item() == pytest.approx(by_hand, rel=1e-5)
    assert new_labels(fused, feature, centres, centres, torch.tensor([2.9]), 1.0).abs().item() <= 1.0


def test_labels_move_by_the_epoch_and_features_are_stored_behind_them():
    memory = LabelMemory(4, [1, 1], most=3.0)
    index, label = torch.arange(4), torch.tensor([-2.0, -1.0, 1.0, 2.0])
    first = [label[:, None].clone(), label[:, None].clone()]
    known = torch.ones(4, 2, dtype=torch.bool)
    known[3, 1] = False  # the last sample lacks the modality
    memory.update(index, first, label, known, epoch=1)
    assert (memory.read(1, index, label) == label).all()
    torch.testing.assert_close(memory.centres(0), torch.tensor([[-1.5], [1.5]]))
    torch.testing.assert_close(memory.centres(1), torch.tensor([[-1.5], [1.0]]))
    second = [first[0], torch.tensor([[1.2], [-1.0], [1.0], [5.0]])]
    made = new_labels(
        second[1], second[0], torch.tensor([[-1.5], [1.0]]), torch.tensor([[-1.5], [1.5]]), label, 3.0
    )
    memory.update(index, second, label, known, epoch=3)
    by_hand = 0.5 * label + 0.5 * made
    torch.testing.assert_close(memory.read(1, index, label)[:3], by_hand[:3])
    assert memory.read(1, index, label)[3] == label[3]
    assert memory.features(1)[0] == 1.2
    assert (memory.read(0, index, label) == label).all()


def test_the_released_network_has_the_released_size():
    assert rows.size(SelfMM(SelfMMParams(subnets="released"), rows.MOSI)) == 159_332


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, *SelfMM.controls.values(), SelfMM.as_published], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = dataclasses.replace(planted.spec(*list(planted.SIZES)[:count], kind=kind), train_size=16)
    rows.any_pattern(SelfMM(SelfMMParams(layers=1, width=8, head_width=8, **params), spec))


def test_a_modality_counts_as_far_as_its_label_differs():
    spec = dataclasses.replace(rows.PAIR, train_size=4)
    batch = dataclasses.replace(planted.noise(spec, 4), index=torch.arange(4))
    net = SelfMM(SelfMMParams(layers=1), spec)
    net.backward(batch)
    assert net.loss(batch)["unimodal/audio"] == 0
    net.memory.labels[2] += 0.5
    net.eval()
    errors = (net(batch).unimodal["audio"] - batch.target - 0.5).abs()
    torch.testing.assert_close(net.loss(batch)["unimodal/audio"], torch.tensor(0.5).tanh() * errors.mean())


def test_without_the_size_of_the_training_split_labels_stay():
    batch = dataclasses.replace(planted.noise(rows.PAIR, 4), index=torch.arange(4))
    net = SelfMM(SelfMMParams(layers=1), rows.PAIR)
    for _ in range(3):
        net.before_epoch(lambda: iter(()), 0.0)
        assert net.backward(batch)["unimodal/text"] == 0
    assert not net.memory.met.any()


def test_two_classes_have_labels_and_three_have_none():
    for classes in (2, 3):
        spec = dataclasses.replace(planted.spec(kind="classification"), classes=classes, train_size=8)
        batch = dataclasses.replace(planted.noise(spec, 8), index=torch.arange(8))
        net = SelfMM(SelfMMParams(layers=1), spec)
        for _ in range(3):
            net.before_epoch(lambda: iter(()), 0.0)
            net.backward(batch)
        assert (net.memory.labels[1:].abs() <= 1).all()
        assert ("unimodal/text" in net.loss(batch)) == (classes == 2)


# --- where labels go --------------------------------------------------------------------------------------

SPEC = dataclasses.replace(rows.PAIR, train_size=SAMPLES)


def disagreeing(seed: int) -> tuple[Batch, torch.Tensor]:
    """Text says t and audio a, the score is t + a, within [-3, 3]; and both, [batch, 2]."""
    draw = torch.Generator().manual_seed(seed)
    latent = torch.randn(SAMPLES, 2, generator=draw)
    batch = planted.noise(SPEC, SAMPLES, 2, seed + 1)
    features = {}
    for i, (m, count) in enumerate(SPEC.modalities.items()):
        mixing = torch.randn(1, count, generator=torch.Generator().manual_seed(70 + i))
        features[m] = (latent[:, i : i + 1] @ mixing).unsqueeze(1) + 0.2 * batch.features[m]
    target = (latent[:, 0] + latent[:, 1]).clamp(-3, 3)
    return dataclasses.replace(batch, features=features, target=target, index=torch.arange(SAMPLES)), latent


@functools.cache
def trained(labels: str = "generated") -> SelfMM:
    torch.manual_seed(0)
    net = SelfMM(SelfMMParams(layers=1, width=8, head_width=8, labels=labels), SPEC)  # type: ignore[arg-type]
    rows.small_encoders(net, net.encoders)
    return planted.train(net, disagreeing(1)[0], epochs=12, lr=5e-3)  # type: ignore[return-value]


def moved_with_what_is_said(net: SelfMM) -> list[float]:
    """For each modality, how the label's move from y goes with what the modality says more than the other (correlation)."""
    batch, latent = disagreeing(1)
    found = []
    for i in (0, 1):
        move = net.memory.labels[i + 1] - batch.target
        found.append(torch.corrcoef(torch.stack([move, latent[:, i] - latent[:, 1 - i]]))[0, 1].item())
    return found


def test_a_label_moves_to_what_its_modality_says():
    assert min(moved_with_what_is_said(trained())) > 0.3


def test_the_task_is_learned_as_well_with_the_same_labels_for_all():
    """As docs/methods.md says, for which this is the check."""
    test = disagreeing(5)[0]
    assert rows.error(trained("true"), test) < 1.15 * rows.error(trained(), test)
