from __future__ import annotations

import pytest
import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.erm import ERM, ERMParams

from . import planted

SMALL = ERMParams(layers=1)


def test_parameter_count_is_the_published_backbones():
    net = ERM(ERMParams(), Spec({"text": 768, "audio": 25, "vision": 171}, "regression"))
    assert sum(p.numel() for p in net.parameters()) == 342_881


@pytest.mark.parametrize("kind", ["regression", "classification"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_pattern_and_batch_size_gives_finite_output_and_gradients(kind, count):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    net = ERM(SMALL, spec)
    for samples in (1, 2**count):
        batch = planted.all_patterns(planted.noise(spec, samples), spec)
        out = net(batch).prediction
        assert out.shape == ((samples, 3) if kind == "classification" else (samples,))
        net.zero_grad()
        sum(net.loss(batch).values(), torch.tensor(0.0)).backward()
        assert out.isfinite().all()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def broken(batch: Batch) -> Batch:
    """The batch with NaN wherever there is nothing to read."""
    features = {}
    for m in batch.modalities:
        readable = batch.mask[m] & batch.present[m].unsqueeze(-1)
        features[m] = torch.where(readable.unsqueeze(-1), batch.features[m], torch.nan)
    mask = {m: batch.mask[m] | ~batch.present[m].unsqueeze(-1) for m in batch.modalities}
    return Batch(features, mask, batch.present, batch.target, batch.domain, batch.sample_id)


def test_garbage_where_there_is_no_data_changes_nothing():
    spec = planted.spec()
    net = ERM(SMALL, spec).eval()
    batch = planted.all_patterns(planted.noise(spec, 16), spec)
    assert torch.equal(net(batch).prediction, net(broken(batch)).prediction)
    net.train()
    net.loss(broken(batch))["task"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_an_absent_modality_is_a_zero_embedding():
    spec = planted.spec()
    net = ERM(SMALL, spec).eval()
    batch = planted.noise(spec, 3)
    out = net(batch.with_present({"audio": torch.zeros(3, dtype=torch.bool)}))
    assert out.fused is not None
    assert (out.fused[:, 40:80] == 0).all()
    assert (out.fused[:, :40] != 0).any()


def test_a_modality_without_any_step_is_absent():
    spec = planted.spec()
    net = ERM(SMALL, spec).eval()
    batch = planted.noise(spec, 3)
    empty = {**batch.mask, "audio": torch.zeros_like(batch.mask["audio"])}
    stepless = Batch(batch.features, empty, batch.present, batch.target, batch.domain, batch.sample_id)
    absent = batch.with_present({"audio": torch.zeros(3, dtype=torch.bool)})
    assert torch.equal(net(stepless).prediction, net(absent).prediction)


def test_embeddings_serve_every_missing_pattern():
    spec = planted.spec()
    net = ERM(SMALL, spec).eval()
    batch = planted.noise(spec, 6)
    with torch.no_grad():
        encoded = {m: net.encode(m, batch) for m in spec.modalities}
        for pattern in planted.patterns(spec):
            hidden = batch.with_present({m: torch.full((6,), there) for m, there in pattern.items()})
            assert torch.equal(net.fuse(encoded, hidden).prediction, net(hidden).prediction)


def test_it_learns_what_is_planted():
    spec = planted.spec("text", "audio")
    train, test = planted.linked(spec, 512, seed=1), planted.linked(spec, 512, seed=2)
    net = planted.train(ERM(SMALL, spec), train, epochs=12)
    with torch.no_grad():
        error = (net(test).prediction - test.target).abs().mean().item()
    constant = (test.target - train.target.median()).abs().mean().item()
    assert error < 0.6 * constant
