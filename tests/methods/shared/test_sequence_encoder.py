"""The packed and stacked encoders against torch's own modules with the same weights."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.methods.shared.dropout import dropout
from mmbench.methods.shared.sequence_encoder import SequenceEncoder, encode_together
from torch import Tensor

from ...speed.plain_encoder import plain


def modalities(
    features: list[int], steps: list[int], samples: int, seed: int, **options
) -> tuple[list[SequenceEncoder], list[Tensor], list[Tensor]]:
    """Encoders with random weights (norms included), and inputs with holes in their masks and NaN in the holes."""
    torch.manual_seed(seed)
    encoders = [SequenceEncoder(count, width=16, layers=2, heads=4, **options) for count in features]
    for encoder in encoders:
        for parameter in encoder.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    valid = [torch.rand(samples, count) < torch.rand(samples, 1) for count in steps]
    values = [
        torch.randn(samples, time, count).where(mask.unsqueeze(-1), torch.nan)
        for count, time, mask in zip(features, steps, valid, strict=True)
    ]
    return encoders, values, valid


@given(
    sizes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=3),
    samples=st.integers(1, 6),
    masked=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=40)
def test_together_they_say_what_each_says_as_torch_computes_it(sizes, samples, masked, seed):
    features, steps = [size[0] for size in sizes], [size[1] for size in sizes]
    inputs = modalities(features, steps, samples, seed, mask_padding=masked)
    encoders = [encoder.eval() for encoder in inputs[0]]
    expected = [plain(*parts) for parts in zip(*inputs, strict=True)]
    for found in (encode_together(*inputs), torch.no_grad()(encode_together)(*inputs)):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    alone = [encoder(*parts) for encoder, *parts in zip(encoders, *inputs[1:], strict=True)]
    torch.testing.assert_close(alone, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_gradients_are_those_of_torch(masked):
    inputs = modalities([3, 5, 2], [9, 9, 4], 6, 0, dropout=0.0, embedding_dropout=0.0, mask_padding=masked)
    parameters = [parameter for encoder in inputs[0] for parameter in encoder.parameters()]

    def gradients(embedded: list[Tensor]) -> tuple[Tensor, ...]:
        return torch.autograd.grad(torch.cat(embedded)[:, :3].square().sum(), parameters)

    expected = gradients([plain(*parts) for parts in zip(*inputs, strict=True)])
    torch.testing.assert_close(gradients(encode_together(*inputs)), expected, rtol=1e-4, atol=1e-5)


def test_encoders_of_other_shapes_go_their_own_way():
    encoders = [SequenceEncoder(3, 16, 1, 4), SequenceEncoder(3, 16, 2, 4), SequenceEncoder(3, 24, 1, 4)]
    features = [torch.randn(4, 5, 3) for _ in encoders]
    valid = [torch.ones(4, 5, dtype=torch.bool) for _ in encoders]
    inputs = [encoder.eval() for encoder in encoders], features, valid
    expected = [plain(*parts) for parts in zip(*inputs, strict=True)]
    torch.testing.assert_close(encode_together(*inputs), expected, rtol=1e-5, atol=1e-5)


def test_in_training_embeddings_are_distributed_as_those_of_torch():
    """Mean and deviation of every channel over many draws of all dropouts, within 5 standard errors."""
    (encoder,), (features,), (valid,) = modalities([4], [5], 1, 3, dropout=0.2, embedding_dropout=0.3)
    draws = 4000
    many = features.expand(draws, -1, -1), valid.expand(draws, -1)
    with torch.no_grad():
        ours, theirs = encoder(*many), plain(encoder, *many)
    error = theirs.std(0) / math.sqrt(draws)
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 5 * math.sqrt(2) * error).all()
    assert (ours.std(0) / theirs.std(0) - 1).abs().max() < 0.15


@pytest.mark.parametrize("probability", [0.1, 0.25, 0.5])
def test_dropout_has_its_probability_and_independent_decisions(probability):
    torch.manual_seed(0)
    count = 1 << 18
    kept = dropout(torch.ones(count), probability, training=True)
    assert set(kept.unique().tolist()) == {0.0, kept.max().item()}
    assert kept.max().item() == pytest.approx(1 / (1 - probability), rel=1e-4)
    gone = (kept == 0).double() - probability
    deviation = math.sqrt(probability * (1 - probability))
    assert abs(gone.mean().item()) < 5 * deviation / math.sqrt(count)
    for apart in (1, 2, 3, 4, 7):  # also those that one random integer decides
        assert abs((gone[apart:] * gone[:-apart]).mean().item()) < 5 * deviation**2 / math.sqrt(count)


def test_dropout_is_off_in_evaluation_and_at_zero():
    values = torch.randn(7)
    assert dropout(values, 0.5, training=False) is values
    assert dropout(values, 0.0, training=True) is values


def test_dropout_passes_the_gradient_of_what_it_kept():
    values = torch.ones(3, 5, dtype=torch.float64, requires_grad=True)
    kept = dropout(values, 0.5, training=True)
    (gradient,) = torch.autograd.grad(kept.sum(), values)
    assert torch.equal(gradient, kept.detach())
    assert kept.dtype == torch.float64


def test_the_seed_of_torch_decides_on_all_dropout():
    inputs = modalities([4, 3], [7, 7], 3, 0)

    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return torch.cat(encode_together(*inputs))

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_mixed_precision_costs_no_more_accuracy_than_with_torch_s_modules():
    inputs = modalities([3, 5], [9, 9], 6, 0, dropout=0.0, embedding_dropout=0.0)
    parameters = [parameter for encoder in inputs[0] for parameter in encoder.parameters()]

    def gradients(ours: bool, mixed: bool) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            embedded = (
                encode_together(*inputs) if ours else [plain(*one) for one in zip(*inputs, strict=True)]
            )
            loss = torch.cat(embedded)[:, :3].float().square().sum()
            found = torch.autograd.grad(loss, parameters)
        return torch.cat([gradient.flatten() for gradient in found])

    exact = gradients(ours=False, mixed=False)
    ours, theirs = (float((gradients(own, mixed=True) - exact).norm()) for own in (True, False))
    assert 0 < ours < 1.5 * theirs
