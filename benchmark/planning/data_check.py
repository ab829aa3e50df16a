"""Checks the data of jobs before anything is written, so that faulty data ends a run before it begins.

The sizes of a dataset that was read without fault are cached under its fingerprint, so data are read again only where
they changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from ...datasets.dataset import DataError, Located
from ..core.atomic_files import read_json, write_json
from ..core.errors import UsageError
from ..core.job import Job
from ..core.method_spec import describe
from ..core.registry import find
from ..core.task import Task, dataset_of, domain_of
from ..data.compatibility import check_split_sizes, common_encoders, common_target, feature_blocks
from ..data.domains import check_domain, domain_counts

#: Heads of the transformer of the shared network; ``methods.shared.sequence_encoder`` needs torch.
ENCODER_HEADS = 8


@dataclass(frozen=True)
class Shape:
    """The sizes of a dataset that decide whether it can be joined with others.

    Attributes:
        samples: split -> number of samples.
        widths: modality -> number of features.
        domains: domain -> split -> number of samples.
        leaks: what its splits share, in words; see ``datasets.leaks``.
        cut_conversations: those of them that are conversations.
        tokens: modality with token ids -> whether there is one a step of its features.
        labels: domain, "" for all samples -> split -> the labels that there are (``labels_by_domain``).
    """

    samples: Mapping[str, int]
    widths: Mapping[str, int]
    domains: Mapping[str, Mapping[str, int]]
    leaks: Sequence[str]
    cut_conversations: Sequence[str] = ()
    tokens: Mapping[str, bool] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, list[float]]] = field(default_factory=dict)


def check_job_data(
    jobs: Iterable[Job], located: Mapping[str, Located], plugins: tuple[Path, ...] = ()
) -> None:
    """Checks that the data of jobs are in order and that the datasets of each task can be joined.

    Args:
        jobs: the jobs that are to be run.
        located: their datasets, by name.
        plugins: files that bring methods.

    Raises:
        UsageError: a parameter does not fit the networks that read such data.
        DataError: data are faulty, datasets cannot be joined, all training samples have one label, or a method reads whole conversations and one lies in two
            splits.
    """
    from ..data.label_check import check_training_labels  # no worker needs it

    jobs = list(jobs)
    wanted = {
        (
            job.task,
            job.modalities,
            job.protocol["widths"],
            job.protocol.get("roles", "splits"),
            job.target_splits,
            job.fold is not None,
            tuple(job.protocol.get("held_out_classes", ())),
        )
        for job in jobs
    }
    shapes: dict[str, Shape] = {}
    encoders_of: dict[str, Mapping[str, str]] = {}
    for task_name, modalities, mode, roles, target_splits, divided, held_out in sorted(wanted):
        task = Task.parse(task_name)
        for name in task.datasets:
            if name not in shapes:
                shapes[name] = shape_of(located[name])
            if not divided:
                check_split_sizes(name, shapes[name].samples, task)
        for place in task.places:
            if domain_of(place) and not divided:  # a division into folds was checked when it was made
                counts = shapes[dataset_of(place)].domains.get(domain_of(place), {})
                check_domain(task, place, counts, roles, target_splits)
        encoders_of[task_name] = common_encoders(task, located)
        common_target({name: located[name].target for name in task.datasets})
        if not divided:
            labels = {name: shapes[name].labels for name in task.datasets}
            check_training_labels(task, labels, located[task.datasets[-1]].target, roles, held_out)
        for modality in modalities:
            widths = {place: shapes[dataset_of(place)].widths[modality] for place in task.places}
            feature_blocks(task, modality, widths, mode)
    for job in jobs:
        _check_widths(job, encoders_of[job.task])
    whole = {
        name: describe(find("method", name, plugins)).uses_conversation
        for name in {job.method for job in jobs}
    }
    for job in jobs:
        for name in Task.parse(job.task).datasets if whole[job.method] else ():
            if shapes[name].cut_conversations:
                raise DataError(
                    f"{name}: {shapes[name].cut_conversations[0]}, and {job.method} reads whole conversations: put all "
                    "utterances of a conversation into one split"
                )


def _check_widths(job: Job, encoders: Mapping[str, str]) -> None:
    """Checks that the embeddings of the shared network can be divided among the heads of its transformers, where these read steps.

    Args:
        job: the job.
        encoders: modality -> its encoder, where its data name one.

    Raises:
        UsageError: they cannot.
    """
    trained = job.protocol.get("encoder_mode", "frozen") != "frozen"
    if not trained and job.protocol.get("name") != "as-published":
        return  # then steps are read by convolutions, unless their number is not known
    if "released_encoder" not in job.params or all(encoders.get(name) == "cnn1d" for name in job.modalities):
        return
    for name in ("width", "extra_width"):
        value = job.params.get(name) or 0
        if int(value) % ENCODER_HEADS:
            raise UsageError(
                f"method {job.label}, parameter {name}: {value} is out of its range: a multiple of {ENCODER_HEADS}, the heads of the "
                "transformers that read steps where encoders are trained or the protocol is as-published"
            )


def shape_of(located: Located) -> Shape:
    """The sizes of a dataset, from the cache where it was read before. Raises DataError where it is faulty."""
    from ...datasets.leaks import leaks
    from ...datasets.token_arrays import one_a_step
    from ..data.label_check import labels_by_domain

    fingerprint = located.fingerprint()
    known = _cached_shape(fingerprint)
    if known is not None:
        return known
    splits = located.load()
    widths = {name: array.shape[2] for name, array in splits["train"].features.items()} if splits else {}
    found = leaks(splits)
    shared = [str(leak) for leak in found if leak.kind != "domains"]
    cut = [str(leak) for leak in found if leak.kind == "conversations"]
    tokens = {
        name: all(one_a_step(split, name) for split in splits.values())
        for name in widths
        if all(name in split.tokens for split in splits.values())
    }
    shape = Shape(
        {name: len(split) for name, split in splits.items()},
        widths,
        domain_counts(splits),
        shared,
        cut,
        tokens,
        labels_by_domain(splits, located.target),
    )
    _write_shape(_cache_file(fingerprint), shape)
    return shape


def known_leaks(fingerprint: str) -> list[str] | None:
    """What the splits of a dataset share, in words, where it was read on this machine; None where it was not.

    Args:
        fingerprint: of the dataset.
    """
    known = _cached_shape(fingerprint)
    return None if known is None else list(known.leaks)


def known_labels(fingerprint: str) -> Mapping[str, Mapping[str, list[float]]]:
    """The labels of a dataset (``Shape.labels``) that was read on this machine; nothing of one that was not.

    Args:
        fingerprint: of the dataset.
    """
    known = _cached_shape(fingerprint)
    return {} if known is None else known.labels


def cache_folder() -> Path:
    """Where the sizes and divisions of datasets that were read are kept."""
    from ...datasets.fingerprint import hash_folder

    return hash_folder().parent / "checked"


def _cache_file(fingerprint: str) -> Path:
    return cache_folder() / f"{fingerprint}.json"


def _cached_shape(fingerprint: str) -> Shape | None:
    known = read_json(_cache_file(fingerprint))
    later = {"cut_conversations"}  # a dataset that has some was not read before they were looked for
    if isinstance(known, dict) and known.keys() | later == {item.name for item in fields(Shape)}:
        return Shape(**known)
    return None


def _write_shape(file: Path, shape: Shape) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, json.loads(json.dumps(shape.__dict__)))
    except OSError:
        pass  # it is read again next time
