"""The tensors that a job reads: those of its task, and those of out-of-distribution sets.

A worker keeps the tensors of the last tasks in memory, so that jobs on the same data read them once.
"""

from __future__ import annotations

import torch

from ...corruptions.condition import Condition
from ...datasets.dataset import DataError, Located
from ..core.environment import no_such_gpu
from ..core.errors import UsageError
from ..core.job import OUTSIDE, Job
from ..core.locate import locate
from ..core.protocol import Protocol
from ..core.registry import find
from ..core.task import Task, dataset_of, domain_of
from ..data.compatibility import shared_modalities
from ..data.split import Split
from ..data.tensors import TaskCache, TaskData, TaskRequest, sample_hash
from ..planning.evaluations import STAND_IN, Evaluation, ood_name
from .context import Context

#: The tensors of the last tasks, shared by the jobs of a worker.
_TASKS = TaskCache()
#: The last task with raw media.
_MEDIA: dict[tuple[object, ...], TaskData] = {}


def task_data(job: Job, context: Context, device: torch.device) -> TaskData:
    """The tensors of a job, from the worker's cache where it has them.

    Args:
        job: the job.
        context: where its datasets lie.
        device: where the tensors are to lie.

    Raises:
        DataError: a dataset has changed since the job was planned, or is faulty.
    """
    task = Task.parse(job.task)
    located = {name: locate(name, context.data_root, context.data, context.plugins) for name in task.datasets}
    for item in job.data:
        check_unchanged(located[item.name], item.fingerprint)
    request = TaskRequest(
        task=job.task,
        fingerprints=tuple(item.fingerprint for item in job.data),
        modalities=shared_modalities(task, located),  # all: jobs with other sets find the same tensors
        standardize=job.protocol["standardize"],
        widths=job.protocol["widths"],
        mask_padding=job.protocol["name"] != "as-published",
        device=str(device),
        holdout_classes=tuple(job.protocol.get("held_out_classes", ())),
        roles=job.protocol.get("roles", "splits"),
        target_splits=job.target_splits,
        fold=job.fold,
    )
    data = _TASKS.get(request, located).only(job.modalities)
    protocol = Protocol(**job.protocol)
    # A method that was trained outside has no class here.
    reads_media = job.role != OUTSIDE and find("method", job.method, context.plugins).load().reads_media
    if protocol.encoder_mode == "frozen" and not reads_media:
        return data
    key = (
        request, job.modalities, reads_media, protocol.encoder_mode, protocol.text_encoder, protocol.adapter_rank,
        protocol.checkpointing,
    )  # fmt: skip
    if key not in _MEDIA:
        from ..features.finetune import with_all_media, with_media  # with encoders and what reads media

        _MEDIA.clear()  # raw media are large
        if protocol.text_encoder and not reads_media:
            from ..features.token_encoders import with_token_encoders

            data = with_token_encoders(data, protocol, job.task)
        _MEDIA[key] = (
            with_all_media(data, located, job.modalities)
            if reads_media
            else with_media(data, located, protocol, job.modalities)
        )
    return _MEDIA[key]


def ood_splits(job: Job, context: Context, data: TaskData, evaluation: Evaluation) -> dict[str, Split]:
    """The test split of another dataset or domain as tensors for the network of a job.

    Args:
        job: the job of the network.
        context: where datasets lie.
        data: what the network was trained on, with its modalities only.
        evaluation: names the dataset or domain, and the fingerprint that it must have.

    Returns:
        ``near:NAME`` or ``far:NAME`` -> the split. The name of a synthetic stand-in says that it is one.

    Raises:
        DataError: the dataset has changed since the evaluation was planned, or is faulty.
    """
    task, place = Task.parse(job.task), evaluation.subject
    names = {*task.datasets, dataset_of(place)}
    located = {name: locate(name, context.data_root, context.data, context.plugins) for name in names}
    other = located[dataset_of(place)]
    check_unchanged(other, evaluation.content)
    targets = {name: located[name].target for name in task.datasets}
    from ..data.ood_split import ood_split

    kind, split = ood_split(other, task, targets, data, domain_of(place))
    name = f"{ood_name(place)}{STAND_IN}" if other.synthetic else ood_name(place)
    return {f"{kind}:{name}": split}


def mask_conditions(evaluation: Evaluation, context: Context) -> list[Condition]:
    """The conditions of a table of missing modalities that came from outside.

    Args:
        evaluation: names the table, and the digest that it must have.
        context: where the store lies.

    Raises:
        UsageError: the store does not hold the table.
        DataError: the table has changed since the evaluation was planned.
    """
    from ...corruptions.mask_table import MaskTable  # of such evaluations alone
    from ..store.masks import read_masks

    masks = read_masks(context.store, evaluation.subject)
    if masks.digest != evaluation.content:
        raise DataError(
            f"masks {masks.name}: changed since the evaluation was planned; run again to plan anew"
        )
    conditions: list[Condition] = []
    for name, rows in masks.conditions.items():
        hashes = torch.tensor([sample_hash(masks.dataset, one) for one in rows.sample_id.tolist()])
        order = hashes.argsort()
        there = torch.from_numpy(rows.there)[order]
        conditions.append(MaskTable(masks.label(name), masks.modalities, hashes[order], there))
    return conditions


def device_of(context: Context) -> torch.device:
    """The device that a context asks for; ``auto`` is the GPU where torch finds one.

    Raises:
        UsageError: a GPU is asked for, and torch finds none.
    """
    if context.device == "cpu" or (context.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError(f"{no_such_gpu(context.device, 0)} (torch finds none)")
    return torch.device("cuda", 0)


def check_unchanged(located: Located, fingerprint: str) -> None:
    """Checks that a dataset is what a job was planned with.

    Args:
        located: the dataset.
        fingerprint: that it had then.

    Raises:
        DataError: it has another one now.
    """
    if located.fingerprint() != fingerprint:
        raise DataError(
            f"{located.name}: the data has changed since the job was planned; run again to plan anew"
        )
