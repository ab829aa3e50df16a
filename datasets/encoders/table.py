"""Makes encoders of the table by their specs, and lists them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import outside
from . import ENCODERS
from .encoder import Encoder, EncoderError, EncoderSpec
from .spec import names, near

if TYPE_CHECKING:
    import torch

#: The entry of the identity of an encoder from outside that says which code it is: a file and the beginning of its
#: SHA-256, or a distribution and its version. Features are encoded anew where it changes.
BROUGHT_BY = "brought by"


def make(spec: EncoderSpec, device: torch.device) -> Encoder:
    """The encoder that a spec asks for, ready on a device.

    Args:
        spec: its name, model and options.
        device: where it computes.

    Raises:
        EncoderError: an unknown encoder or option, or weights or libraries that are not there.
    """
    return encoder_class(spec.encoder)(spec, device)


def encoder_class(name: str) -> Any:
    """The class of an encoder. The identity of one from outside names the file or package that brings it.

    Raises:
        EncoderError: the name is unknown.
    """
    if name in outside.ENCODERS:
        return with_origin(outside.ENCODERS[name].load(), outside.ENCODERS[name].origin)
    if name not in ENCODERS:
        raise EncoderError(f"unknown encoder {name!r}: {near(name, names())}")
    module, _, attribute = ENCODERS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def with_origin(encoder: Any, origin: str) -> Any:
    """The class of an encoder, whose identity names where its code comes from.

    Args:
        encoder: a class.
        origin: the value of the entry ``BROUGHT_BY``.
    """

    class FromOutside(encoder):  # no wrapper: who asks what an encoder can do looks at its own attributes
        def identity(self) -> Mapping[str, str]:
            return {**super().identity(), BROUGHT_BY: origin}

    FromOutside.__name__, FromOutside.__qualname__ = encoder.__name__, encoder.__qualname__
    FromOutside.__doc__, FromOutside.__module__ = encoder.__doc__, encoder.__module__
    return FromOutside


def encoder_origin(name: str) -> str:
    """The file or package that brings an encoder from outside, as its identity names it; empty for any other name."""
    return outside.ENCODERS[name].origin if name in outside.ENCODERS else ""


@dataclass(frozen=True)
class EncoderSummary:
    """An encoder of the table: its name, the first line of its documentation, and its options' defaults."""

    name: str
    summary: str
    options: str


def list_encoders() -> list[EncoderSummary]:
    """Every encoder, described from its source: nothing is imported, torch least of all."""
    own = [_describe(name, *_place(name, target)) for name, target in ENCODERS.items()]
    brought = [_describe(name, one.source(), one.attribute) for name, one in outside.ENCODERS.items()]
    return own + brought


def _place(name: str, target: str) -> tuple[Path, str]:
    module, _, attribute = target.partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise EncoderError(f"{name}: no module {module}")
    return Path(spec.origin), attribute


def _describe(name: str, file: Path, attribute: str) -> EncoderSummary:
    owner = _class(file, attribute)
    if owner is None:
        raise EncoderError(f"{name}: {file} has no class {attribute}")
    options = ""
    for place, node in _with_bases(file, owner):
        own = next(
            (one for one in node.body if isinstance(one, ast.ClassDef) and one.name == "Options"), None
        )
        if own is not None:
            options = " ".join(_defaults(place, own))
            break
    summary = (ast.get_docstring(owner) or "").partition("\n")[0]
    return EncoderSummary(name, summary, options)


def _defaults(file: Path, options: ast.ClassDef) -> Iterator[str]:
    """``option=default`` for every field of a class and its bases, its own first; ``none`` stands for None."""
    for _, node in _with_bases(file, options):
        for item in node.body:
            if isinstance(item, ast.AnnAssign) and item.value is not None:
                value = ast.unparse(item.value)
                try:
                    literal = ast.literal_eval(item.value)
                    value = "none" if literal is None else str(literal)
                except ValueError:
                    pass  # it is shown as it is written
                yield f"{ast.unparse(item.target)}={value}"


def _with_bases(file: Path, node: ast.ClassDef) -> Iterator[tuple[Path, ast.ClassDef]]:
    """A class and those that it inherits from, with their files, as far as sources can be found."""
    yield file, node
    for base in node.bases:
        for place in (file, *_imported_from(file, ast.unparse(base))):
            parent = _class(place, ast.unparse(base))
            if parent is not None:
                yield from _with_bases(place, parent)
                break


def _imported_from(file: Path, name: str) -> Iterator[Path]:
    """The file of the module that a name is imported from. Relative imports are those of this folder."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ImportFrom) or name not in {
            item.asname or item.name for item in node.names
        }:
            continue
        try:
            spec = importlib.util.find_spec("." * node.level + (node.module or ""), __package__)
        except ImportError:
            spec = None
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            yield Path(spec.origin)


def _class(file: Path, name: str) -> ast.ClassDef | None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)
