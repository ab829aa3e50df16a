"""The norms of the gradients that the encoders of a network are given in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...methods.method import Method
from ...methods.shared.networks import PerModality

#: How they are called among what is told of an epoch; the modality follows.
ENCODER_GRADIENT = "encoder_gradient/"


class EncoderGradients:
    """Sums the gradient norms of each encoder over the steps of an epoch.

    A method's encoders are those of its attribute ``encoders``, one module for each modality; of a method without it, and of
    an encoder without parameters, nothing is told.

    Args:
        method: whose parameters are looked at, and not changed.
    """

    def __init__(self, method: Method) -> None:
        encoders = getattr(method, "encoders", None)
        found: dict[str, tuple[nn.Parameter, ...]] = {}
        if isinstance(encoders, PerModality):
            found = {name: tuple(encoders.parameters_of(name)) for name in encoders.names}
        self._parameters = {name: own for name, own in found.items() if own}
        self._sums: dict[str, Tensor] = {}
        self._steps = 0

    def add(self) -> None:
        """Notes the gradients that are there: before a step of the optimiser, before they are clipped by their norm."""
        self._steps += 1
        for name, parameters in self._parameters.items():
            gradients = [one.grad for one in parameters if one.grad is not None]
            if gradients:
                norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
                self._sums[name] = self._sums.get(name, 0) + norm.detach().double()

    def of_epoch(self) -> dict[str, float]:
        """``encoder_gradient/MODALITY`` -> the mean norm over the steps since the last call, 0 in a step without a gradient."""
        told = {
            f"{ENCODER_GRADIENT}{name}": float(self._sums.get(name, 0.0)) / self._steps
            for name in self._parameters
            if self._steps
        }
        self._sums, self._steps = {}, 0
        return told
