"""Which families of corruption a network has met in training. No torch here: tables read this."""

from __future__ import annotations

_OF_MISSING = {"off": (), "patterns": ("missing",), "spectrum": ("missing", "dropout")}
_OF_NOISE = {"off": (), "spectrum": ("noise",)}


def trained_families(missing: str, noise: str) -> frozenset[str]:
    """The families that ``training.inject`` draws from; all others are held out for the network.

    Args:
        missing: a key of ``TRAIN_MISSING``.
        noise: a key of ``TRAIN_NOISE``.
    """
    return frozenset((*_OF_MISSING[missing], *_OF_NOISE[noise]))
