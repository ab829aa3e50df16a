"""Seeds: every random choice has a seed of its own, derived from the seed of the job and the name of the choice."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def derive(seed: int, *names: object) -> int:
    """A 63-bit seed for the choice that ``names`` describe."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, *names: object) -> torch.Generator:
    """A CPU generator for the choice that ``names`` describe."""
    return torch.Generator().manual_seed(derive(seed, *names))


def seed_everything(seed: int, *names: object) -> None:
    """Seeds the global generators, for what draws from them: initial weights, dropout."""
    value = derive(seed, *names)
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.manual_seed(value)  # the GPUs' too
