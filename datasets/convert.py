"""Any dataset that was found, into the open layout."""

from __future__ import annotations

from pathlib import Path

from .dataset import Located
from .write_layout import write_open_layout


def convert(located: Located, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Reads a dataset and writes it as npz files with a ``dataset.yaml``, which load as the same samples.

    Context survives as the rows of the previous utterances; a stand-in stays marked as one.

    Returns:
        The files written, the description first.

    Raises:
        DataError: the data are wrong, the folder holds a dataset already, or it cannot be written.
    """
    return write_open_layout(
        folder,
        located.load(),
        located.target,
        name=located.name,
        synthetic=located.synthetic,
        encoders=located.encoders,
        overwrite=overwrite,
    )
