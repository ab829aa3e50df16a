"""What a dataset must do to take part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...datasets.dataset import SPLITS, Samples
from ...datasets.locate import locate as locate_files


def stand_in_is_found(dataset_class: Any, folder: Path) -> None:
    """Its stand-in is written, found again, and says that it is synthetic.

    Args:
        dataset_class: the class that is checked.
        folder: an empty folder; the stand-in lies in it afterwards, for the checks that follow.

    Raises:
        AssertionError: it is not so.
    """
    dataset = dataset_class()
    dataset.synthesize(folder / dataset.name, seed=0)
    located = locate_files(dataset.name, folder, None, dataset)
    assert located.synthetic, "the stand-in is not marked as synthetic"
    assert located.name == dataset.name, f"it is called {located.name}"
    assert all(file.exists() for file in located.files), "it names files that are not there"


def samples_are_in_order(dataset_class: Any, folder: Path) -> None:
    """Every split has samples, or the training split has all of a dataset without parts; features are finite and shaped alike, ids unique, targets as described.

    Args:
        dataset_class: the class that is checked.
        folder: where ``stand_in_is_found`` has written its stand-in.

    Raises:
        AssertionError: it is not so.
    """
    dataset = dataset_class()
    located = locate_files(dataset.name, folder, None, dataset)
    splits = located.load()
    assert tuple(splits) == SPLITS, f"splits {tuple(splits)}, not {SPLITS}"
    undivided = not len(splits["valid"]) and not len(splits["test"])
    for name, samples in splits.items():
        assert len(samples) > 0 or (undivided and name != "train"), f"split {name} is empty"
        for modality in located.modalities:
            _check_modality(samples, modality, f"{name}, {modality}")
        target = located.target
        if target.kind == "classification":
            assert samples.target.dtype == np.int64, f"{name}: class indices are {samples.target.dtype}"
            assert set(np.unique(samples.target)) <= set(range(len(target.classes))), f"{name}: unknown class"
        elif target.kind == "multi-label":
            assert samples.target.shape == (len(samples), len(target.classes)), (
                f"{name}: {samples.target.shape}"
            )
            assert set(np.unique(samples.target)) <= {0, 1}, f"{name}: a label is neither 0 nor 1"
        elif target.label_range:
            low, high = target.label_range
            ends = samples.target.min(), samples.target.max()
            assert low <= min(ends) <= max(ends) <= high, f"{name}: labels from {ends[0]} to {ends[1]}"
        assert np.all(samples.previous < len(samples)), f"{name}: previous utterance outside of the split"
        for modality, labels in samples.unimodal_target.items():
            assert modality in located.modalities, f"{name}: labels of {modality}, which is no modality"
            assert (labels.shape, labels.dtype) == (samples.target.shape, samples.target.dtype), (
                f"{name}: labels of {modality} are {labels.dtype} of shape {labels.shape}"
            )
        for modality, rows in samples.tokens.items():
            shape = (len(samples), 3, rows.shape[-1])
            assert (rows.shape, rows.dtype) == (shape, np.int32), (
                f"{name}: token ids of {modality} are {rows.dtype} of shape {rows.shape}"
            )
        if samples.utterances is not None:
            said = samples.utterances
            places = list(zip(said.conversation.tolist(), said.order.tolist(), said.speaker, strict=True))
            assert len(places) == len(samples), f"{name}: {len(places)} utterances, {len(samples)} samples"
            assert len({place[:2] for place in places}) == len(places), f"{name}: two utterances at one place"
    ids = np.concatenate([samples.sample_id for samples in splits.values()])
    assert len(set(ids)) == len(ids), "a sample id stands twice"


def _check_modality(samples: Samples, modality: str, where: str) -> None:
    features, mask = samples.features[modality], samples.mask[modality]
    assert features.ndim == 3, f"{where}: features have {features.ndim} axes, not 3"
    assert features.shape[:2] == mask.shape == (len(samples), features.shape[1]), (
        f"{where}: mask {mask.shape}"
    )
    assert bool(np.isfinite(features).all()), f"{where}: features are not finite"
    assert bool((samples.present[modality] <= mask.any(1)).all()), f"{where}: present without a valid step"


def content_decides_the_fingerprint(dataset_class: Any, folder: Path) -> None:
    """Moving the files leaves the fingerprint as it is; another seed gives another.

    Args:
        dataset_class: the class that is checked.
        folder: where ``stand_in_is_found`` has written its stand-in; two more are written beside it.

    Raises:
        AssertionError: it is not so.
    """
    dataset = dataset_class()
    prints = []
    for name, seed in (("moved", 0), ("other", 1)):
        dataset.synthesize(folder / name / dataset.name, seed=seed)
        prints.append(locate_files(dataset.name, folder / name, None, dataset).fingerprint())
    here = locate_files(dataset.name, folder, None, dataset).fingerprint()
    assert prints[0] == here, "the same content elsewhere has another fingerprint"
    assert prints[1] != here, "other content has the same fingerprint"


DATASET_CHECKS = (stand_in_is_found, samples_are_in_order, content_decides_the_fingerprint)
