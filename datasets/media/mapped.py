"""The content of a file in memory, read when it is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def mapped(file: Path, size: int) -> np.ndarray:
    """The first ``size`` bytes of a file, [size] uint8, not to be written to.

    Mapped into memory as torch does it, which closes the file: numpy keeps it open, and there may be more files than a
    process may have open.

    Raises:
        OSError, RuntimeError: it cannot be read.
    """
    import torch

    content = torch.from_file(str(file), size=size, dtype=torch.uint8).numpy()
    content.flags.writeable = False
    return content
