from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.train.lightning_module import fit
from mmbench.methods.generalisation.swad import SWAD, SWADParams, window
from torch import Tensor

from .. import planted


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([3, 2], None),
        ([5, 4, 3, 2, 1], None),
        ([5, 1, 2, 3], (1, 3)),
        ([1, 1, 1], (0, 2)),
        # limit 1.5 * (1 + 1 + 1) / 3; two in a row above it end the window before them
        ([5, 1, 1, 1, 1.4, 9, 1, 9, 9, 1], (1, 6)),
        ([5, 1, 1, 1, 9], (1, 4)),
    ],
)
def test_windows_by_hand(losses, expected):
    assert window(losses, converge=3, tolerance=2, ratio=1.5) == expected


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=25), st.integers(1, 4), st.integers(1, 6))
def test_a_window_that_has_begun_stays_and_only_grows_until_it_ends(losses, converge, tolerance):
    found = [window(losses[:n], converge, tolerance, 1.3) for n in range(1, len(losses) + 1)]
    begun = [item for item in found if item is not None]
    assert len({first for first, _ in begun}) <= 1
    ended = False
    for n, item in enumerate(found):
        if item is None:
            assert not begun or n < begun[0][0] + converge
        elif item[1] < n:
            ended = True
            assert item == begun[-1]
        else:
            assert not ended


class Remembering(SWAD):
    """Keeps all that it ever was."""

    def __init__(self, params, spec):
        super().__init__(params, spec)
        self.past: list[list[Tensor]] = [[]]

    def after_step(self) -> None:
        super().after_step()
        self.past[-1].append(torch.cat([p.detach().flatten().double() for p in self.parameters()]))

    def after_epoch(self, validation_loss) -> None:
        super().after_epoch(validation_loss)
        self.past.append([])


def weights(net: SWAD) -> Tensor:
    return torch.cat([p.detach().flatten().double() for p in net.parameters()])


@pytest.mark.parametrize("epochs", [2, 14])
def test_what_is_tested_is_the_mean_of_every_step_of_the_window(epochs: int):
    spec = planted.spec("text")
    train, valid = planted.linked(spec, 90, 1), planted.linked(spec, 64, 2)
    net = Remembering(SWADParams(layers=1, width=8, converge=2, tolerance=2, ratio=1.0), spec)
    rules = Protocol.model_validate(
        {"epochs": epochs, "selection": "last", "learning_rate": 2e-2, "schedule": "constant"}
    )
    fit(net, rules, train, valid, 0, lambda *_: None)
    found = window(net.losses, 2, 2, 1.0)
    if epochs == 2:
        assert found is None or found == (0, 1)
        first, final = found or (1, 1)
    else:
        assert found is not None
        first, final = found
        assert 0 < final - first < 13
    steps = [step for epoch in net.past[first : final + 1] for step in epoch]
    assert len(steps) == 3 * (final - first + 1)  # 90 samples in batches of 32: no step is left out
    assert torch.allclose(weights(net), torch.stack(steps).mean(0), atol=1e-6)


def test_its_losses_are_those_of_the_weights_themselves():
    """The mean is tested, but the window follows the network that is trained."""
    spec = planted.spec("text")
    train, valid = planted.linked(spec, 64, 1), planted.linked(spec, 64, 2)
    own: list[float] = []

    class Looking(SWAD):
        def after_epoch(self, validation_loss) -> None:
            super().after_epoch(validation_loss)
            with torch.no_grad():
                own.append(float((self(valid).prediction - valid.target).abs().mean()))

    net = Looking(SWADParams(layers=1, width=8), spec)
    training = fit(net, Protocol.model_validate({"epochs": 4}), train, valid, 0, lambda *_: None)
    assert net.losses == pytest.approx(own, abs=1e-6)
    assert [item.loss for item in training.record] != pytest.approx(own, abs=1e-6)
