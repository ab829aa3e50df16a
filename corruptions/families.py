"""The families of corruption that a network was trained with. No torch here: tables read this."""

from __future__ import annotations

from ..datasets.rates import TRAIN_MISSING as TRAIN_MISSING
from ..datasets.rates import has_rates

#: How the condition of a table of masks from elsewhere begins; ``leaderboards.labels`` reads it so.
MASK = "mask:"
_OF_MISSING = {"off": (), "patterns": ("missing",), "spectrum": ("missing", "dropout")}
_OF_NOISE = {"off": (), "spectrum": ("noise",)}


def trained_families(missing: str, noise: str) -> frozenset[str]:
    """The families that ``damage.inject`` draws from; the network has not seen any other.

    Args:
        missing: one of ``TRAIN_MISSING``, or rates of single modalities.
        noise: a key of ``TRAIN_NOISE``.
    """
    lacking = ("missing",) if has_rates(missing) else _OF_MISSING[missing]
    return frozenset((*lacking, *_OF_NOISE[noise]))
