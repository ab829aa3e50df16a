"""The content of a file in memory, read when it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def map_file(file: Path, size: int) -> np.ndarray:
    """The beginning of a file as an array that is mapped into memory.

    Mapped as torch does it, which closes the file: numpy keeps it open, and there may be more files than a process may
    have open.

    Args:
        file: to map.
        size: the number of bytes.

    Returns:
        [size], uint8, read-only.

    Raises:
        OSError, RuntimeError: it cannot be read.
    """
    import torch

    content = torch.from_file(str(file), size=size, dtype=torch.uint8).numpy()
    content.flags.writeable = False
    return content
