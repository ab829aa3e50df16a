"""``lmm`` on weights of four bits, on the CPU."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmbench.benchmark.train.weights import load_weights, save_weights

from .test_lmm import TRAIN, network, said, spec_of
from .tiny_models import save_llama

# It imports the compiler of torch, too: not before a test needs it.
pytestmark = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="not installed: bitsandbytes")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_llama(tmp_path_factory.mktemp("wide"), hidden=64))  # a block of NF4 is 64 numbers


def test_the_base_is_of_four_bits_and_stays_while_every_adapter_learns(wide: str):
    method = network(wide, spec_of(TRAIN), weights="nf4")
    linear = [part for part in method.base.modules() if type(part).__module__.startswith("bitsandbytes.nn")]
    linear = [part for part in linear if hasattr(part, "compute_dtype")]
    assert len(linear) == 14  # q, k, v, o, gate, up and down of two blocks
    assert all(part.weight.dtype == torch.uint8 for part in linear)
    assert method.base.lm_head.weight.is_floating_point()
    kept = set(method.kept())
    before = {name: one.clone() for name, one in method.state_dict().items() if name not in kept}
    trained = {name: one for name, one in method.named_parameters() if one.requires_grad}
    first = {name: one.clone() for name, one in trained.items()}
    optimizer = torch.optim.Adam(trained.values(), lr=1e-3)
    batch = TRAIN.take(slice(0, 8))
    for _ in range(10):
        optimizer.zero_grad()
        method.backward(batch)
        assert all(one.grad is not None and bool(one.grad.isfinite().all()) for one in trained.values())
        optimizer.step()
    assert not [name for name, one in trained.items() if torch.equal(one, first[name])]
    after = method.state_dict()
    assert not [name for name, one in before.items() if not torch.equal(one, after[name])]
    other = network(wide, spec_of(TRAIN), seed=3, weights="nf4")
    load_weights(other, save_weights(method))
    assert torch.equal(said(other, batch), said(method, batch))


def test_the_hash_is_that_of_the_weights_as_they_were_found(wide: str):
    exact, coarse = (network(wide, spec_of(TRAIN), weights=held, lora=False) for held in ("float32", "nf4"))
    assert exact.bases() == coarse.bases()
    batch = TRAIN.take(slice(0, 4))
    away = (exact.reading.backbone.pooled(exact._prompts(batch)[0], {}, "last")
            - coarse.reading.backbone.pooled(coarse._prompts(batch)[0], {}, "last"))  # fmt: skip
    assert 0 < float(away.detach().abs().mean()) < 0.5
    assert Path(wide).name in next(iter(exact.bases()))
