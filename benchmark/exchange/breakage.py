"""What conditions do to the samples of a task: which modalities and steps they take away, exactly as networks are tested."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from ...corruptions.condition import Condition
from ...corruptions.corruption import prepare
from ...datasets.batch import Batch
from ..core.errors import UsageError
from ..core.job import Job
from ..data.split import Split
from ..data.tensors import TaskData
from ..planning.corruption_groups import breaks_media, corruption_entries
from ..planning.evaluations import evaluation_of
from ..train.context import Context
from ..train.job_data import device_of, task_data
from ..train.minibatches import minibatches
from ..train.predict import EVALUATION_BATCH, corruption_conditions, default_conditions

#: What a condition does: takes modalities away, zeroes steps besides, or changes values in any way.
Kind = Literal["presence", "steps", "values"]


@dataclass(frozen=True)
class Tested:
    """A condition that networks of a task are tested under.

    Attributes:
        condition: what is done.
        evaluation: the name of the evaluation that holds it; empty for those of every job.
        splits: the parts that are tested under it.
    """

    condition: Condition
    evaluation: str
    splits: tuple[str, ...]

    @property
    def severity(self) -> float | None:
        """Its severity, or its rate; None where it has neither."""
        for name in ("severity", "rate"):
            value = getattr(self.condition, name, None)
            if isinstance(value, int | float):
                return float(value)
        return None


@dataclass(frozen=True)
class Masks:
    """What a condition leaves of the samples of a split.

    Attributes:
        kind: what it does; of ``"values"`` the masks do not tell all.
        present: modality -> [samples], bool: whether the sample has the modality.
        kept: modality -> [samples, time], bool: whether a step keeps its features; the others are zeros. Only of the
            modalities whose steps it zeroes.
    """

    kind: Kind
    present: Mapping[str, np.ndarray]
    kept: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Breakage:
    """The samples of a task and all conditions that they are to be tested under.

    Attributes:
        data: the tensors of the task.
        tested: the conditions, clean first.
    """

    data: TaskData
    tested: tuple[Tested, ...]

    def split(self, name: str) -> Split:
        """The split of that name, ``"valid"`` or ``"test"``."""
        return {"valid": self.data.valid, "test": self.data.test}[name]


def breakage_of(job: Job, corruptions: Sequence[str], context: Context) -> Breakage:
    """The samples and conditions of a job.

    Args:
        job: says task, modalities, protocol and the content of the data; its method is not read.
        corruptions: kinds or groups beside clean and missing modalities.
        context: where the data lie.

    Raises:
        UsageError: an unknown corruption, or one whose result is no mask: it breaks raw media, or takes steps from other
            samples.
        DataError: the data are not there, faulty or others.
    """
    data = task_data(job, context, device_of(context))
    own = ("valid", "test")
    tested = [Tested(condition, "", own) for condition in default_conditions(job.modalities)]
    for entry in corruption_entries(corruptions, context.plugins):
        corruption = entry.load()
        if breaks_media(corruption):
            raise UsageError(
                f"corruption {entry.name} breaks {corruption.medium} before they are encoded, which is no mask: leave it out"
            )
        if getattr(corruption, "changes_mask", False):
            raise UsageError(
                f"corruption {entry.name} takes features from other samples with their steps, and masks tell no steps that "
                "are not a sample's own"
            )
        name = evaluation_of(entry).name
        under = corruption_conditions(corruption, data.test.batch, data.media, data.sound_rates)
        tested += [Tested(one, name, ("test",)) for one in under]
    return Breakage(data, tuple(tested))


def masks_under(condition: Condition, split: Split) -> Masks:
    """What a condition leaves of a split.

    Which steps it zeroes is seen on features that are 1 everywhere. It counts as a mask only where zeroing just these
    steps of the real features gives bit for bit what the condition gives.

    Args:
        condition: the condition.
        split: the samples, on any device.

    Returns:
        Arrays on the CPU, the samples in the order of the split.
    """
    prepared = prepare(condition, split.batch)
    altered = [name for name in split.batch.modalities if name in condition.alters]
    present: dict[str, list[np.ndarray]] = {name: [] for name in split.batch.modalities}
    kept: dict[str, list[np.ndarray]] = {name: [] for name in altered}
    exact = True
    for batch in minibatches(split.batch, EVALUATION_BATCH):
        changed = prepared.apply(batch)
        for name, flags in changed.present.items():
            present[name].append(flags.cpu().numpy())
        if altered and exact:
            probe = prepared.apply(_ones(batch))
            for name in altered:
                stays = (probe.features[name] != 0).flatten(2).any(dim=2)
                masked = batch.features[name].masked_fill(~stays.unsqueeze(2), 0)
                exact = exact and torch.equal(masked, changed.features[name])
                kept[name].append(stays.cpu().numpy())
    flags_of = {name: np.concatenate(parts) for name, parts in present.items()}
    if not altered:
        return Masks("presence", flags_of, {})
    if not exact:
        return Masks("values", flags_of, {})
    return Masks("steps", flags_of, {name: np.concatenate(parts) for name, parts in kept.items()})


def _ones(batch: Batch) -> Batch:
    return replace(batch, features={name: torch.ones_like(values) for name, values in batch.features.items()})


def values_under(condition: Condition, split: Split, modality: str) -> Iterator[np.ndarray]:
    """The features of a modality under a condition, some samples at a time.

    Args:
        condition: the condition.
        split: the samples, on any device.
        modality: its name.

    Returns:
        [some samples, time, feature], in the order of the split.
    """
    prepared = prepare(condition, split.batch)
    for batch in minibatches(split.batch, EVALUATION_BATCH):
        yield prepared.apply(batch).features[modality].cpu().numpy()


def digest_of(name: str, parts: Mapping[str, tuple[Split, Masks]]) -> str:
    """The SHA-256 (hex) of what a condition takes away from which samples.

    Values that are changed otherwise are known by the name of the condition alone: their last digits may differ from
    machine to machine.

    Args:
        name: of the condition.
        parts: name of a split -> the split, and what the condition leaves of it.
    """
    digest = hashlib.sha256(name.encode())
    for split, (samples, masks) in parts.items():
        digest.update(f"\0{split}\0{masks.kind}\0{samples_digest(samples)}".encode())
        for kind, arrays in (("present", masks.present), ("kept", masks.kept)):
            for modality, flags in arrays.items():
                digest.update(f"\0{kind}\0{modality}\0{flags.shape}".encode())
                digest.update(np.packbits(flags).tobytes())
    return digest.hexdigest()


def samples_digest(split: Split) -> str:
    """The SHA-256 (hex) of the ids of the samples of a split, in their order."""
    return hashlib.sha256("\0".join(split.sample_id.astype(str)).encode()).hexdigest()
