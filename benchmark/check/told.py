"""What a network says of itself: its confidences and diagnostics."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ...datasets.batch import Batch
from ...methods.method import Method
from .planted_networks import patterns_of

#: The largest difference, as a share of the largest value, that rounding may make.
TOLERANCE = 1e-4


def check_told(method: Method, batch: Batch) -> None:
    """Checks the confidences and diagnostics of a network on clean data and under every missing pattern.

    Args:
        method: the network.
        batch: samples that have all modalities.

    Raises:
        AssertionError: one is not a finite number for each sample, depends on the other samples of the batch, is given
            under some patterns only, or has a name that tables cannot hold.
    """
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(1))
    clean = _told(method, batch)
    for condition in patterns_of(batch):
        changed = condition.apply(batch)
        found = _told(method, changed)
        assert found.keys() == clean.keys(), (
            f"{condition.name}: gives {', '.join(found) or 'none'}, and {', '.join(clean) or 'none'} on clean data"
        )
        if not found:
            continue
        others, alone = _told(method, changed.take(order)), _told(method, changed.take(slice(0, 1)))
        for name, values in found.items():
            where = f"{name}, {condition.name}"
            assert values.shape == (len(batch),), f"{where}: shape {tuple(values.shape)}, not {(len(batch),)}"
            assert bool(torch.isfinite(values).all()), f"{where}: not finite"
            rounding = TOLERANCE * max(1.0, float(values.abs().max()))
            away = float((values[order] - others[name]).abs().max())
            assert away <= rounding, f"{where}: differs by {away:.3g} in another order"
            away = float((values[:1] - alone[name]).abs().max())
            assert away <= rounding, f"{where}: differs by {away:.3g} for a sample alone and among others"


@torch.no_grad()
def _told(method: Method, batch: Batch) -> dict[str, Tensor]:
    """The confidences and diagnostics of a batch, each called what it is."""
    method.eval()
    output = method(batch)
    for name in output.confidence:
        assert re.fullmatch(r"[A-Za-z_]\w{0,60}", name, re.ASCII), (
            f"confidence {name!r}: should be called as a variable is"
        )
    for name in output.diagnostics:
        assert re.fullmatch(r"[\w .:=+/()%@*-]{1,200}", name), (
            f"diagnostic {name!r}: a name has letters, digits, and '/' before its modality"
        )
    told = {f"confidence {name}": values for name, values in output.confidence.items()}
    return {**told, **{f"diagnostic {name}": values for name, values in output.diagnostics.items()}}
