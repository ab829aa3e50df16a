"""The recipe of features: all that decides them beside the clip itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

DType = Literal["float16", "float32"]

#: Raised where the same recipe comes to mean other features.
VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """How features are made. Two clips of equal content have equal features under one recipe.

    Attributes:
        encoder: the encoder's identity.
        medium: what the media are.
        view: the fields of the view that they are decoded to.
        corruption: what the media are broken by before they are encoded: kind, modality, severity, seed and
            whatever else it is set to; empty where they are clean.
        dtype: what the features are stored as.
    """

    encoder: Mapping[str, str]
    medium: str
    view: Mapping[str, str | int | float | bool | None]
    corruption: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    dtype: DType = "float16"

    def to_dict(self) -> dict[str, object]:
        """The recipe as JSON can hold it."""
        return {"version": VERSION, **asdict(self)}

    @property
    def id(self) -> str:
        """The hash of the recipe, in hex digits."""
        content = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(content.encode()).hexdigest()[:40]
