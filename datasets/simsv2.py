"""CH-SIMS v2: the supervised part, 4,403 utterances of Chinese films, series and shows, sentiment from -1 to 1."""

from __future__ import annotations

from pathlib import Path

from .dataset import Published, Target
from .pickles.mmsa_layout import Layout
from .shared.sentiment import Sentiment

_OFFICIAL = {"train": 2722, "valid": 647, "test": 1034}
_SOURCE = "train count from MMSA's configuration (commit a94e65d); all from MERBench's label file (MERTools commit 89120b7)"


class SimsV2(Sentiment):
    """CH-SIMS v2 (Liu et al., ICMI 2022). Its 10,161 unlabelled utterances are in no pickle that is read here."""

    name = "simsv2"
    title = "CH-SIMS v2"
    target = Target("regression", label_range=(-1.0, 1.0), metrics="sims")
    published = {  # noqa: RUF012 (never changed)
        "mmsa-unaligned": Published(_OFFICIAL, {}, _SOURCE),
    }
    layouts = {  # noqa: RUF012
        "mmsa-unaligned": Layout("sims_unaligned.pkl", _OFFICIAL, (768, 33, 709), (39, 400, 55)),
    }

    def synthesize(
        self, folder: Path, *, seed: int = 0, size: str = "small", format: str = "mmsa-unaligned"
    ) -> list[Path]:
        """As of the other sentiment datasets, in the format of MMSA's pickle."""
        return super().synthesize(folder, seed=seed, size=size, format=format)
