"""CH-SIMS: 2,281 utterances of Chinese films, series and shows, sentiment from -1 to 1."""

from __future__ import annotations

from .dataset import Published, Target
from .pickles.mmsa_layout import Layout
from .shared.sentiment import Sentiment

_OFFICIAL = {"train": 1368, "valid": 456, "test": 457}
_SOURCE = (
    "train count from MMSA's configuration, SHA-256 from its README (commit a94e65d); others not verified"
)


class Sims(Sentiment):
    """CH-SIMS (Yu et al., ACL 2020). MMSA publishes no word-aligned file of it."""

    name = "sims"
    title = "CH-SIMS"
    target = Target("regression", label_range=(-1.0, 1.0), metrics="sims")
    published = {  # noqa: RUF012 (never changed)
        "mmsa-unaligned": Published(
            _OFFICIAL,
            {"unaligned_39.pkl": "c9e20c13ec0454d98bb9c1e520e490c75146bfa2dfeeea78d84de047dbdd442f"},
            _SOURCE,
        ),
        "casp": Published(_OFFICIAL, {}, "the dataset's own folds; CASP's file was not counted"),
    }
    layouts = {  # noqa: RUF012
        "mmsa-unaligned": Layout("unaligned_39.pkl", _OFFICIAL, (768, 33, 709), (39, 400, 55)),
        # the number of steps in CASP's file is not known: that of MMSA's text
        "casp": Layout("sims.pkl", _OFFICIAL, (768, 25, 171), (39, 39, 39)),
    }
