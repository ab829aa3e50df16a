"""An encoder of texts in any language, without weights: hashed runs of letters, as a plug-in file."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from mmbench.datasets.encoders.encoder import Encoded, EncoderSpec, Media
from mmbench.datasets.encoders.spec import fill
from mmbench.datasets.media.clip import Medium, TextView

ENCODERS = {"letters": "Letters"}


class Letters:
    """log(1 + count) of the runs of one to three letters of a text, each counted in one of some places (Weinberger et
    al. 2009), as one step of length 1."""

    @dataclass(frozen=True)
    class Options:
        """How many places there are."""

        places: int = 64

    medium: Medium = "text"

    def __init__(self, spec: EncoderSpec, device: torch.device) -> None:
        self.options = fill(self.Options, spec)
        self.view, self.device, self.width = TextView(lower=True), device, self.options.places

    def identity(self) -> Mapping[str, str]:
        """Its name and size."""
        return {"encoder": "letters", "version": "1", "places": str(self.options.places)}

    def encode(self, media: Media) -> Encoded:
        """[batch, 1, places], float32."""
        counts = torch.zeros(len(media.texts), 1, self.width)
        for row, text in enumerate(media.texts):
            for size in (1, 2, 3):
                for start in range(len(text) - size + 1):
                    place = zlib.crc32(text[start : start + size].encode()) % self.width
                    counts[row, 0, place] += 1
        counts = counts.log1p()
        norm = counts.norm(dim=2, keepdim=True).clamp(min=1e-6)
        return Encoded((counts / norm).to(self.device), torch.ones(len(media.texts), dtype=torch.int64))
