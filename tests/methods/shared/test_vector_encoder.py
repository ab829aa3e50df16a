from __future__ import annotations

from dataclasses import replace

import torch
from mmbench.methods.shared.networks import encoders
from mmbench.methods.shared.sequence_encoder import SequenceEncoder
from mmbench.methods.shared.series_encoder import SeriesEncoder
from mmbench.methods.shared.vector_encoder import VectorEncoder

from .. import planted


def vectors(samples: int = 5, steps: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(samples, steps, 6), torch.ones(samples, steps, dtype=torch.bool)


def test_the_shape_of_a_modality_decides_its_encoder_but_as_published():
    first, second, third, *_ = planted.spec().modalities
    spec = replace(planted.spec(), steps={first: 1, second: 2})
    found = encoders(spec)
    assert isinstance(found.parts[found.names.index(first)], VectorEncoder)
    assert isinstance(found.parts[found.names.index(second)], SeriesEncoder)
    assert isinstance(found.parts[found.names.index(third)], SequenceEncoder)  # not known
    published = encoders(replace(spec, protocol="as-published")).parts
    assert all(isinstance(part, SequenceEncoder) for part in published)


def test_more_steps_are_read_as_their_mean():
    net = VectorEncoder(6, 8).eval()
    features, valid = vectors(steps=4)
    valid[:, 2:] = False
    features[:, 2:] = torch.nan
    mean = features[:, :2].mean(1, keepdim=True)
    torch.testing.assert_close(net(features, valid), net(mean, valid[:, :1]))


def test_without_a_valid_step_nothing_is_read():
    net = VectorEncoder(6, 8)
    features, valid = torch.full((3, 2, 6), torch.nan), torch.zeros(3, 2, dtype=torch.bool)
    out = net.eval()(features, valid)
    assert torch.equal(out[0], out[1])
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_dropout_is_on_in_training_alone():
    net, inputs = VectorEncoder(6, 8), vectors()
    assert not torch.equal(net(*inputs), net(*inputs))
    net.eval()
    assert torch.equal(net(*inputs), net(*inputs))


def test_half_precision_features_are_cast():
    net, (features, valid) = VectorEncoder(6, 8).eval(), vectors()
    assert torch.equal(net(features.half(), valid), net(features.half().float(), valid))
