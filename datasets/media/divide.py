"""Splits drawn by whole groups (a speaker, a recording), so that no group is on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256


def divide(groups: Sequence[str], shares: Mapping[str, float], seed: str) -> list[str]:
    """Draws the split of every clip.

    Groups are taken in an order that (seed, name of the group) alone decides, whatever the order of the clips; each
    goes to the split that lacks most clips of its share. No split stays empty.

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
        raise ValueError(f"{len(sizes)} groups for {len(shares)} splits")
    lacking = {split: share * len(groups) for split, share in shares.items()}
    empty = dict.fromkeys(shares)
    order = sorted(sizes, key=lambda name: sha256(f"{seed}\0{name}".encode()).digest())
    chosen: dict[str, str] = {}
    for place, name in enumerate(order):
        open_to = empty if len(order) - place == len(empty) else lacking
        split = max(open_to, key=lambda one: lacking[one])
        chosen[name] = split
        lacking[split] -= sizes[name]
        empty.pop(split, None)
    return [chosen[name] for name in groups]
