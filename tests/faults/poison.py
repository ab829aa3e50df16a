"""Pickles that would touch a file if they were ever loaded."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np


class Called:
    """Calls something when it is unpickled."""

    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self) -> tuple:
        return self.call[0], self.call[1:]


def system(canary: Path) -> object:
    """``os.system`` itself."""
    return Called(os.system, f"touch {canary}")


def objects(canary: Path) -> object:
    """In an array of objects."""
    array = np.empty(2, dtype=object)
    array[:] = [1.0, system(canary)]
    return {"train": {"text": array}}


def nested(canary: Path) -> object:
    """As the argument of a harmless call."""
    return Called(np.dtype, Called(str, system(canary)))


POISONS: dict[str, Callable[[Path], object]] = {"system": system, "objects": objects, "nested": nested}


def poison(kind: str, canary: Path) -> bytes:
    """The pickle of a kind. Loading it does touch the canary; that was tried, and the canary is gone again."""
    content = pickle.dumps(POISONS[kind](canary), protocol=4)
    with suppress(TypeError):  # what is made of it then is of no matter
        pickle.loads(content)
    canary.unlink()
    return content
