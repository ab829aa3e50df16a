"""A job of a segmenter: known by a hash of exactly what changes its result."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...regimes.segmenter import Segmenter
from ..core.job import canonical_json
from ..core.registry import OWN
from ..planning.segmenters import load

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
        origin: where the segmenter is from: ``mmbench``, or the package or plug-in file that brought it.
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
    origin: str = OWN

    @property
    def id(self) -> str:
        """A readable beginning and 12 hexadecimal digits of the hash of the identity."""
        left_out = {"label", "synthetic"} | ({"origin"} if self.origin == OWN else set())
        identity = {key: value for key, value in asdict(self).items() if key not in left_out}
        text = canonical_json({"schema": SCHEMA, **identity})
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        slug = f"{self.dataset}-{self.segmenter}-s{self.seed}-{digest}".lower()
        return re.sub(r"[^a-z0-9.-]+", "-", slug).lstrip("-.")

    def build(self, plugins: tuple[Path, ...] = ()) -> Segmenter:
        """The segmenter. ``plugins`` are the files that bring it, where it is not mmbench's own."""
        segmenter = load(self.segmenter, plugins)
        return segmenter(segmenter.Params(**self.params))
