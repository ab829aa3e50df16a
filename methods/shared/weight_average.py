"""Averages of weights over training."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


def state_of(module: nn.Module) -> State:
    """A copy of the state of a module, buffers included."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


@torch.no_grad()
def move(average: State, present: Mapping[str, Tensor], share: float) -> None:
    """average += share * (present - average), in place; what is not a float is copied.

    Args:
        average: the running average, name -> tensor; changed here.
        present: the weights and buffers of this step, under the same names.
        share: of what is present, in [0, 1].
    """
    for name, value in present.items():
        if value.is_floating_point():
            average[name].lerp_(value, share)
        else:
            average[name].copy_(value)
