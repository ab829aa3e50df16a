"""CMU-MOSEI: 22,856 opinion utterances of English videos by many speakers, sentiment from -3 to 3."""

from __future__ import annotations

from .dataset import Published, Target
from .pickles.mmsa_layout import Layout
from .shared.sentiment import CASP_COUNTS, Sentiment

_OFFICIAL = {"train": 16326, "valid": 1871, "test": 4659}
_CASP = {"train": 16245, "valid": 1858, "test": 4637}
_SOURCE = (
    "train count from MMSA's configuration, SHA-256 from its README (commit a94e65d); others not verified"
)


class Mosei(Sentiment):
    """CMU-MOSEI (Zadeh et al., ACL 2018)."""

    name = "mosei"
    title = "CMU-MOSEI"
    target = Target("regression", label_range=(-3.0, 3.0), metrics="mosi")
    published = {  # noqa: RUF012 (never changed)
        "mmsa-aligned": Published(
            _OFFICIAL,
            {"aligned_50.pkl": "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791"},
            _SOURCE,
        ),
        "mmsa-unaligned": Published(
            _OFFICIAL,
            {"unaligned_50.pkl": "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f"},
            _SOURCE,
        ),
        "casp": Published(_CASP, {}, CASP_COUNTS),
    }
    layouts = {  # noqa: RUF012
        "mmsa-aligned": Layout("aligned_50.pkl", _OFFICIAL, (768, 74, 35), (50, 50, 50)),
        "mmsa-unaligned": Layout("unaligned_50.pkl", _OFFICIAL, (768, 74, 35), (50, 500, 500)),
        "casp": Layout("mosei.pkl", _CASP, (768, 25, 171), (75, 75, 75)),
    }
