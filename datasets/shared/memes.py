"""What the stand-ins of memes say, before it is drawn or made features.

Planted, in words and pictures that mean no harm:

* a bit of the text (it blames or praises something) and a bit of the image (a cold or a warm background);
* a style, which shows in both: how the text begins, and which shape is drawn. It says what makes a meme hateful: the exclusive
  or of the two bits (half of the memes), the bit of the text alone (0.3), or that of the image alone (0.2). A network that
  adds what text and image say cannot tell the half;
* with three classes the label is the number of bits that are set, whatever the style: text and image only add up;
* a share of LABEL_NOISE of the labels is wrong.

All that is random comes from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..dataset import Samples

#: Style -> its share, in the order of their indices.
STYLES = {"both": 0.5, "text": 0.3, "image": 0.2}
LABEL_NOISE = 0.02
#: Openings of each style.
OPENINGS = (("हेर", "हेर त"), ("सुन", "सुन त"), ("भन", "भन त"))
#: This film, song, food, town, road, book, game, day, house, story, shop, dance, tea, market, picture, weather.
SUBJECTS = (
    "यो फिल्म", "यो गीत", "यो खाना", "यो शहर", "यो बाटो", "यो किताब", "यो खेल", "यो दिन",
    "यो घर", "यो कथा", "यो पसल", "यो नाच", "यो चिया", "यो बजार", "यो चित्र", "यो मौसम",
)  # fmt: skip
#: Eight ways to blame in Nepali, and eight to praise.
PREDICATES = (
    ("नराम्रो छ", "खराब छ", "फोहोर छ", "बेकार छ", "डरलाग्दो छ", "मन पर्दैन", "वाहियात छ", "घिनलाग्दो छ"),
    ("राम्रो छ", "सुन्दर छ", "उत्कृष्ट छ", "मन पर्छ", "रमाइलो छ", "अद्भुत छ", "असल छ", "मीठो छ"),
)
#: Widths of the features: those of CLIP ViT-B/32 and of BGE-M3.
WIDTHS = {"image": 512, "text": 1024}
FEATURE_NOISE = 1.0


@dataclass(frozen=True)
class Memes:
    """What is planted, an entry for each meme.

    Attributes:
        text: str, what stands on it.
        bits: [memes, 2], int64: of the text and of the image.
        style: [memes], int64, an index into ``STYLES``.
        label: [memes], int64.
    """

    text: list[str]
    bits: np.ndarray
    style: np.ndarray
    label: np.ndarray


def plan_memes(count: int, classes: int, seed: int = 0) -> Memes:
    """Draws what memes say.

    Args:
        count: how many.
        classes: 2 for hate, 3 for sentiment.
        seed: of everything.
    """
    draw = np.random.default_rng([seed, classes, 0])
    style = draw.choice(len(STYLES), count, p=list(STYLES.values()))
    bits = draw.integers(0, 2, (count, 2))
    label = np.where(style == 0, bits[:, 0] ^ bits[:, 1], np.where(style == 1, bits[:, 0], bits[:, 1]))
    if classes > 2:
        label = bits.sum(axis=1)
    wrong = draw.random(count) < LABEL_NOISE
    label = np.where(wrong, (label + draw.integers(1, classes, count)) % classes, label)
    parts = draw.integers(0, (2, len(SUBJECTS), len(PREDICATES[0])), (count, 3))
    text = [
        f"{OPENINGS[kind][opening]} {SUBJECTS[subject]} {PREDICATES[bit][predicate]}"
        for kind, bit, (opening, subject, predicate) in zip(style, bits[:, 0], parts, strict=True)
    ]
    return Memes(text, bits, style, label.astype(np.int64))


def features_of(memes: Memes, seed: int = 0) -> Samples:
    """The memes as features: bit and style along random directions of each modality, with noise.

    Args:
        memes: what is planted.
        seed: of directions and noise.
    """
    count = len(memes.text)
    there = np.ones(count, dtype=bool)
    features = {}
    for place, (name, width) in enumerate(WIDTHS.items()):
        draw = np.random.default_rng([seed, 1 + place])
        own = memes.bits[:, 1 - place]
        latents = np.column_stack([2.0 * own - 1, 1.5 * np.eye(len(STYLES))[memes.style]])
        directions = draw.standard_normal((latents.shape[1], width))
        values = latents @ directions + FEATURE_NOISE * draw.standard_normal((count, width))
        features[name] = values.astype(np.float32)[:, None]
    return Samples(
        features=features,
        mask=dict.fromkeys(WIDTHS, there[:, None]),
        present=dict.fromkeys(WIDTHS, there),
        target=memes.label,
        sample_id=np.array([f"{row:04d}" for row in range(count)]),
        domain=np.full(count, ""),
        previous=np.full(count, -1, dtype=np.int64),
    )
