"""Corruptions of raw media: the target's test samples are encoded anew from corrupted media, once for all networks.

A dataset that ``mmbench data encode`` wrote says of which media it was made. Features of corrupted media are stored in
the same cache as those of clean ones, so that the first job that is tested under a corruption encodes for all others.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...corruptions.condition import Condition
from ...corruptions.corruption import Corruption
from ...datasets.batch import Batch
from ...datasets.cache.cache import FeatureCache
from ...datasets.cache.keys import content_key
from ...datasets.dataset import DataError, Located, Samples
from ...datasets.encoders.encoder import Encoder
from ...datasets.encoders.spec import parse
from ...datasets.encoders.table import BROUGHT_BY, make
from ...datasets.layout.contents import media_contents
from ...datasets.layout.open_layout import LocatedFolder
from ...datasets.layout.origin import Encoding, Origin
from ...datasets.media.clip import Clip, MediaSet, Piece
from ...datasets.media.find import find_media
from ..core.strings import counted
from ..data.tensors import TaskData
from ..planning.corruption_groups import breakable_modalities, media_of
from .encode import encode_clips, location_of
from .provenance import check_encoder_code


@dataclass(frozen=True)
class ReencodedFeatures:
    """A condition under which the samples have other features of one modality.

    Attributes:
        name: of the corruption.
        modality: the one that is corrupted.
        sample_id: [samples], int64, sorted.
        features: [samples, time, width], in the order of ``sample_id``.
        mask: [samples, time], bool.
    """

    name: str
    modality: str
    sample_id: Tensor
    features: Tensor
    mask: Tensor

    @property
    def alters(self) -> frozenset[str]:
        """The corrupted modality."""
        return frozenset({self.modality})

    def apply(self, batch: Batch) -> Batch:
        """The batch with the features of the corrupted media. Raises ValueError for a sample that was not encoded."""
        rows = torch.searchsorted(self.sample_id, batch.sample_id).clamp(max=len(self.sample_id) - 1)
        if not bool((self.sample_id[rows] == batch.sample_id).all()):
            raise ValueError(f"{self.name}: a sample was not encoded")
        return replace(
            batch,
            features={**batch.features, self.modality: self.features[rows]},
            mask={**batch.mask, self.modality: self.mask[rows]},
        )


def conditions_on_media(
    corruption: type[Corruption], located: Located, place: str, data: TaskData, device: torch.device
) -> list[Condition]:
    """The conditions of a corruption of the raw media of a task's target; encodes what the cache lacks.

    Args:
        corruption: the kind of corruption.
        located: the target's dataset.
        place: the target: the dataset, or a domain of it.
        data: the task's tensors; the corruption is applied to its test split.
        device: where the encoder runs.

    Returns:
        A condition for each modality and severity; empty where the corruption concerns none of the media.

    Raises:
        DataError: the media are gone, or are not those that the features were made of; the encoder cannot be made;
            or the cache cannot be written.
    """
    frozen = [name for name in data.test.batch.modalities if name not in data.media]
    names = breakable_modalities(corruption, frozen, media_of(located))
    if not names:
        return []
    origin = origin_of(located)
    clips = clips_of(origin)
    lost = [name for name in data.test.sample_id if name not in clips[1]]
    if lost:
        raise DataError(
            f"{located.name}: the raw media of {origin.source} no longer have {counted(len(lost), 'sample')}, {lost[0]} for one; "
            f"encode again: mmbench data encode"
        )
    tested = [clips[1][name] for name in data.test.sample_id]
    splits = {clip.split for clip in tested}
    for name in names:
        known = contents_of(located, name)
        for clip in clips[0].clips:  # a mixing corruption draws from the others of the split
            if clip.split in splits and name in clip.media:
                check_content(clip.sample_id, name, clip.media[name], known.get(clip.sample_id))
    return [
        _condition(condition, origin, clips[0], tested, place, data, device)
        for condition in corruption.conditions(names)
    ]


def _condition(
    corruption: Corruption,
    origin: Origin,
    media_set: MediaSet,
    clips: list[Clip],
    place: str,
    data: TaskData,
    device: torch.device,
) -> Condition:
    modality = corruption.modality
    encoder = encoder_of(origin, modality, device)
    cache = FeatureCache(Path(os.environ.get("MMBENCH_CACHE") or origin.cache).expanduser())
    how: Any = {"dtype": origin.dtype, "workers": 1}  # other jobs decode beside this one
    encoded = encode_clips(media_set, modality, encoder, cache, corruption, clips, **how)
    there = data.test.batch.present[modality].cpu().numpy()
    gone = [
        clip.sample_id
        for clip, was, now in zip(clips, there, encoded.present, strict=True)
        if was and not now
    ]
    if gone:
        reason = next((str(problem) for problem in encoded.problems), gone[0])
        raise DataError(f"{corruption.name}: {counted(len(gone), 'clip')} can no longer be encoded: {reason}")
    tensors = _in_task_units(data, place, modality, encoded.features, encoded.mask)
    order = torch.argsort(data.test.batch.sample_id)
    return ReencodedFeatures(
        corruption.name,
        modality,
        data.test.batch.sample_id[order],
        tensors.features[modality][order],
        tensors.mask[modality][order],
    )


def _in_task_units(
    data: TaskData, place: str, modality: str, features: np.ndarray, mask: np.ndarray
) -> Batch:
    """Features in the columns and units that the task's networks were trained with.

    Args:
        data: the task's tensors.
        place: the target.
        modality: the one that is corrupted.
        features: [samples, time, width].
        mask: [samples, time], bool.
    """
    count = len(features)
    samples = Samples(
        features={modality: features},
        mask={modality: mask},
        present={modality: np.asarray(mask.any(axis=1))},
        target=np.zeros(count, np.float32),
        sample_id=data.test.sample_id,
        domain=data.test.domain,
        previous=np.full(count, -1),
    )
    recipe = data.recipe
    statistics = None if recipe.statistics is None else {modality: recipe.statistics[modality]}
    alone = replace(recipe, blocks={modality: recipe.blocks[modality]}, statistics=statistics)
    return alone.split([(place, samples)], {place: 1.0}, {}).batch


def origin_of(located: Located) -> Origin:
    """The record of which raw media the features of a dataset were made of. The dataset must have one."""
    assert isinstance(located, LocatedFolder)
    assert located.description.media is not None
    return located.description.media


@lru_cache(maxsize=4)
def _media_set_of(source: str, root: str, path: str) -> tuple[MediaSet, Mapping[str, Clip]]:
    media_set = find_media(source, Path(root), Path(path) if path else None)
    return media_set, {clip.sample_id: clip for clip in media_set.clips}


def clips_of(origin: Origin) -> tuple[MediaSet, Mapping[str, Clip]]:
    """Lists the raw data that features were made of.

    Args:
        origin: the dataset's record of them.

    Returns:
        The set, and its clips by sample id.

    Raises:
        DataError: the media are not where they were.
    """
    try:
        return _media_set_of(origin.source, origin.root, origin.path)
    except DataError as error:
        raise DataError(
            f"the raw media that features were made of are not where they were ({error}): put them back, or encode "
            f"again from where they are (mmbench data encode, with --overwrite); if a file brings the dataset, name it "
            f"with --plugin"
        ) from None


def contents_of(located: Located, modality: str) -> dict[str, str]:
    """Sample id -> the key of the media that its features were made of, for samples of which it is recorded.

    Args:
        located: a dataset of raw media in the open layout.
        modality: whose features.
    """
    assert isinstance(located, LocatedFolder)
    return media_contents(located.description, modality)


def check_content(sample: str, modality: str, media: Piece | str, was: str | None) -> None:
    """Checks that a clip's media are those that its features were made of.

    Args:
        sample: the clip's id.
        modality: which of its media.
        media: as they are found now.
        was: the key of their content then; None where the dataset has none.

    Raises:
        DataError: the media have changed, or cannot be read.
    """
    if was is not None and content_key(media) != was:
        raise DataError(
            f"{sample}: its {modality} ({location_of(media)}) has changed since its features were made: encode again "
            f"(mmbench data encode), or bring back what was there"
        )


def encoder_of(
    origin: Origin, modality: str, device: torch.device, *, ignoring: Collection[str] = ()
) -> Encoder:
    """The encoder that made the features of a modality, in the precision that they were made in.

    Args:
        origin: the dataset's record of its media and encoders.
        modality: the modality.
        device: where the encoder runs.
        ignoring: entries of the encoder's identity that may differ.

    Raises:
        DataError: it is not known here or has become another, or the device does not have the precision.
    """
    asked = origin.modalities[modality]
    check_encoder_code(origin, modality)
    exact = asked.identity.get("precision") == "float32"
    encoder = _make_encoder(asked.encoder, asked.identity.get(BROUGHT_BY, ""), exact, device)
    _check_same(asked, encoder, modality, ignoring)
    return encoder


@lru_cache(maxsize=4)
def _make_encoder(text: str, brought_by: str, exact: bool, device: torch.device) -> Encoder:
    """Makes an encoder.

    Args:
        text: its specification, as the user wrote it.
        brought_by: what brings it, so that encoders of plug-ins with the same name are told apart in the cache.
        exact: compute in float32 on a GPU too.
        device: where it runs.
    """
    spec = parse(text)
    return make(replace(spec, options={**spec.options, "precision": "float32"}) if exact else spec, device)


def _check_same(asked: Encoding, encoder: Encoder, modality: str, ignoring: Collection[str]) -> None:
    now = {str(key): str(value) for key, value in encoder.identity().items()}
    for key in sorted({*asked.identity, *now}.difference(ignoring)):
        if asked.identity.get(key) != now.get(key):
            mend = "bring back the earlier one, or encode again"
            if key == "precision":
                mend = "run on a GPU that has it, or encode again with precision=float32"
            raise DataError(
                f"{modality}: encoder {asked.encoder} is not the one that made the features: its {key} is "
                f"{now.get(key)}, and was {asked.identity.get(key)}; {mend}"
            )
