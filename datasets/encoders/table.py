"""The table of encoders, used: an encoder made of its spec, and what there is to choose from."""

from __future__ import annotations

import ast
import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import ENCODERS
from .encoder import Encoder, EncoderError, EncoderSpec
from .spec import near

if TYPE_CHECKING:
    import torch


def make(spec: EncoderSpec, device: torch.device) -> Encoder:
    """The encoder that a spec asks for, ready on a device.

    Raises:
        EncoderError: an unknown encoder or option, or weights or libraries that are not there.
    """
    if spec.encoder not in ENCODERS:
        raise EncoderError(f"unknown encoder {spec.encoder!r}: {near(spec.encoder, ENCODERS)}")
    module, _, attribute = ENCODERS[spec.encoder].partition(":")
    return getattr(importlib.import_module(module), attribute)(spec, device)


@dataclass(frozen=True)
class Known:
    """An encoder of the table: its name, the first line of its documentation, and its options' defaults."""

    name: str
    summary: str
    options: str


def known() -> list[Known]:
    """Every encoder, described from its source: nothing is imported, torch least of all."""
    return [_describe(name, target) for name, target in ENCODERS.items()]


def _describe(name: str, target: str) -> Known:
    module, _, attribute = target.partition(":")
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise EncoderError(f"{name}: no module {module}")
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    owner = _class(tree.body, attribute)
    holder = owner
    while not any(isinstance(node, ast.ClassDef) and node.name == "Options" for node in holder.body):
        holder = _class(tree.body, ast.unparse(holder.bases[0]))  # inherited, in the same file
    own = _class(holder.body, "Options")
    fields = own.body
    if own.bases:  # what the options of networks share
        shared = ast.parse(Path(__file__).with_name("network.py").read_text(encoding="utf-8"))
        fields = fields + _class(shared.body, ast.unparse(own.bases[0])).body
    options = [
        f"{ast.unparse(node.target)}={ast.literal_eval(node.value)}"
        for node in fields
        if isinstance(node, ast.AnnAssign) and node.value is not None
    ]
    summary = (ast.get_docstring(owner) or "").partition("\n")[0]
    return Known(name, summary, " ".join(options).replace("=None", "=none"))


def _class(body: list[ast.stmt], name: str) -> ast.ClassDef:
    return next(node for node in body if isinstance(node, ast.ClassDef) and node.name == name)
