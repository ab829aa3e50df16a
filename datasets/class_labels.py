"""Labels of classes, written as names or as indices, and how much each class counts."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WHOLE = re.compile(r"[+-]?\d{1,15}(\.0*)?", re.ASCII)


def class_indices(cells: Sequence[str], classes: Sequence[str], *, numbers: bool = False) -> list[int | None]:
    """The indices of classes that labels stand for.

    A label is the name of a class, or else an index; ``1.0`` and ``True`` are 1 where no class is called so. If
    classes are called by numbers, then labels are either all names or all indices: ``1`` in ``[1, 2, 3]`` is
    the first class, unless there is a ``0`` among the labels and none that is no index.

    Args:
        cells: the labels of a whole dataset, as text.
        classes: the names of the classes.
        numbers: the labels were numbers, of which nobody knows whether they are meant as names or as indices.

    Returns:
        For each label its index, or None where it is neither.

    Raises:
        ValueError: some labels are names alone and others indices alone, or numbers could be both and would
            not mean the same.
    """
    position = {name: index for index, name in enumerate(classes)}
    by_number = {number: index for name, index in position.items() if (number := _whole(name)) is not None}

    def index_by_name(cell: str) -> int | None:
        if cell in position:
            return position[cell]
        number = _whole(cell)
        return None if number is None else by_number.get(number)

    names = [index_by_name(cell) for cell in cells]
    places = [index_of(cell, len(classes)) for cell in cells]
    if not by_number:
        return [place if name is None else name for name, place in zip(names, places, strict=True)]
    if None not in names:
        both = None not in places and names != places and not set(cells) <= {"True", "False"}
        if numbers and both:
            shown = ", ".join(dict.fromkeys(cells[:5]))
            raise ValueError(f"the numbers {shown} may be names of classes or their indices")
        return names
    if None not in places:
        return places
    alone = next(
        (
            cell
            for cell, name, place in zip(cells, names, places, strict=True)
            if name is None and place is not None
        ),
        None,
    )
    if alone is not None and any(
        place is None and name is not None for name, place in zip(names, places, strict=True)
    ):
        raise ValueError(f"class {alone} is an index alone, others are names alone")
    return names


def index_of(cell: str, count: int) -> int | None:
    """The index of a class that a label is; None where it is none.

    Args:
        cell: the label, as text.
        count: number of classes.
    """
    number = _whole(cell)
    return number if number is not None and 0 <= number < count else None


def _whole(cell: str) -> int | None:
    """The whole number that a text is, such as ``1``, ``-1``, ``1.0``, ``True``; None for any other."""
    if cell.lower() in ("true", "false"):
        return int(cell.lower() == "true")
    return int(cell.partition(".")[0]) if _WHOLE.fullmatch(cell) else None


def balanced_weights(counts: Sequence[int]) -> tuple[float, ...]:
    """The weights with which every class counts as much in a loss as any other.

    Samples / (classes that occur x samples of the class), as scikit-learn's ``balanced`` (King and Zeng 2001): their mean
    over the samples is 1. A class without samples has 0.
    """
    occur = sum(count > 0 for count in counts)
    return tuple(sum(counts) / (occur * count) if count else 0.0 for count in counts)
