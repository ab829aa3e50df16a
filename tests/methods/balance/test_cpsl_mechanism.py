"""What CP does before and after the optimiser, with SL and without.

Text is wide and tells its part of the class by a linear cue; audio tells its part by the product of two signs, which is
learned slowly. So text leads. The encoders are small networks without dropout.
"""

from __future__ import annotations

import functools

import pytest
import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.balance.cpsl import CPSL, CPSLParams
from mmbench.methods.shared.networks import Encoders

from ..small import MeanNetwork

SIZES = {"text": 200, "audio": 20, "vision": 30}
SPEC = Spec(SIZES, "classification", classes=2, steps=dict.fromkeys(SIZES, 1))


def planted(samples: int, seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    cue, first, second, third = torch.randn(4, samples, generator=draw)
    maps = [torch.randn(size, generator=torch.Generator().manual_seed(100 + i)) for i, size in enumerate((200, 20, 20, 30))]  # fmt: skip
    signals = {
        "text": 0.5 * cue[:, None] * maps[0],
        "audio": 2 * (first[:, None] * maps[1] + second[:, None] * maps[2]),
        "vision": 1.4 * third[:, None] * maps[3],
    }
    features = {}
    for m, size in SIZES.items():
        values = signals[m] + torch.randn(samples, size, generator=draw)
        features[m] = ((values - values.mean(0)) / values.std(0)).unsqueeze(1)
    return Batch(
        features=features,
        mask={m: torch.ones(samples, 1, dtype=torch.bool) for m in SIZES},
        present={m: torch.ones(samples, dtype=torch.bool) for m in SIZES},
        target=(cue + 0.8 * first.sign() * second.sign() + 0.8 * third > 0).long(),
        domain=torch.zeros(samples, dtype=torch.int64),
        sample_id=torch.arange(samples),
    )


TEST = planted(500, seed=77)


@functools.cache
def trained(seed: int = 0, optimizer: str = "AdamW", **params) -> CPSL:
    """The same network, order, data and seed, but for ``params``."""
    torch.manual_seed(seed)
    net = CPSL(CPSLParams(**params), SPEC)
    net.encoders = Encoders(SPEC, lambda features: MeanNetwork(features, 40))
    batch = planted(256, seed + 1)
    rule = (
        torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
        if optimizer == "SGD"
        else torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    )
    net.train()
    for epoch in range(8):
        net.before_epoch(lambda: iter((batch,)), epoch / 8)
        for rows in torch.randperm(len(batch)).split(32):
            rule.zero_grad()
            net.backward(batch.take(rows))
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            rule.step()
            net.after_step()
    return net.eval()


def path(net: CPSL) -> float:
    """How far the encoder of the text has gone."""
    return float(net.path[0])


@torch.no_grad()
def sl_error(net: CPSL, modality: str = "text") -> float:
    return float(net(TEST).diagnostics[f"sl_error/{modality}"].mean())


ALONE = {"sl": "none", "cp": "constant"}


def test_text_leads():
    assert trained(**ALONE).norms.argmax() == 0
    assert trained(**ALONE).factor.tolist() == pytest.approx([0.1, 1, 1])


def test_before_adam_and_without_sl_a_factor_is_a_no_op():
    plain = path(trained(sl="none", cp="none"))
    assert path(trained(**ALONE)) == pytest.approx(plain, rel=0.1)


def test_after_adam_it_slows_the_encoder():
    assert path(trained(**ALONE, cp_place="update")) < 0.25 * path(trained(sl="none", cp="none"))


@pytest.mark.parametrize("place", ["gradient", "update"])
def test_with_sgd_it_slows_the_encoder_in_both_places(place: str):
    plain = path(trained(sl="none", cp="none", optimizer="SGD"))
    assert path(trained(**ALONE, cp_place=place, optimizer="SGD")) < 0.4 * plain


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_sl_a_factor_before_adam_protects_it(seed: int):
    with_cp, without = sl_error(trained(seed, cp="constant")), sl_error(trained(seed, cp="none"))
    assert with_cp < 0.8 * without
    others = [sl_error(trained(seed, cp=rule), "vision") for rule in ("constant", "none")]
    assert others[0] == pytest.approx(others[1], rel=0.1)  # the modality that is not scaled


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_sl_a_factor_after_adam_does_not_protect_it(seed: int):
    assert sl_error(trained(seed, cp="constant", cp_place="update")) > sl_error(trained(seed, cp="none"))


def test_a_constant_rate_after_adam_is_as_good_as_the_adaptive_rule():
    """As docs/methods.md says, for which this is the check."""

    def right(net: CPSL) -> float:
        with torch.no_grad():
            return float((net(TEST).prediction.argmax(1) == TEST.target).float().mean())

    constant = right(trained(cp="constant", cp_place="update"))
    assert constant > right(trained(cp_place="update")) - 0.03
    assert constant > right(trained(cp="none")) - 0.01


def test_the_adaptive_rule_scales_the_leading_modality_and_protects_sl():
    net = trained()
    assert net.factor[0] < 0.6
    assert net.factor[1:].min() > 0.8
    assert sl_error(net) < 0.9 * sl_error(trained(cp="none"))
    assert trained(cp="inverse").factor[0] > 0.9
