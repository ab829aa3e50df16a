"""The stand-ins of the action-recognition datasets.

What is planted, for a clip of class c in a domain (constants below):

* in every modality, along random directions that all domains share, the prototype of c with the modality's STRENGTH:
  video tells most, flow some, audio little.
* cross-modal interaction: a coin in audio, and in flow the coin where c is even, its opposite where c is odd. Neither
  tells anything alone; together they tell the parity of c.
* shift: each domain turns the prototypes by its own rotation (ROTATION degrees between two directions of each
  modality's latents) and moves the features by SHIFT.

All that is random comes from (seed, dataset, what): the same seed gives the same bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from ..dataset import SPLITS, Samples
from .action_widths import WIDTHS

STRENGTH = {"video": 1.2, "audio": 0.5, "flow": 0.9}
INTERACTION = 1.5
ROTATION = (0.0, 25.0, 50.0)  # of the first, second and third domain
SHIFT = (0.0, 0.3, 0.6)
LATENTS = 12
LATENT_NOISE, FEATURE_NOISE = 0.8, 0.5


def generate(
    name: str, classes: int, counts: Mapping[str, Mapping[str, int]], seed: int = 0
) -> dict[str, Samples]:
    """The samples of a stand-in, split -> ``Samples``.

    Args:
        name: of the dataset: another one has other directions.
        classes: how many.
        counts: domain -> split -> number of clips.
        seed: of everything.
    """

    def generator(*names: str) -> np.random.Generator:
        return np.random.default_rng(
            np.random.SeedSequence([seed, *(zlib.crc32(n.encode()) for n in (name, *names))])
        )

    splits = {}
    for split in SPLITS:
        label = np.concatenate([np.arange(part[split]) % classes for part in counts.values()])
        domain = np.concatenate([np.full(part[split], place) for place, part in enumerate(counts.values())])
        number = np.concatenate([np.arange(part[split]) for part in counts.values()])
        coin = generator(split, "coin").choice([-1.0, 1.0], len(label))
        marks = {"video": 0 * coin, "audio": coin, "flow": np.where(label % 2 == 0, coin, -coin)}
        features = {}
        for modality, width in WIDTHS.items():
            fixed = generator(modality)
            prototypes = fixed.standard_normal((classes, LATENTS - 1))
            loadings = fixed.standard_normal((LATENTS, width)) / np.sqrt(LATENTS)
            moves = fixed.standard_normal((len(counts), width)) * np.array(SHIFT[: len(counts)])[:, None]
            angle = np.deg2rad(np.array(ROTATION)[domain])
            own = STRENGTH[modality] * prototypes[label]
            turned = own.copy()
            half = (LATENTS - 1) // 2
            first, second = own[:, :half], own[:, half : 2 * half]
            turned[:, :half] = np.cos(angle)[:, None] * first - np.sin(angle)[:, None] * second
            turned[:, half : 2 * half] = np.sin(angle)[:, None] * first + np.cos(angle)[:, None] * second
            draw = generator(split, modality)
            latents = turned + LATENT_NOISE * draw.standard_normal(turned.shape)
            latents = np.column_stack([latents, INTERACTION * marks[modality]])
            wave = (
                latents @ loadings + moves[domain] + FEATURE_NOISE * draw.standard_normal((len(label), width))
            )
            features[modality] = wave.astype(np.float32)[:, None]
        names = np.array(list(counts))[domain]
        there = np.ones(len(label), dtype=bool)
        splits[split] = Samples(
            features=features,
            mask=dict.fromkeys(WIDTHS, there[:, None]),
            present=dict.fromkeys(WIDTHS, there),
            target=label.astype(np.int64),
            sample_id=np.array([f"{one}_{split}_{row:04d}" for one, row in zip(names, number, strict=True)]),
            domain=names,
            previous=np.full(len(label), -1, dtype=np.int64),
        )
    return splits
