"""A synthetic stand-in for MIMIC-IV in FuseMoE's pickles: stays with planted structure.

What is planted, for a stay with hidden numbers s (series), t (notes), x (X-rays), e (electrocardiograms), all N(0, 1):

* the first SIGNAL of the 30 variables drift with s, the more the later the hour; measured at irregular times, few at once.
* vectors of notes, X-rays and electrocardiograms have t, x, e in a direction of their own, beside noise of N(0, 1).
* the log odds of death are s + t + 0.7 x + 0.5 e + BASE: each modality tells a part of its own.
* notes, X-rays and electrocardiograms are missing in as many stays as in the real data, at random; one patient in five has two
  stays.

All that is random comes from (seed, split): the same seed gives the same bytes.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic_write import write_atomic
from ..dataset import SPLITS, SYNTHETIC_MARK
from ..pickles.mimic4_layout import FILE_NAMES, MISSING, SERIES_WIDTH, SYNTHETIC_KEY, VECTORS

SMALL = {"train": 300, "valid": 80, "test": 100}
SIGNAL, BASE = 6, -2.6
WEIGHTS = {"series": 1.0, "text": 1.0, "xray": 0.7, "ecg": 0.5}
STRENGTH = 6.0  # of a hidden number in its direction, of length 1
_FIRST_PATIENT, _FIRST_STAY = 90_000_000, 99_000_000  # none of the real ones is so large


def write_stand_in(folder: Path, seed: int, counts: Mapping[str, int]) -> list[Path]:
    """Writes the three pickles.

    Args:
        folder: where to.
        seed: of everything.
        counts: split -> stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_atomic(folder / FILE_NAMES[split], pickle.dumps(stays(seed, split, counts[split]), protocol=4))
        for split in SPLITS
    ]


def stays(seed: int, split: str, count: int) -> list[dict[str, Any]]:
    """The stays of a split, as the pickle holds them; the first says that it is a stand-in.

    Args:
        seed: of the stand-in.
        split: its name.
        count: how many.
    """
    place = SPLITS.index(split)
    draw = np.random.default_rng(np.random.SeedSequence([seed, place]))
    first = place * 1_000_000
    found: list[dict[str, Any]] = []
    for number in range(count):
        patient = first + (number - 1 if number % 5 == 4 else number)
        stay = _stay(draw, _directions())
        found.append(
            ({SYNTHETIC_KEY: SYNTHETIC_MARK} if not number else {})
            | {
                "name": np.int64(_FIRST_PATIENT + patient),
                "hadm_id": np.float64(patient),
                "stay_id": np.int64(_FIRST_STAY + first + number),
            }
            | stay
        )
    return found


def _directions() -> dict[str, np.ndarray]:
    """Modality -> the direction of its hidden number, of length 1; the same for every seed."""
    draw = np.random.default_rng(0)
    raw = {name: draw.standard_normal(keys.width) for name, keys in VECTORS.items()}
    return {name: values / np.linalg.norm(values) for name, values in raw.items()}


def _stay(draw: np.random.Generator, directions: Mapping[str, np.ndarray]) -> dict[str, Any]:
    hidden = {name: float(draw.standard_normal()) for name in WEIGHTS}
    odds = BASE + sum(WEIGHTS[name] * value for name, value in hidden.items())
    hours = np.sort(draw.uniform(0, 48, 10 + draw.poisson(20)))
    measured = draw.random((len(hours), SERIES_WIDTH)) < 0.25
    values = draw.standard_normal(measured.shape)
    values[:, :SIGNAL] += hidden["series"] * (0.5 + hours / 48)[:, None]
    stay: dict[str, Any] = {
        "ts_tt": hours,
        "irg_ts": np.where(measured, values, 0.0),
        "irg_ts_mask": measured.astype(np.int64),
        "reg_ts": np.zeros((0, SERIES_WIDTH)),
        "text_data": [],
    }
    for name, keys in VECTORS.items():
        missing = bool(draw.random() < MISSING[name])
        count = 0 if missing else 1 + int(draw.poisson(1.0))
        noise = draw.standard_normal((count, keys.width)).astype(np.float32)
        vectors = noise + np.float32(STRENGTH * hidden[name]) * directions[name].astype(np.float32)
        if name == "ecg" and count and draw.random() < 0.02:
            vectors[0, 0] = np.nan
        stay[keys.values] = list(vectors)
        stay[keys.times] = np.sort(draw.uniform(0, 48, count)) if count else []
        stay[keys.missing] = int(missing)
    stay["label"] = np.int64(draw.random() < 1 / (1 + np.exp(-odds)))
    return stay
