"""One classifier for each modality, on an encoder of its own: what methods of trusted fusion are built of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_errors
from ..method import fixed
from .embedded import EmbedsByEncoders
from .networks import (
    PerModality,
    SharedNetworkParams,
    embedding_width,
    encoders,
    known_modalities,
    outputs,
    single_head,
)
from .vector_encoder import masked_mean_over_steps


@dataclass(frozen=True)
class ViewParams(SharedNetworkParams):
    """The size of the shared network, and whether a modality of one vector has an encoder."""

    direct: bool = fixed(
        False, source="published: what reads a modality that is one vector reads it without an encoder"
    )


class MeanOfSteps(nn.Module):
    """In the place of an encoder: the mean of the valid steps, of one step the vector itself."""

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """The vector of each sample; what lies at invalid steps is never read.

        Args:
            features: [batch, time, feature], float.
            valid: [batch, time], bool.

        Returns:
            [batch, feature], float32.
        """
        return masked_mean_over_steps(features.float(), valid)


class Views(EmbedsByEncoders):
    """A method that encodes modalities independently; ``params`` has the fields of ``ViewParams``.

    Attributes:
        names: of the modalities.
        width: of the shared network.
        widths: modality -> width of its embedding.
    """

    def __init__(self, params: Any, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        self.width = embedding_width(spec, params.width)
        self.encoders = encoders(spec, self.width, params.layers, params.released_encoder)
        self.widths = dict.fromkeys(self.names, self.width)
        for i, m in enumerate(self.names):
            vector = spec.steps.get(m, 0) == 1 and m not in spec.tuned and m not in spec.encoders
            if params.direct and vector:
                self.encoders.parts[i] = MeanOfSteps()
                self.widths[m] = self.encoders.read[m]

    def classifiers(self) -> PerModality:
        """A head for each modality, [batch, width] -> [batch, classes]: linear on a vector that has no encoder."""
        widths = iter(self.widths.values())

        def make(_: int) -> nn.Module:
            width = next(widths)
            if self.params.direct:
                return nn.Linear(width, outputs(self.spec))
            return single_head(self.spec, width, self.width)

        return PerModality(self.spec, make)

    def known(self, batch: Batch) -> Tensor:
        """[batch, modality], bool: which modalities each sample has."""
        return known_modalities(batch, self.names)

    def own_losses(self, logits: Tensor, batch: Batch) -> Tensor:
        """The sum over modalities of the cross-entropy of each, a mean over the samples that have it; a scalar.

        Args:
            logits: [batch, modality, classes].
            batch: with targets and with what is there.
        """
        known = self.known(batch)
        errors = [task_errors(one, batch.target, self.spec) for one in logits.unbind(1)]
        return torch.stack([masked_mean(one, known[:, i]) for i, one in enumerate(errors)]).sum()


def by_modality(name: str, names: Sequence[str], values: Tensor) -> dict[str, Tensor]:
    """Diagnostics of the modalities, as ``Output.diagnostics`` names them.

    Args:
        name: of the quantity.
        names: of the modalities.
        values: [batch, modality].

    Returns:
        ``NAME/MODALITY`` -> [batch].
    """
    return {f"{name}/{m}": values[:, i] for i, m in enumerate(names)}
