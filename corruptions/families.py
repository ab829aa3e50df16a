"""The families of corruption that a network was trained with. No torch here: tables read this."""

from __future__ import annotations

_OF_MISSING = {"off": (), "patterns": ("missing",), "spectrum": ("missing", "dropout")}
_OF_NOISE = {"off": (), "spectrum": ("noise",)}


def trained_families(missing: str, noise: str) -> frozenset[str]:
    """The families that ``damage.inject`` draws from; the network has not seen any other.

    Args:
        missing: a key of ``TRAIN_MISSING``.
        noise: a key of ``TRAIN_NOISE``.
    """
    return frozenset((*_OF_MISSING[missing], *_OF_NOISE[noise]))
