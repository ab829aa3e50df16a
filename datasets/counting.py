"""Numbers of things, as messages say them."""

from __future__ import annotations


def counted(count: int, word: str, plural: str = "") -> str:
    """A number of things: ``1 sample``, ``2 samples``, ``2 searches``.

    Args:
        count: how many.
        word: one of them.
        plural: several of them; by default the word takes an s.
    """
    return f"{count} {word if count == 1 else plural or word + 's'}"
