"""Methods that embed modalities independently, several of them computed as one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...datasets.batch import Batch
from ..method import Method
from .networks import Encoders


class Embeds(Method):
    """A method that says in ``encode_all`` how modalities are embedded; one alone is embedded in the same way."""

    def encode(self, modality: str, batch: Batch) -> Tensor:
        """The embedding [batch, width] of one modality.

        Args:
            modality: its name.
            batch: the samples.
        """
        return self.encode_all(batch, [modality])[modality]


class EmbedsByEncoders(Embeds):
    """A method whose embeddings are those of the shared encoders.

    Attributes:
        encoders: of all modalities; a subclass sets them when it is built.
    """

    encoders: Encoders

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The embeddings [batch, width] of several modalities, computed as one.

        Args:
            batch: the samples.
            modalities: those that are encoded; by default all.
        """
        return self.encoders.together(batch, modalities)
