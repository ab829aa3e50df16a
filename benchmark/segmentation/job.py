"""A job of a segmenter: known by a hash of exactly what changes its result."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ...regimes import SEGMENTERS
from ...regimes.segmenter import Segmenter, SegmenterError
from ..core.errors import UsageError, nearest
from ..core.job import canonical_json
from ..planning.variants import Variant

#: Raised when the way from a corpus to the files of a job changes.
SCHEMA = 1


@dataclass(frozen=True)
class RegimeJob:
    """One segmenter, fitted to all conversations of a dataset, and to parts of them for what is held out.

    Attributes:
        dataset: its name.
        fingerprint: of the corpus.
        observe: how modalities were observed.
        segmenter: the registered name.
        params: every parameter with its value.
        version: of the segmenter.
        seed: names all randomness.
        folds: parts into which conversations are divided, each held out once; 0: none is.
        label: the segmenter with the parameters that were set, as tables show it.
        synthetic: whether the dataset is a stand-in.
    """

    dataset: str
    fingerprint: str
    observe: str
    segmenter: str
    params: Mapping[str, Any]
    version: int
    seed: int
    folds: int
    label: str = field(default="", compare=False)
    synthetic: bool = field(default=False, compare=False)

    @property
    def id(self) -> str:
        """A readable beginning and 12 hexadecimal digits of the hash of the identity."""
        identity = {key: value for key, value in asdict(self).items() if key not in ("label", "synthetic")}
        text = canonical_json({"schema": SCHEMA, **identity})
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        slug = f"{self.dataset}-{self.segmenter}-s{self.seed}-{digest}".lower()
        return re.sub(r"[^a-z0-9.-]+", "-", slug).lstrip("-.")

    def build(self) -> Segmenter:
        """The segmenter."""
        segmenter = load(self.segmenter)
        return segmenter(segmenter.Params(**self.params))


def load(name: str) -> Any:
    """The class of a segmenter.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in SEGMENTERS:
        raise UsageError(f"unknown segmenter {name!r}: {nearest(name, SEGMENTERS)}")
    module, _, attribute = SEGMENTERS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def resolve(text: str) -> tuple[str, dict[str, Any], int, str]:
    """Reads ``sticky-hdp-hmm(factorization=joint,sweeps=100)``.

    Returns:
        The segmenter, every parameter with its value, its version, and the text as tables show it.

    Raises:
        UsageError: an unknown segmenter or parameter, or a value that it cannot have.
    """
    asked = Variant.parse(text)
    segmenter = load(asked.name)
    values = asdict(segmenter.Params())
    hints = get_type_hints(segmenter.Params)
    for name, value in asked.overrides.items():
        where = f"segmenter {asked.name}"
        if name not in values:
            raise UsageError(f"{where} has no parameter {name!r}: {nearest(name, values)}")
        values[name] = _value(hints[name], value, f"{where}, parameter {name}")
    try:
        segmenter(segmenter.Params(**values))
    except SegmenterError as error:
        raise UsageError(f"segmenter {asked.text}: {error}") from None
    return asked.name, values, segmenter.version, asked.text


def parameters(name: str) -> dict[str, Any]:
    """Parameter -> default."""
    return {item.name: item.default for item in dataclasses.fields(load(name).Params)}


def _value(kind: Any, text: str, where: str) -> Any:
    """A text as a value of a type: int, float, or one of some words."""
    if get_origin(kind) is Literal:
        if text not in get_args(kind):
            raise UsageError(f"{where}: {text!r} is none of its values: {nearest(text, get_args(kind))}")
        return text
    try:
        value = kind(text)
    except ValueError:
        raise UsageError(f"{where}: {text!r} is not of type {kind.__name__}") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise UsageError(f"{where}: {text!r} is no number to compute with")
    return value
