"""The pickles of the sentiment field: MMSA's ``aligned_50.pkl`` and ``unaligned_*.pkl``, and CASP's.

Here they are described; ``mmsa_layout.py`` says what they hold, and ``read_mmsa.py`` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..dataset import SYNTHETIC_MARK, Samples, Target, data_error
from ..shared.known_files import KnownFiles
from .mmsa_layout import MODALITIES

_HEAD = 4096


def pickle_format(file: Path) -> str:
    """The format that a pickle's name stands for: ``"mmsa-aligned"``, ``"mmsa-unaligned"`` or ``"casp"``."""
    name = file.name.lower()
    if "unaligned" in name:
        return "mmsa-unaligned"
    return "mmsa-aligned" if "aligned" in name else "casp"


def is_synthetic(file: Path) -> bool:
    """Whether a pickle says in its first bytes that mmbench generated it. Nothing is unpickled.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return SYNTHETIC_MARK.encode() in stream.read(_HEAD)
    except OSError as error:
        raise data_error(file, "", f"cannot be read ({error.strerror})", "a readable file") from None


@dataclass(frozen=True)
class LocatedPickle(KnownFiles):
    """A sentiment pickle that was found on disk. See :class:`mmbench.datasets.dataset.Located`."""

    name: str
    format: str
    files: tuple[Path, ...]
    target: Target
    synthetic: bool
    modalities: tuple[str, ...] = MODALITIES

    @property
    def group_names(self) -> dict[str, str]:
        """``"group"`` -> what it is: the video, which the ids of samples name."""
        return {"group": "video"}

    def load(self) -> dict[str, Samples]:
        """Reads and checks every split. Raises DataError."""
        from .read_mmsa import read_pickle  # brings numpy: not needed to describe

        return read_pickle(self.files[0], self.name, self.target, self.synthetic)


def locate_pickle(name: str, file: Path, target: Target) -> LocatedPickle:
    """Describes a sentiment pickle.

    Args:
        name: of the dataset.
        file: the pickle.
        target: the dataset's range of labels.

    Raises:
        DataError: it cannot be read.
    """
    return LocatedPickle(name, pickle_format(file), (file,), target, is_synthetic(file))
