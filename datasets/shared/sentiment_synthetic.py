"""Synthetic stand-ins for the sentiment datasets, in the same files as the real ones.

What is planted, for every utterance (all draws standard normal and independent unless said otherwise):

* latents: ``t`` seen by text only, ``a`` by audio only, ``v`` by vision only; signs ``p`` = +-1 seen by audio
  only and ``q`` = +-1 by vision only. ``t`` has the mean PRIOR of its dataset, and the share MOOD of its
  variance is common to all utterances of a video, so that the previous utterance tells something.
* score = TEXT t + AUDIO a + VISION v + INTERACTION p q + NOISE e. The product p q is invisible to audio alone
  and to vision alone, and to every sum of the two: only their interaction shows it.
* label = score x LABEL_SCALE x the highest label, rounded to a multiple of GRID and clipped to the
  native range; the share LABEL_NOISE of the labels is shuffled among themselves. Rounding gives exact zeros.
* features of a time step = (latents + own noise of the utterance + noise of the step) x loadings + mean +
  white noise. A modality's latents are its own above and a few that mean nothing. Loadings depend on seed,
  modality and number of features, so all datasets of one width share a space; but the direction of the
  sentiment (t, a, v) is turned by the dataset's ROTATION towards that of the last, meaningless latent, and
  all is moved by its MEAN_SHIFT. What was learned on one dataset is partly wrong on another.
* utterances have different lengths (half to all of the steps) and are padded with zeros at the end; in files
  of MMSA's layout the share SILENCE of the audio steps holds -inf, as in the real ones.

All that is random comes from (seed, dataset, split, what): the same seed gives the same bytes.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic_write import write_atomic
from ..dataset import SPLITS, SYNTHETIC_MARK, DataError, Target, writing
from ..layout.description import FILE_NAME
from ..layout.write import write_open_layout
from ..pickles.mmsa_layout import LABELS, MODALITIES, SYNTHETIC_KEY, Layout
from ..pickles.read_mmsa import split_samples
from .stand_in import check_replaceable

TEXT, AUDIO, VISION, INTERACTION, NOISE = 0.9, 0.4, 0.4, 0.45, 0.2
LABEL_SCALE = 0.45  # of the highest label
MOOD = 0.2
LABEL_NOISE = 0.05
SILENCE = 0.002
PRIOR = {"mosi": 0.0, "mosei": 0.25, "sims": -0.4, "simsv2": -0.2}
ROTATION = {"mosi": 0.0, "mosei": 20.0, "sims": 40.0, "simsv2": 50.0}  # degrees
MEAN_SHIFT = {"mosi": 0.0, "mosei": 0.3, "sims": 0.6, "simsv2": 0.7}  # standard deviation over the features
UTTERANCE_NOISE = {"text": 0.4, "audio": 0.5, "vision": 0.5}  # on t, a, v; the signs have none
STEP_NOISE = {"text": 0.7, "audio": 1.0, "vision": 1.0}
FEATURE_NOISE = 0.3
LATENTS = {"text": 6, "audio": 4, "vision": 4}
GRID = 0.2  # labels are averages of five annotations

SMALL_COUNTS = {"train": 500, "valid": 120, "test": 200}
SMALL_STEPS = (8, 16, 6)  # text, audio, vision: 768 and 709 features make more steps heavy


def write_stand_in(
    name: str,
    target: Target,
    layouts: Mapping[str, Layout],
    folder: Path,
    seed: int,
    size: str,
    format: str,
) -> list[Path]:
    """Writes a stand-in for a sentiment dataset: see ``Sentiment.synthesize``.

    Args:
        name: of the dataset.
        target: its range of labels.
        layouts: format -> widths, numbers of samples and steps.
        folder: where to.
        seed: of everything.
        size: ``"small"`` or ``"full"``.
        format: one of ``layouts``, or ``"open"``.

    Returns:
        The files written.

    Raises:
        DataError: an unknown size or format, real data in the way, or nowhere to write.
    """
    if size not in ("small", "full"):
        raise DataError(f"{name}: no stand-in of size {size!r}; expected small or full")
    if format not in layouts and format != "open":
        raise DataError(f"{name}: no stand-in in format {format!r}; expected {', '.join(layouts)} or open")
    layout = layouts.get("casp" if format == "open" else format, next(iter(layouts.values())))
    file = folder / (FILE_NAME if format == "open" else layout.file_name)
    check_replaceable(file)
    content = generate(name, target, layout, seed=seed, size=size, mmsa=format.startswith("mmsa"))
    if format == "open":
        splits = {split: split_samples(content, split, name, target, folder) for split in SPLITS}
        title = f"{name} ({SYNTHETIC_MARK})"
        return write_open_layout(
            folder, splits, target, name=name, title=title, synthetic=True, overwrite=True
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return [write_atomic(file, lambda stream: pickle.dump(content, stream, protocol=4))]


def generate(
    name: str, target: Target, layout: Layout, *, seed: int = 0, size: str = "small", mmsa: bool = False
) -> dict[str, Any]:
    """The content of a sentiment pickle: a mark that it is synthetic, then the three splits.

    Args:
        name: the dataset, such as ``"mosi"``.
        target: its native range of labels.
        layout: widths, and for ``size="full"`` the numbers of samples and steps.
        seed: of everything.
        size: ``"small"`` or ``"full"``.
        mmsa: adds what MMSA's files have beside CASP's: token ids, lengths (of files whose modalities have
            different numbers of steps), -inf in audio.
    """
    counts = layout.counts if size == "full" else SMALL_COUNTS
    aligned = mmsa and len(set(layout.steps)) == 1
    steps = layout.steps if size == "full" else SMALL_STEPS
    if size != "full" and aligned:
        steps = (SMALL_STEPS[0],) * 3
    content: dict[str, Any] = {SYNTHETIC_KEY: f"{SYNTHETIC_MARK} for {name}, seed {seed}, {size}"}
    for split in SPLITS:
        part, latents = _scores(name, split, counts[split], target, seed)
        lengths = {}
        for modality, width, longest in zip(MODALITIES, layout.widths, steps, strict=True):
            shared = "" if aligned else modality  # aligned files have one length for all three
            draw = _generator(seed, name, split, "length", shared)
            lengths[modality] = draw.integers((longest + 1) // 2, longest, counts[split], endpoint=True)
            part[modality] = _features(
                name, split, modality, width, latents[modality], lengths[modality], longest, seed
            )
        if mmsa:
            draw = _generator(seed, name, split, "silence")
            silent = draw.random(part["audio"].shape[:2]) < SILENCE
            silent &= np.arange(steps[1]) < lengths["audio"][:, None]
            part["audio"][silent, 0] = -np.inf
            part["text_bert"] = _tokens(lengths["text"], steps[0], _generator(seed, name, split, "tokens"))
        if mmsa and not aligned:
            part["audio_lengths"] = lengths["audio"].tolist()
            part["vision_lengths"] = lengths["vision"].tolist()
        content[split] = part
    return content


def _generator(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, *(zlib.crc32(n.encode()) for n in names)]))


def _scores(
    name: str, split: str, count: int, target: Target, seed: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Everything about a split's utterances but the features, and what each modality sees of the latents."""
    draw = _generator(seed, name, split, "scores")
    clips = draw.integers(8, 24, count, endpoint=True)  # per video; more videos than are needed
    video = np.repeat(np.arange(count), clips)[:count]
    clip = np.concatenate([np.arange(size) for size in clips])[:count]
    mood = draw.standard_normal(count)[video]
    t = PRIOR[name] + np.sqrt(MOOD) * mood + np.sqrt(1 - MOOD) * draw.standard_normal(count)
    a, v, noise = draw.standard_normal((3, count))
    p, q = draw.choice([-1.0, 1.0], (2, count))
    score = TEXT * t + AUDIO * a + VISION * v + INTERACTION * p * q + NOISE * noise
    assert target.label_range is not None
    low, high = target.label_range

    label = np.clip(np.round(score * LABEL_SCALE * high / GRID) * GRID, low, high).round(6) + 0.0  # no -0.0
    wrong = np.flatnonzero(draw.random(count) < LABEL_NOISE)
    label[wrong] = label[draw.permutation(wrong)]
    label = label.astype(np.float32)
    sign = np.sign(label).astype(np.int64)
    part = {
        "raw_text": [f"synthetic utterance {row}" for row in range(count)],
        "id": [f"{name}_{split}_{one:04d}$_${other}" for one, other in zip(video, clip, strict=True)],
        "annotations": [("Negative", "Neutral", "Positive")[one + 1] for one in sign],
        "classification_labels": sign + 1,
        LABELS: label,
    }
    return part, {"text": t[:, None], "audio": np.stack([a, p], 1), "vision": np.stack([v, q], 1)}


def _features(
    name: str,
    split: str,
    modality: str,
    width: int,
    own: np.ndarray,
    lengths: np.ndarray,
    longest: int,
    seed: int,
) -> np.ndarray:
    """Features [samples, longest, width], float32, of which the first ``lengths`` steps hold data."""
    draw = _generator(seed, name, split, modality)
    count, known = own.shape
    latents = draw.standard_normal((count, LATENTS[modality]))
    latents[:, :known] = own
    latents[:, 0] += UTTERANCE_NOISE[modality] * draw.standard_normal(count)
    shape = (count, longest, LATENTS[modality])
    steps = latents[:, None] + STEP_NOISE[modality] * draw.standard_normal(shape)
    features = steps.astype(np.float32) @ loadings(name, modality, width, seed)
    features += (MEAN_SHIFT[name] * _generator(seed, name, modality, "mean").standard_normal(width)).astype(
        np.float32
    )
    features += np.float32(FEATURE_NOISE) * draw.standard_normal(features.shape, dtype=np.float32)
    features[np.arange(longest) >= lengths[:, None]] = 0
    return features


def loadings(name: str, modality: str, width: int, seed: int) -> np.ndarray:
    """The loadings of a modality's latents on its features.

    The rows have equal lengths, such that a feature has a variance of about 1. Row 0 is the sentiment, row 1
    of audio and vision the sign.

    Args:
        name: of the dataset, which decides the direction of the sentiment.
        modality: ``"text"``, ``"audio"`` or ``"vision"``.
        width: number of features.
        seed: of the random directions.

    Returns:
        [latents, width], float32.
    """
    rank = LATENTS[modality]
    base, _ = np.linalg.qr(_generator(seed, modality, f"width {width}").standard_normal((width, rank)))
    rows = np.sqrt(width / rank) * base.T
    angle = np.deg2rad(ROTATION[name])
    turned = np.cos(angle) * rows[0] + np.sin(angle) * rows[-1]
    rows[-1] = np.cos(angle) * rows[-1] - np.sin(angle) * rows[0]
    rows[0] = turned
    return rows.astype(np.float32)


def _tokens(lengths: np.ndarray, longest: int, draw: np.random.Generator) -> np.ndarray:
    """[samples, 3, time]: token ids (101 at the start, 102 at the end), attention mask, segment."""
    step = np.arange(longest)
    mask = step < lengths[:, None]
    ids = np.where(mask, draw.integers(1000, 30000, mask.shape), 0)
    ids[:, 0] = 101
    ids[np.arange(len(lengths)), lengths - 1] = 102
    return np.stack([ids, mask, np.zeros_like(ids)], axis=1).astype(np.int64)
