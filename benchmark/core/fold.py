"""Folds of cross-validation: the part of a job in a division of its dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, MinLen

#: One fold for each group, in place of a number of folds.
LEAVE_ONE_OUT = "leave-one-out"
#: The groupings that every dataset has: what it names itself, and single samples.
AUTO, SINGLE = "auto", "none"
#: The parts of a dataset that are divided where its test part is to stay untouched, and where it tests every fold.
TRAIN_VALID, ONE_TEST = "train+valid", "train+valid/test"


@dataclass(frozen=True)
class Fold:
    """A fold of a dataset, whose samples test a job that is trained on all others; or validate it, where ``ONE_TEST``.

    Attributes:
        index: which, from 1.
        count: the number of folds.
        group: what lies in one fold as a whole, as the dataset calls it; empty for single samples.
        leave_one_out: whether every group is a fold of its own.
        division: 16 hexadecimal digits that stand for which samples train, validate and test in every fold.
        parts: ``TRAIN_VALID`` where only these parts of the dataset are divided; ``ONE_TEST`` where they are and the fold
            validates, so that the dataset's test part tests all folds; empty for all of it.
        name: the group that is the fold, such as a person, where every group is one; empty elsewhere, and in stores of before
            it was noted.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"strict": True, "extra": "forbid"}

    index: Annotated[int, Ge(1)]
    count: Annotated[int, Ge(2)]
    group: str
    leave_one_out: bool
    division: Annotated[str, MinLen(16)]
    parts: Literal["", "train+valid", "train+valid/test"] = ""
    name: str = ""

    def __post_init__(self) -> None:
        if self.index > self.count:
            raise ValueError(f"fold {self.index} of {self.count}: there is no such fold")

    @property
    def rule(self) -> str:
        """How the dataset is divided: ``5 folds``, ``5 folds by video``, ``leave one session out``, ``5 folds of
        train+valid``, ``5 folds of train+valid, tested on test``."""
        words = f"{self.count} folds by {self.group}" if self.group else f"{self.count} folds"
        if self.leave_one_out:
            words = f"leave one {self.group} out"
        if self.parts == ONE_TEST:
            return f"{words} of {TRAIN_VALID}, tested on test"
        return f"{words} of {self.parts}" if self.parts else words

    @property
    def place(self) -> str:
        """``fold 2/5``, or ``fold 2/5 (anna)`` where anna is left out."""
        return f"fold {self.index}/{self.count}" + (f" ({self.name})" if self.name else "")

    def to_dict(self) -> dict[str, Any]:
        """As plain values; the parts and what is left out are there where they say something, as the files of the first folds
        did not have them."""
        return {name: value for name, value in vars(self).items() if value or name not in ("parts", "name")}

    @property
    def identity(self) -> list[Any]:
        """What of it changes the result of a job. Two ways to the same division are one."""
        return [self.index, self.count, self.division]


def as_folds(value: Any) -> Any:
    """A number of folds from a flag or a file: 0 (none), 2 or more, or ``leave-one-out``.

    Args:
        value: a number, or a text.

    Returns:
        The number, or the text.

    Raises:
        ValueError: it is neither.
    """
    if value == LEAVE_ONE_OUT:
        return value
    try:
        count = int(value) if isinstance(value, str) else value
    except ValueError:
        count = None
    if isinstance(count, bool) or not isinstance(count, int) or count < 0 or count == 1:
        raise ValueError(
            f"{value!r} is no number of folds: write 2 or more, or {LEAVE_ONE_OUT} for one fold each group"
        )
    return count
