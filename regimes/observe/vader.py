"""Valence of texts by a lexicon: VADER (Hutto and Gilbert 2014, ICWSM), the mean valence of ten raters for each word, with
rules for negation, intensity and punctuation. It knows English, and no arousal.

A text without a word of the lexicon was not observed: its compound score would be 0, for a text of which nothing is known as
for one that is balanced. This is our reading; as a value, it would give half of all utterances one and the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..segmenter import SegmenterError


def vader(arrays: Mapping[str, np.ndarray], rate: float | None) -> np.ndarray:
    """[samples, 2]: the compound score, from -1 to 1; NaN where no word is known. Arousal is NaN.

    Args:
        arrays: ``transcript``, [samples] of text.
        rate: not used.

    Raises:
        SegmenterError: vaderSentiment is not installed.
    """
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError:
        raise SegmenterError(
            'vader needs vaderSentiment, which is not installed: pip install "mmbench[regimes]"'
        ) from None
    analyser = SentimentIntensityAnalyzer()
    found = np.full((len(arrays["transcript"]), 2), np.nan)
    known: dict[str, float] = {}
    for place, text in enumerate(arrays["transcript"].tolist()):
        if text not in known:
            scores = analyser.polarity_scores(text)
            known[text] = scores["compound"] if scores["pos"] or scores["neg"] else np.nan
        found[place, 0] = known[text]
    return found
