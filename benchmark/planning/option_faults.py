"""What is wrong with the options of an experiment, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from ..core.errors import nearest

#: A model of options.
Options: TypeAlias = type[BaseModel]

_EXAMPLES = {"methods": "erm,ebmc", "datasets": "mosi", "seeds": "0-4", "modalities": "all"}


def fault_in_words(error: ValidationError, whole: Options, parts: Mapping[str, Options]) -> str:
    """The first fault of a validation, in words; an unknown option before all others, as it may be one that lacks.

    Args:
        error: of pydantic.
        whole: the model that was validated.
        parts: option -> the model of what stands below it.
    """
    faults = error.errors()
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"unknown option {place!r}: {_meant(fault['loc'], whole, parts)}"
    if fault["type"] == "missing":
        return f"{place} is not given: say which, for example --{place} {_EXAMPLES.get(place, '...')}"
    if fault["type"] == "too_short":
        return f"{place} is empty: give at least one, for example --{place} {_EXAMPLES.get(place, '...')}"
    message = fault["msg"].removeprefix("Value error, ")
    if not place:  # of several options together
        return message
    if fault["type"] == "value_error":
        return f"{place.replace('_', ' ')}: {message}"
    return f"{_named(fault['loc'])}: {fault['input']!r} is not allowed, {_expected(fault, message)}"


def _meant(loc: tuple[int | str, ...], whole: Options, parts: Mapping[str, Options]) -> str:
    """What may have been meant by an option that there is not.

    Args:
        loc: where it stands.
        whole, parts: as of ``fault_in_words``.
    """
    group, name = str(loc[0]), str(loc[-1])
    if len(loc) == 1:
        for part, model in parts.items():
            if name in model.model_fields:
                return f"it belongs below {part}, as {part}: {{{name}: ...}}"
    return nearest(name, parts.get(group, whole).model_fields)


def _named(loc: tuple[int | str, ...]) -> str:
    """An option as a file has it, and as a flag: ``protocol.batch_size (--batch-size)``."""
    words = [str(part) for part in loc if not isinstance(part, int)]
    if not words:
        return ".".join(map(str, loc))
    flag = {"name": "protocol"}.get(words[-1], words[-1]).replace("_", "-").replace("train-with", "train")
    place = ".".join(words)
    return f"{place} (--{flag})"


def _expected(fault: Any, message: str) -> str:
    """What an option takes, in words.

    Args:
        fault: of pydantic.
        message: its own words.
    """
    limits = fault.get("ctx", {})
    kind = fault["type"]
    if kind == "greater_than_equal":
        return f"expected {limits['ge']} or more"
    if kind == "greater_than":
        return f"expected more than {limits['gt']}"
    if kind in ("int_parsing", "int_type", "int_from_float"):
        return "expected a whole number"
    if kind in ("float_parsing", "float_type"):
        return "expected a number, with a point and no comma, such as 0.001"
    if kind in ("bool_parsing", "bool_type"):
        return "expected true or false"
    if kind == "string_type":
        return "expected a text"
    if kind == "literal_error":
        return f"expected {limits['expected']}"
    return message[:1].lower() + message[1:]
