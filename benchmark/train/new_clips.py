"""New clips for a trained network: raw media that nobody has labelled, encoded or decoded as those of its training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...datasets.cache.cache import FeatureCache
from ...datasets.dataset import DataError, Located, Samples, Target, data_error
from ...datasets.encoders.encoder import Encoder
from ...datasets.layout.origin import Origin
from ...datasets.media.clip import Clip, MediaSet
from ...datasets.media.own import read_unlabelled_clips
from ..core.errors import UsageError
from ..core.job import Job
from ..core.locate import locate
from ..core.task import dataset_of
from ..data.split import Split
from ..data.tensors import sample_hash
from ..features.dataset import samples_of_clips
from ..features.encode import Features, encode_clips
from ..features.finetune import with_clips
from ..features.reencode import encoder_of, origin_of
from ..planning.corruption_groups import media_of
from .context import Context
from .inputs import Inputs
from .job_data import check_unchanged


@dataclass(frozen=True)
class NewClips:
    """Clips for one network.

    Attributes:
        samples: with the features of the modalities that the network reads encoded; without values of those whose raw
            media it reads.
        dataset: the network's target, by whose name samples are hashed.
        clips: the clips, by that hash.
        readers: modality -> the encoder that says how its raw media are read, of those that the network reads itself.
    """

    samples: Samples
    dataset: str
    clips: Mapping[int, Clip]
    readers: Mapping[str, Encoder]

    def with_raw_media(self, split: Split) -> Split:
        """The samples of ``samples`` as tensors, with the raw media that the network reads. Raises DataError: they do not
        fit into memory, or are damaged."""
        return with_clips(split, self.readers, self.clips, {})


def read_new_clips(file: Path, job: Job, inputs: Inputs, context: Context) -> NewClips:
    """Reads new clips, and encodes what the network reads as features.

    Args:
        file: the ``media.yaml``; labels and splits in it are not read.
        job: the job that trained the network.
        inputs: what the network was made for.
        context: where the data of the job lie, which say by what they were encoded.

    Raises:
        UsageError: the data of the job are not there, or were not encoded from raw media.
        DataError: the clips lack every modality of the network, have another medium, or cannot be read; or the data of the
            job have changed.
    """
    media_set = read_unlabelled_clips(file)
    origin = _origin(job, inputs, context)
    wanted = [name for name in media_set.modalities if name in inputs.spec.modalities]
    if not wanted:
        has = ", ".join(media_set.modalities)
        raise data_error(file, "modalities", has, f"any of {', '.join(inputs.spec.modalities)}")
    for name in wanted:
        if name not in origin.modalities:
            raise data_error(
                file, f"modalities/{name}", "raw media", "features: in training they were not encoded"
            )
        known, medium = origin.modalities[name].medium, media_set.modalities[name]
        if medium != known:
            raise data_error(file, f"modalities/{name}", medium, f"{known}, as in training")
    if media_set.faults:
        raise _unreadable(file, media_set.faults)
    if by_tokens := [name for name, tuned in inputs.spec.tuned.items() if tuned.reads_tokens]:
        wrong = f"{', '.join(by_tokens)} is read by its token ids, and clips have none"
        raise data_error(file, "modalities", wrong, "a folder with a dataset.yaml that names 'tokens'")
    read = {*inputs.spec.media, *inputs.spec.tuned}
    device, clips, parts, readers = torch.device("cpu"), media_set.clips, {}, {}
    for name in wanted:
        if name in read:
            readers[name] = encoder_of(origin, name, device, ignoring=("precision",))
            parts[name] = _without_values(clips, name, inputs)
        else:
            parts[name] = _encoded(file, media_set, name, origin, encoder_of(origin, name, device))
    dataset = dataset_of(inputs.place)
    return NewClips(
        samples_of_clips(Target("regression"), clips, parts),
        dataset,
        {sample_hash(dataset, clip.sample_id): clip for clip in clips},
        readers,
    )


def _origin(job: Job, inputs: Inputs, context: Context) -> Origin:
    """Of which media, and by which encoders, the features of a job's target were made."""
    name = dataset_of(inputs.place)
    try:
        located: Located = locate(name, context.data_root, context.data, context.plugins)
    except (DataError, UsageError) as error:
        raise UsageError(
            f"job {job.id}: the data that it was trained on say by which encoders clips become features: name them with "
            f"--data-root ({error})"
        ) from None
    for item in job.data:
        if item.name == name:
            check_unchanged(located, item.fingerprint)
    if not media_of(located):
        raise UsageError(
            f"job {job.id}: {name} holds features that were not encoded from raw media by mmbench, so clips cannot be "
            "encoded alike: give features"
        )
    return origin_of(located)


def _encoded(file: Path, media_set: MediaSet, modality: str, origin: Origin, encoder: Encoder) -> Features:
    """The features of the clips, made as those of the training."""
    cache = FeatureCache(Path(os.environ.get("MMBENCH_CACHE") or origin.cache).expanduser())
    found = encode_clips(
        media_set, modality, encoder, cache, None, media_set.clips, dtype=origin.dtype, workers=1
    )
    if found.problems:
        raise _unreadable(file, found.problems)
    return found


def _without_values(clips: tuple[Clip, ...], modality: str, inputs: Inputs) -> Features:
    """Which clips have a modality, with one step of zeros: the network is given its raw media."""
    there = np.array([modality in clip.media for clip in clips])
    width = inputs.recipe.blocks[modality][inputs.place][1]
    return Features(np.zeros((len(clips), 1, width), np.float32), there[:, None], there)


def _unreadable(file: Path, problems: Sequence[object]) -> DataError:
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return data_error(
        file, "", f"{problems[0]}{more}", "clips that can be read; an empty cell where one lacks a modality"
    )
