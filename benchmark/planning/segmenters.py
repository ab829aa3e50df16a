"""Segmenters as users write them: a name, with parameters in parentheses."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ...regimes.segmenter import SegmenterError
from ..core.errors import UsageError, error_line, nearest
from ..core.registry import find
from .variants import Variant

#: What a class needs to be a segmenter.
MEMBERS = ("Params", "version", "probabilistic", "fit")


@dataclass(frozen=True)
class AskedSegmenter:
    """A segmenter with its parameters.

    Attributes:
        name: by which it is known.
        params: every parameter with its value.
        version: of the segmenter.
        label: what was written, as tables show it.
        origin: ``mmbench``, or the package or plug-in file that brought it.
    """

    name: str
    params: dict[str, Any]
    version: int
    label: str
    origin: str


def load(name: str, plugins: tuple[Path, ...] = ()) -> Any:
    """The class of a segmenter.

    Args:
        name: as the user wrote it.
        plugins: files that bring more.

    Raises:
        UsageError: there is none of that name, or it is no segmenter.
    """
    segmenter = find("segmenter", name, plugins).load()
    missing = [member for member in MEMBERS if not hasattr(segmenter, member)]
    if missing or not dataclasses.is_dataclass(segmenter.Params):
        what = f"has no {', '.join(missing)}" if missing else "has Params that are no dataclass"
        raise UsageError(f"segmenter {name} {what}: mmbench.regimes.segmenter says what it needs")
    return segmenter


def resolve(text: str, plugins: tuple[Path, ...] = ()) -> AskedSegmenter:
    """Reads ``sticky-hdp-hmm(factorization=joint,sweeps=100)``.

    Args:
        text: as the user wrote it.
        plugins: files that bring more segmenters.

    Raises:
        UsageError: an unknown segmenter or parameter, or a value that it cannot have.
    """
    asked = Variant.parse(text)
    segmenter = load(asked.name, plugins)
    where = f"segmenter {asked.name}"
    try:
        values = asdict(segmenter.Params())
        hints = get_type_hints(segmenter.Params)
    except Exception as error:  # whatever the code of a plug-in raises
        raise UsageError(f"{where}: its parameters cannot be read: {error_line(error)}") from None
    for name, value in asked.overrides.items():
        if name not in values:
            raise UsageError(f"{where} has no parameter {name!r}: {nearest(name, values)}")
        values[name] = _value(hints[name], value, f"{where}, parameter {name}")
    try:
        segmenter(segmenter.Params(**values))
    except SegmenterError as error:
        raise UsageError(f"segmenter {asked.text}: {error}") from None
    except Exception as error:  # whatever the code of a plug-in raises
        raise UsageError(f"segmenter {asked.text}: cannot be made: {error_line(error)}") from None
    origin = find("segmenter", asked.name, plugins).origin
    return AskedSegmenter(asked.name, values, segmenter.version, asked.text, origin)


def parameters(name: str, plugins: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Parameter -> default. ``plugins`` are files that bring more segmenters."""
    return {item.name: item.default for item in dataclasses.fields(load(name, plugins).Params)}


def _value(kind: Any, text: str, where: str) -> Any:
    """A text as a value of a type: int, float, bool, str, or one of some words."""
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise UsageError(f"{where}: {text!r} is none of its values: {nearest(text, get_args(kind))}")
        return text
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{where}: {text!r} is neither true nor false")
        return text.lower() == "true"
    if kind not in (int, float, str):
        raise UsageError(f"{where}: its type is {kind}; int, float, bool, str and Literal can be set")
    try:
        value = kind(text)
    except ValueError:
        raise UsageError(f"{where}: {text!r} is not of type {kind.__name__}") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise UsageError(f"{where}: {text!r} is no number to compute with")
    return value
