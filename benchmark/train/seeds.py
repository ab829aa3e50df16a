"""Seeds: every random choice has a seed of its own, derived from the seed of the job and the name of the choice."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def derive(seed: int, *names: object) -> int:
    """A 63-bit seed for the choice that ``names`` describe.

    Args:
        seed: of the job.
        names: what the choice is of, such as ``"batches"`` and an epoch.

    Returns:
        At least 0, below 2**63; the same on every machine.
    """
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, *names: object) -> torch.Generator:
    """A CPU generator for the choice that ``names`` describe.

    Args:
        seed: of the job.
        names: as in ``derive``.

    Returns:
        A generator of its own.
    """
    return torch.Generator().manual_seed(derive(seed, *names))


def seed_everything(seed: int, *names: object) -> None:
    """Seeds the global generators, for what draws from them: initial weights, dropout.

    Args:
        seed: of the job.
        names: as in ``derive``.
    """
    value = derive(seed, *names)
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.manual_seed(value)  # the GPUs' too
