"""Reads the text that names an encoder: ``timm:vit_tiny_patch16_224,frames=8,pool=none``. No torch here."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .. import outside
from . import ENCODERS
from .encoder import EncoderError, EncoderSpec

Options = TypeVar("Options")


def parse(text: str) -> EncoderSpec:
    """The spec that ``NAME[:MODEL][,OPTION=VALUE]...`` means.

    The name ends at the first colon, the model at the first comma: a path with a comma in it cannot be named.

    Raises:
        EncoderError: the encoder is unknown, or an option has no value or is given twice.
    """
    head, *rest = text.split(",")
    name, _, model = (part.strip() for part in head.partition(":"))
    if name not in names():
        raise EncoderError(f"unknown encoder {name!r} in {text!r}: {near(name, names())}")
    options: dict[str, str] = {}
    for part in rest:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals and value):
            raise EncoderError(f"encoder {text!r}: {part.strip()!r} should be OPTION=VALUE")
        if key in options:
            raise EncoderError(f"encoder {text!r}: option {key!r} is given twice")
        options[key] = value
    return EncoderSpec(name, model, options)


def names() -> list[str]:
    """Every known encoder: mmbench's own, then those from outside."""
    return [*ENCODERS, *outside.ENCODERS]


def spec_text(spec: EncoderSpec) -> str:
    """The text of a spec, which ``parse`` reads back."""
    head = f"{spec.encoder}:{spec.model}" if spec.model else spec.encoder
    return ",".join([head, *(f"{key}={value}" for key, value in spec.options.items())])


def near(name: str, known: Iterable[str]) -> str:
    """A sentence that names the known names nearest to a name, or all of them where none is near.

    Args:
        name: the unknown name.
        known: the names to choose from.
    """
    known = sorted(known)
    close = difflib.get_close_matches(name.lower(), known, n=2, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known) or 'none'}"


def fill(options: type[Options], spec: EncoderSpec) -> Options:
    """An encoder's options, the spec's values in place of the defaults.

    Args:
        options: a dataclass whose fields are int, float, bool, str, a Literal of strings, or one of them or None
            (written ``none``).
        spec: what was asked for.

    Raises:
        EncoderError: an unknown option, or a value that is not of the field's type.
    """
    kinds = get_type_hints(options)
    known = [item.name for item in fields(options)]  # type: ignore[arg-type]  # a dataclass
    values = {}
    for key, text in spec.options.items():
        if key not in known:
            hint = near(key, known)
            listed = "" if hint.startswith("known") else f" known: {', '.join(sorted(known))}"
            raise EncoderError(f"encoder {spec.encoder} has no option {key!r}: {hint}{listed}")
        try:
            values[key] = _value(text, kinds[key])
        except ValueError as error:
            raise EncoderError(f"encoder {spec.encoder}: option {key}={text}: should be {error}") from None
    return options(**values)


def _value(text: str, kind: Any) -> Any:
    """A text as a value of a type; the message of the ValueError says what it should be."""
    if get_origin(kind) in (Union, types.UnionType):
        if text == "none":
            return None
        (kind,) = (choice for choice in get_args(kind) if choice is not type(None))
        try:
            return _value(text, kind)
        except ValueError as error:
            raise ValueError(f"{error}, or none") from None
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise ValueError(f"one of {', '.join(get_args(kind))}")
        return text
    if kind is bool:
        if text.lower() not in ("true", "false", "yes", "no"):
            raise ValueError("true or false")
        return text.lower() in ("true", "yes")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError("a whole number" if kind is int else "a number") from None
    return text
