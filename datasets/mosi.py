"""CMU-MOSI: 2,199 opinion utterances of 93 English videos, sentiment from -3 to 3."""

from __future__ import annotations

from .dataset import Published, Target
from .pickles.mmsa_layout import Layout
from .shared.sentiment import CASP_COUNTS, Sentiment

_OFFICIAL = {"train": 1284, "valid": 229, "test": 686}
_CASP = {"train": 1274, "valid": 229, "test": 678}
_SOURCE = "folds of the CMU Multimodal SDK; SHA-256 from MMSA's README (commit a94e65d)"


class Mosi(Sentiment):
    """CMU-MOSI (Zadeh et al., IEEE Intelligent Systems 2016)."""

    name = "mosi"
    title = "CMU-MOSI"
    target = Target("regression", label_range=(-3.0, 3.0), metrics="mosi")
    published = {  # noqa: RUF012 (never changed)
        "mmsa-aligned": Published(
            _OFFICIAL,
            {"aligned_50.pkl": "d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9"},
            _SOURCE,
        ),
        "mmsa-unaligned": Published(
            _OFFICIAL,
            {"unaligned_50.pkl": "78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524"},
            _SOURCE,
        ),
        "casp": Published(_CASP, {}, CASP_COUNTS),
    }
    layouts = {  # noqa: RUF012
        "mmsa-aligned": Layout("aligned_50.pkl", _OFFICIAL, (768, 5, 20), (50, 50, 50)),
        "mmsa-unaligned": Layout("unaligned_50.pkl", _OFFICIAL, (768, 5, 20), (50, 375, 500)),
        "casp": Layout("mosi.pkl", _CASP, (768, 25, 171), (44, 44, 44)),
    }
