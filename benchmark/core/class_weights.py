"""Weights of classes as people write them: ``off``, ``balanced``, or numbers: ``happy=2,sad=1``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from .errors import UsageError, nearest
from .strings import quoted, single_line, split_list, unquoted

#: What the rule takes beside a weight for each class.
ClassWeights = Literal["off", "balanced"] | dict[str, float]
#: The least and the greatest weight. What lies outside of it is 0 or no longer finite in a network's arithmetic.
LEAST, GREATEST = 1e-6, 1e6


def as_class_weights(value: Any) -> Any:
    """The rule by name, or class -> weight in alphabetic order, so that the order makes no other job.

    Args:
        value: ``off``, ``balanced``, a text such as ``happy=2,sad=1``, or a mapping. A number as the name of a class is
            its text. In a text a name with a comma stands in double quotes: ``"happy, excited"=2,sad=1``.

    Raises:
        ValueError: it is none of these, names a class twice, or a weight is no number from 1e-6 to 1e6.
    """
    if isinstance(value, str) and value.strip() in ("off", "balanced"):
        return value.strip()
    if isinstance(value, str):
        pairs = [_pair(item, value) for item in split_list(value, nested=False)]
    elif isinstance(value, Mapping):
        if any(isinstance(name, bool) for name in value):
            raise ValueError("YAML reads yes, no, on and off as truth values: put these names into quotes")
        pairs = [(str(name), weight) for name, weight in value.items()]
    else:
        pairs = []
    if not pairs:
        raise ValueError(f"{_shown(value)} is none of off, balanced, and no weights as happy=2,sad=1")
    weights: dict[str, float] = {}
    for name, weight in pairs:
        if name in weights:
            raise ValueError(f"the class {_shown(name)} has two weights")
        weights[name] = _weight(name, weight)
    return {name: weights[name] for name in sorted(weights)}


def class_weights_text(weights: ClassWeights) -> str:
    """The rule as ``as_class_weights`` reads it, with every digit that counts."""
    if isinstance(weights, str):
        return weights
    return ",".join(f"{quoted(name)}={repr(weight).removesuffix('.0')}" for name, weight in weights.items())


def check_class_names(weights: ClassWeights, classes: Iterable[str], dataset: str) -> None:
    """Checks that a task has the classes, or labels, that are weighed.

    Args:
        weights: the rule.
        classes: the names of the classes that are trained on.
        dataset: whose they are, for the message.

    Raises:
        UsageError: a name is none of them.
    """
    known = list(classes)
    for name in () if isinstance(weights, str) else weights:
        if name not in known:
            raise UsageError(
                f"--class-weights: {dataset} has no class {_shown(name)}: {nearest(name, known)}"
            )


def _pair(item: str, text: str) -> tuple[str, str]:
    """The name and the weight of ``name=weight``; a name may hold ``=``, and stand in double quotes."""
    name, _, weight = item.rpartition("=")
    name = unquoted(name.strip())
    if not name.strip():
        raise ValueError(f"{_shown(text)} is none of off, balanced, and no weights as happy=2,sad=1")
    return name, weight.strip()


def _weight(name: str, value: Any) -> float:
    try:
        weight = float("nan" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        weight = float("nan")
    if not LEAST <= weight <= GREATEST:
        raise ValueError(
            f"the weight {_shown(value)} of the class {_shown(name)} is no number from {LEAST:g} to {GREATEST:g} "
            f"(--held-out-classes leaves a class out)"
        )
    return weight


def _shown(value: Any) -> str:
    return repr(single_line(str(value), 60))
