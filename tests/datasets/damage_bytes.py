"""Ways to break a file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

#: Values at which headers break: sizes, signs, counts.
NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def damaged(content: bytes, number: int) -> Iterator[bytes]:
    """``number`` ways to break a file; most of them where its headers are."""
    draw = np.random.default_rng(number)
    for _ in range(number):
        broken = bytearray(content)
        near = len(broken) if draw.random() < 0.3 else min(len(broken), int(draw.choice([48, 160, 700])))
        for _ in range(int(draw.integers(1, 5))):
            place = int(draw.integers(0, near))
            way = draw.integers(0, 4)
            if way == 0:
                broken[place] = int(draw.integers(0, 256))
            elif way == 1:
                width = int(draw.choice([1, 2, 4]))
                value = int(draw.choice(NUMBERS)) & (256**width - 1)
                broken[place : place + width] = value.to_bytes(width, str(draw.choice(["little", "big"])))  # type: ignore[arg-type]
            elif way == 2:
                del broken[place : place + int(draw.integers(1, 40))]
            else:
                broken[place:place] = bytes(broken[place : place + int(draw.integers(1, 40))])
            if not broken:
                broken = bytearray(b"\0")
            near = min(near, len(broken))
        if draw.random() < 0.2:
            del broken[int(draw.integers(1, len(broken) + 1)) :]
        yield bytes(broken)
