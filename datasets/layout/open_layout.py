"""The open layout: arrays in npz, parquet or safetensors files, described by a ``dataset.yaml``.

Here it is found and described; ``read.py`` reads the arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..dataset import Samples, Target
from ..fingerprint import fingerprint
from .description import Description
from .read_description import read_description


@dataclass(frozen=True)
class LocatedFolder:
    """A dataset in the open layout. See :class:`mmbench.datasets.dataset.Located`."""

    name: str
    description: Description
    format: str = "open"

    @property
    def files(self) -> tuple[Path, ...]:
        """The description and every file of arrays."""
        return (self.description.file, *self.description.files())

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names of the modalities, in the order of the description."""
        return tuple(self.description.modalities)

    @property
    def target(self) -> Target:
        """What is predicted."""
        return self.description.target

    @property
    def encoders(self) -> dict[str, str]:
        """Modality -> the encoder that the description names, where it is not ``"sequence"``."""
        return {
            name: ref.encoder
            for name, ref in self.description.modalities.items()
            if ref.encoder != "sequence"
        }

    @property
    def group_names(self) -> dict[str, str]:
        """``"group"`` and ``"domain"`` -> what the dataset calls them: the arrays that hold them."""
        refs = {"group": self.description.whole, "domain": self.description.optional.get("domain")}
        return {kind: ref.array for kind, ref in refs.items() if ref is not None}

    @property
    def has_conversations(self) -> bool:
        """Whether the description says which samples are utterances of one conversation."""
        return self.description.has_conversations

    @property
    def synthetic(self) -> bool:
        """Whether the description says that mmbench generated the data."""
        return self.description.synthetic

    @property
    def drawn_validation(self) -> str:
        """How the validation part is drawn from the training samples; empty where the data state it."""
        return str(self.description.valid or "")

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the arrays' files and what the description says of them; not over places,
        titles, comments, or the dataset's name."""
        return fingerprint(self.description.content(), self.description.files())

    def load(self) -> dict[str, Samples]:
        """Reads and checks every split. Raises DataError."""
        from .read import read_open_layout  # brings numpy: not needed to describe

        return read_open_layout(self.name, self.description)


def locate_open(file: Path, name: str | None = None) -> LocatedFolder:
    """Describes a dataset in the open layout by its ``dataset.yaml``.

    Args:
        file: the description.
        name: the dataset's name; by default the description's, or that of its folder.

    Raises:
        DataError: the description is wrong, or names a file that does not exist.
    """
    description = read_description(file)
    return LocatedFolder(name or description.name, description)
