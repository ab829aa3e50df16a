"""The tensors that a job reads: those of its task, and those of out-of-distribution sets.

A worker keeps the tensors of the last tasks in memory, so that jobs on the same data read them once.
"""

from __future__ import annotations

import torch

from ...datasets.dataset import DataError, Located
from ..core.errors import UsageError
from ..core.job import Job
from ..core.locate import locate
from ..core.protocol import Protocol
from ..core.task import Task, dataset_of, domain_of
from ..data.compatibility import shared_modalities
from ..data.tensors import Split, TaskCache, TaskData, TaskRequest
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
        _check_content(located[item.name], item.fingerprint)
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
    )
    data = _TASKS.get(request, located).only(job.modalities)
    protocol = Protocol(**job.protocol)
    if protocol.encoder_mode == "frozen":
        return data
    key = (request, job.modalities, protocol.encoder_mode, protocol.adapter_rank, protocol.checkpointing)
    if key not in _MEDIA:
        from ..features.finetune import with_media  # with encoders and what reads media

        _MEDIA.clear()  # raw media are large
        _MEDIA[key] = with_media(data, located, protocol, job.modalities)
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
    _check_content(other, evaluation.content)
    targets = {name: located[name].target for name in task.datasets}
    from ..data.ood_split import ood_split

    kind, split = ood_split(other, task, targets, data, domain_of(place))
    name = f"{ood_name(place)}{STAND_IN}" if other.synthetic else ood_name(place)
    return {f"{kind}:{name}": split}


def device_of(context: Context) -> torch.device:
    """The device that a context asks for; ``auto`` is the GPU where torch finds one.

    Raises:
        UsageError: a GPU is asked for, and torch finds none.
    """
    if context.device == "cpu" or (context.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UsageError(f"device {context.device}: torch finds no GPU; use --device cpu")
    return torch.device("cuda", 0)


def _check_content(located: Located, fingerprint: str) -> None:
    """Raises DataError where a dataset no longer has the fingerprint that was planned with."""
    if located.fingerprint() != fingerprint:
        raise DataError(
            f"{located.name}: the data has changed since the job was planned; run again to plan anew"
        )
