from __future__ import annotations

import math

import pytest
import torch
from mmbench.methods.shared import attention, sequence_encoder
from mmbench.methods.shared.networks import SharedNetworkParams, encoders
from mmbench.methods.shared.sequence_encoder import SequenceEncoder, sinusoids

from .. import planted


def encoder(**options) -> SequenceEncoder:
    return SequenceEncoder(6, layers=2, **options).eval()


def sequences(samples: int = 5, steps: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.arange(samples) % steps + 1
    return torch.randn(samples, steps, 6), torch.arange(steps) < lengths[:, None]


def test_layers_start_as_different_functions():
    layers = SequenceEncoder(6).transformer.layers
    weights = [dict(layer.named_parameters())["linear1.weight"] for layer in layers]
    assert not torch.equal(weights[0], weights[1])


def test_what_lies_in_padded_steps_changes_nothing():
    net, (features, valid) = encoder(), sequences()
    garbage = torch.where(valid.unsqueeze(-1), features, torch.nan)
    assert torch.equal(net(features, valid), net(garbage, valid))


@pytest.mark.parametrize("steps", [1, 7])
def test_more_padding_changes_nothing(steps):
    net, (features, valid) = encoder(), sequences()
    more = torch.cat([features, torch.randn(5, steps, 6)], dim=1)
    longer = torch.cat([valid, torch.zeros(5, steps, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(net(more, longer), net(features, valid), rtol=1e-4, atol=1e-5)


def test_padding_on_the_left_is_the_same_as_on_the_right():
    net, (features, valid) = encoder(), sequences()
    left = torch.cat([torch.randn(5, 3, 6), features], dim=1)
    shifted = torch.cat([torch.zeros(5, 3, dtype=torch.bool), valid], dim=1)
    torch.testing.assert_close(net(left, shifted), net(features, valid), rtol=1e-4, atol=1e-5)


def test_a_sample_does_not_depend_on_its_batch():
    net, (features, valid) = encoder(), sequences()
    together = net(features, valid)
    alone = torch.cat([net(features[i : i + 1], valid[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_order_of_the_steps_matters():
    net, (features, _) = encoder(), sequences()
    valid = torch.ones(5, 4, dtype=torch.bool)
    swapped = features[:, [0, 2, 1, 3]]
    assert (net(swapped, valid) - net(features, valid)).abs().max() > 1e-2


def test_every_valid_step_is_read_and_no_other():
    net, (features, valid) = encoder(), sequences()
    features.requires_grad_()
    net(features, valid).square().sum().backward()
    assert features.grad is not None
    assert torch.equal(features.grad.abs().sum(-1) > 0, valid)


@pytest.mark.parametrize("masked", [True, False])
def test_no_valid_step_gives_numbers_and_finite_gradients(masked):
    net = SequenceEncoder(6, layers=2, mask_padding=masked)
    features = torch.full((3, 4, 6), torch.nan)
    features[0] = 1.0
    valid = torch.zeros(3, 4, dtype=torch.bool)
    valid[0, :2] = True
    out = net(features, valid)
    out.square().sum().backward()
    assert out.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_half_precision_features_are_cast():
    net, (features, valid) = encoder(), sequences()
    half = features.half()
    assert torch.equal(net(half, valid), net(half.float(), valid))


def test_as_published_attends_to_zeros_in_the_padding_and_reads_the_very_first_step():
    net, (features, valid) = encoder(mask_padding=False), sequences()
    everything = torch.ones_like(valid)
    zeroed = features * valid.unsqueeze(-1)
    assert torch.equal(net(features, valid), net(zeroed, everything))
    more = torch.cat([zeroed, torch.zeros(5, 4, 6)], dim=1)
    longer = torch.cat([valid, torch.zeros_like(valid)], dim=1)
    assert (net(more, longer) - net(features, valid)).abs().max() > 1e-3


def test_protocol_chooses_the_padding():
    assert all(part.mask_padding for part in encoders(planted.spec()).parts)  # type: ignore[union-attr]
    published = encoders(planted.spec(protocol="as-published"))
    assert not any(part.mask_padding for part in published.parts)  # type: ignore[union-attr]


def test_positions_are_sines_and_cosines():
    codes = sinusoids(torch.tensor([0, 1]), 40)
    assert torch.equal(codes[0], torch.tensor([0.0] * 20 + [1.0] * 20))
    assert codes[1, 0].item() == pytest.approx(math.sin(1))
    assert codes[1, 39].item() == pytest.approx(math.cos(1e-4))


def test_width_must_suit_the_heads():
    with pytest.raises(ValueError, match="width 42"):
        SequenceEncoder(6, width=42)


@pytest.mark.parametrize("mask_padding", [True, False])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_long_sequences_take_less_memory_and_give_the_same_gradients(monkeypatch, mask_padding, dropout):
    net = encoder(dropout=0.0, embedding_dropout=dropout, mask_padding=mask_padding).train()
    features = torch.randn(12, 60, 6)
    valid = torch.arange(60) < 60 - torch.arange(12)[:, None]

    def kept_and_gradients() -> tuple[int, list[torch.Tensor]]:
        kept = 0

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal kept
            kept += tensor.numel() * tensor.element_size()
            return tensor

        torch.manual_seed(0)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            result = net(features, valid)
        return kept, [result.detach(), *torch.autograd.grad(result[:, 0].sum(), list(net.parameters()))]

    whole, expected = kept_and_gradients()
    one_layer = 4 * 8 * 60 * 60 * 12
    monkeypatch.setattr(attention, "ATTENTION_BYTES", one_layer // 5)
    less, found = kept_and_gradients()
    assert whole - less > 0.9 * one_layer  # of the first layer; in the last only one step asks
    torch.testing.assert_close(found, expected)


def test_dropout_of_long_sequences_is_drawn_alike_for_the_gradient(monkeypatch):
    """Along the gradient, the loss with the same seed falls as the gradient says: what is computed again is the same."""
    monkeypatch.setattr(attention, "ATTENTION_BYTES", 1)
    net = encoder(dropout=0.4).train().double()
    features, valid = sequences(samples=3, steps=5)

    def loss() -> torch.Tensor:
        torch.manual_seed(3)
        return net(features.double(), valid)[:, 0].sum()  # not of all: the last norm fixes the sum of squares

    (gradient,) = torch.autograd.grad(loss(), net.project.weight)
    small = 1e-6
    with torch.no_grad():
        net.project.weight += small * gradient
    higher = loss()
    with torch.no_grad():
        net.project.weight -= 2 * small * gradient
    slope = (higher - loss()).item() / (2 * small)
    assert slope == pytest.approx(float(gradient.square().sum()), rel=1e-4)


def test_the_released_encoder_counts_positions_from_one(monkeypatch):
    net, (features, valid) = encoder(released=True, mask_padding=False), sequences()
    plain = encoder(mask_padding=False)
    plain.load_state_dict(net.state_dict())
    released = net(features, valid)
    assert not torch.allclose(released, plain(features, valid), atol=1e-3)
    monkeypatch.setattr(sequence_encoder, "sinusoids", lambda at, width: sinusoids(at + 1, width))
    assert torch.equal(plain(features, valid), released)


def test_the_released_projection_starts_as_a_convolution_does():
    conv = torch.nn.Conv1d(600, 40, 1)
    linear = SequenceEncoder(600, released=True).project
    bound = 1 / math.sqrt(600)
    for weight in (conv.weight, conv.bias, linear.weight, linear.bias):
        assert weight is not None
        assert 0.9 * bound < float(weight.abs().max().detach()) <= bound
    xavier = SequenceEncoder(600).project
    assert float(xavier.weight.abs().max().detach()) > 1.5 * bound
    assert not xavier.bias.any()


@pytest.mark.parametrize(("width", "layers"), [(0, 5), (-3, 5), (40, -1)])
def test_a_size_that_no_network_has_is_refused(width: int, layers: int):
    """With a width of 0 a network would train, and say the same of every sample."""
    with pytest.raises(ValueError, match="1 or more, and 0 or more, are expected"):
        SharedNetworkParams(width, layers)
