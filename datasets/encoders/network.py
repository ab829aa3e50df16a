"""A network that makes features: frozen, on a device, in batches that fit into its memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from .encoder import EncoderError, EncoderSpec
from .memory import Planner, out_of_memory

T = TypeVar("T")
Precision = Literal["auto", "float32"]


@dataclass(frozen=True)
class NetworkOptions:
    """The options of encoders whose network comes from a hub or a folder.

    Attributes:
        weights: a file or folder of weights other than the model's; random: drawn from ``seed``.
        seed: for random weights.
        precision: auto: bfloat16 where the GPU can, else float32.
        revision: of the hub's repository.
    """

    weights: str = ""
    seed: int = 0
    precision: Precision = "auto"
    revision: str = ""


class Network:
    """A module in evaluation mode whose weights take no gradients.

    Attributes:
        module: the network.
        device: where it is.
        mixed: whether it computes in bfloat16 under autocast: on a GPU that can, unless ``float32`` was asked for.
        weights: the weights, in words for the identity: their SHA-256, and that they are random where they are.
    """

    def __init__(self, module: nn.Module, device: torch.device, precision: Precision, weights: str) -> None:
        self.module: Any = module.float().to(device).eval().requires_grad_(False)
        self.device = device
        self.mixed = precision == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
        self.weights = weights
        self._plan = Planner(self.module, device)

    def run(self, forward: Callable[[int, int], T], count: int, values: int) -> list[T]:
        """Runs a function on all items, in order: without gradients in batches that fit the memory; where gradients are
        enabled, all at once and in the caller's precision.

        Args:
            forward: start and stop of a batch -> its result.
            count: number of items.
            values: numbers that the network reads of one item, from which the size of a batch is planned.

        Returns:
            The result of every batch.

        Raises:
            EncoderError: the network cannot read its input, such as pictures of that size.
        """
        if torch.is_grad_enabled():
            return [forward(0, count)] if count else []
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
                return self._plan(forward, count, values)
        except (AssertionError, RuntimeError, ValueError, IndexError) as error:
            if out_of_memory(error):
                raise
            name = type(self.module).__name__
            raise EncoderError(
                f"{name} cannot read what it is given: {' '.join(str(error).split())}"
            ) from error

    def identity(self, spec: EncoderSpec, version: int, options: Mapping[str, Any]) -> dict[str, str]:
        """All that decides the features, as text. ``weights`` and ``seed`` enter through the digest of the weights, a local
        model by its last name: where it lies decides nothing.

        Args:
            spec: the encoder and its model.
            version: of the encoder's code.
            options: name -> value.
        """
        local = Path(spec.model).expanduser().exists()
        settings = {key: str(value) for key, value in options.items() if key not in _ELSEWHERE}
        return {
            "encoder": spec.encoder,
            "model": Path(spec.model).name if local else spec.model,
            "weights": self.weights,
            "version": str(version),
            "precision": "bfloat16" if self.mixed else "float32",
            **settings,
        }


_ELSEWHERE = ("weights", "seed", "precision", "revision")
