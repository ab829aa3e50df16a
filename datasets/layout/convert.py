"""Converts any dataset into the open layout."""

from __future__ import annotations

from pathlib import Path

from ..dataset import Located
from .contents import content_arrays, media_contents
from .open_layout import LocatedFolder
from .write import write_open_layout


def convert(located: Located, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Reads a dataset and writes it as npz files with a ``dataset.yaml``, which load as the same samples.

    Context survives as the rows of the previous utterances; a stand-in stays marked as one; features of raw media
    still say of which they were made.

    Args:
        located: the dataset.
        folder: where to.
        overwrite: whether to replace a dataset that is there.

    Returns:
        The files written, the description first.

    Raises:
        DataError: the data are wrong, the folder holds a dataset already, or it cannot be written.
    """
    splits = located.load()
    description = located.description if isinstance(located, LocatedFolder) else None
    origin = description.media if description else None
    keys = (
        {name: media_contents(description, name) for name in origin.modalities}
        if description and origin
        else {}
    )
    return write_open_layout(
        folder,
        splits,
        located.target,
        name=located.name,
        synthetic=located.synthetic,
        encoders=located.encoders,
        media=origin.to_dict() if origin else None,
        beside={split: content_arrays(keys, one.sample_id.tolist()) for split, one in splits.items()},
        overwrite=overwrite,
    )
