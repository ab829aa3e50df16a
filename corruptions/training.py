"""The damage in training, which ``datasets.damage`` defines for the protocol and for methods alike."""

from __future__ import annotations

from ..datasets.damage import TRAIN_NOISE, WHOLE, inject, inject_by_sample
from ..datasets.rates import TRAIN_MISSING

__all__ = ["TRAIN_MISSING", "TRAIN_NOISE", "WHOLE", "inject", "inject_by_sample"]
