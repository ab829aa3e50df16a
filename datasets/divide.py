"""Splits drawn by whole groups (a speaker, a recording), so that no group is on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256

from .counting import counted

_DRAWS, _NEAR = 200, 0.005


def divide(groups: Sequence[str], shares: Mapping[str, float], seed: str) -> list[str]:
    """Draws the split of every clip.

    Groups are taken in an order that (seed, name of the group) alone decides, whatever the order of the clips; each
    goes to the split that lacks most clips of its share. No split stays empty. Where large groups come in a bad
    order, another is drawn: the first that meets all shares to half a percent of the clips, or the best of 200.

    Args:
        groups: [clips], the group of each.
        shares: split -> its share of the clips, above 0, with the sum 1.
        seed: any text; another gives another draw.

    Returns:
        [clips], the split of each.

    Raises:
        ValueError: there are fewer groups than splits.
    """
    sizes = Counter(groups)
    if len(sizes) < len(shares):
        raise ValueError(f"{counted(len(sizes), 'group')} for {counted(len(shares), 'split')}")
    best: dict[str, str] = {}
    least = float("inf")
    for draw in range(_DRAWS):
        chosen, missed = _draw(sizes, shares, f"{seed}\0{draw}")
        if missed < least:
            best, least = chosen, missed
        if least <= _NEAR * len(groups):
            break
    return [best[name] for name in groups]


def _draw(sizes: Mapping[str, int], shares: Mapping[str, float], seed: str) -> tuple[dict[str, str], float]:
    """The split of every group, and by how many clips the worst split misses its share."""
    count = sum(sizes.values())
    lacking = {split: share * count for split, share in shares.items()}
    empty = dict.fromkeys(shares)
    order = sorted(sizes, key=lambda name: sha256(f"{seed}\0{name}".encode()).digest())
    chosen: dict[str, str] = {}
    for place, name in enumerate(order):
        open_to = empty if len(order) - place == len(empty) else lacking
        split = max(open_to, key=lambda one: lacking[one])
        chosen[name] = split
        lacking[split] -= sizes[name]
        empty.pop(split, None)
    return chosen, max(map(abs, lacking.values()))
