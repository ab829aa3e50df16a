"""The record of a job beside its results: what it ran on, by which code, on which data, and what it took."""

from __future__ import annotations

import platform
import resource
import sys
import time
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import torch

from ..core.environment import code_version, origin
from ..core.fold import ONE_TEST, Fold
from ..core.job import Job
from ..core.locate import locate
from ..core.task import Task, domain_of
from ..planning.data_check import known_labels, known_leaks
from ..planning.folds import known_fold_leaks
from .checkpoint import Checkpointer
from .context import Context
from .energy import Energy
from .timer import PhaseTimer


def environment_of(
    job: Job,
    context: Context,
    device: torch.device,
    clock: PhaseTimer,
    checkpointer: Checkpointer,
    energy: Energy,
) -> dict[str, Any]:
    """What a job ran on, how it came to run so, and what it took; of what was not measured there is nothing.

    Args:
        job: the job.
        context: how it was started.
        device: where its network was trained.
        clock: the seconds of its phases.
        checkpointer: says whether it was interrupted.
        energy: the joules since its start.

    Returns:
        Values that JSON can hold.
    """
    return (
        _machine(device, clock)
        | (
            {} if checkpointer.resumed else {"processor_seconds": clock.processor}
        )  # what an interrupted one took is lost
        | _leaks(job)
        | _drawn_validation(job, context)
        | _single_labels(job, context)
        | _launch(context, checkpointer)
        | _joules(energy, checkpointer)
    )


def _machine(device: torch.device, clock: PhaseTimer) -> dict[str, Any]:
    """What a job ran on, how long its phases took in seconds, and its peaks of memory in bytes."""
    gpu = device.type == "cuda"
    return {
        **versions(),
        "host": platform.node(),
        "device": torch.cuda.get_device_name(device) if gpu else "cpu",
        "threads": torch.get_num_threads(),
        "peak_gpu_memory_bytes": torch.cuda.max_memory_allocated(device) if gpu else 0,
        "peak_process_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "seconds": clock.seconds,
        "ended": time.time(),
    }


def _leaks(job: Job) -> dict[str, Any]:
    """What the splits of each dataset of a job share; only of those for which this machine knows it."""
    known = {item.name: _known_leaks(item.fingerprint, job.fold) for item in job.data}
    leaks = {name: found for name, found in known.items() if found is not None}
    return {"leaks": leaks} if leaks else {}


def _known_leaks(fingerprint: str, fold: Fold | None) -> list[str] | None:
    """What the splits that a job sees share, in words; of folds beside a test part of its own both."""
    if fold is None:
        return known_leaks(fingerprint)
    found = [known_fold_leaks(fingerprint, fold)]
    if fold.parts == ONE_TEST:
        found.append(known_leaks(fingerprint))
    return None if None in found else [line for lines in found for line in lines or ()]


def _drawn_validation(job: Job, context: Context) -> dict[str, Any]:
    """How the validation part of each dataset was drawn, of those that state none."""
    names = (item.name for item in job.data)
    located = (locate(name, context.data_root, context.data, context.plugins) for name in names)
    drawn = {one.name: words for one in located if (words := getattr(one, "drawn_validation", ""))}
    return {"drawn_validation": drawn} if drawn else {}


def _launch(context: Context, checkpointer: Checkpointer) -> dict[str, Any]:
    """How a job came to run as it did: by which code it was asked for, where its launcher ran it, with which breaks."""
    place = origin()
    asked = context.code or code_version()
    return {
        "code_asked": asked,
        "code_changed": asked != code_version(),
        "resumed_epochs": checkpointer.resumed,
        **({"origin": place} if place else {}),
    }


def _joules(energy: Energy, checkpointer: Checkpointer) -> dict[str, Any]:
    """The joules that a job took; empty where nothing could be read, and for a training that was interrupted, as the
    counts of the interrupted process are lost."""
    joules = {} if checkpointer.resumed else energy.joules()
    return {"energy_joules": joules} if joules else {}


@lru_cache
def versions() -> dict[str, Any]:
    """The versions of Python, the platform, the main packages and the code."""
    packages = ("mmbench", "torch", "lightning", "numpy", "pandas", "pyarrow")
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": {name: version(name) for name in packages},
        "code": code_version(),
    }


def _single_labels(job: Job, context: Context) -> dict[str, Any]:
    """The label that all samples of a part of the target have, of those parts that validate or test."""
    from ...datasets.label_values import label_words  # few data have such parts

    task = Task.parse(job.task)
    (content,) = (item for item in job.data if item.name == task.datasets[-1])
    there = {} if job.fold else known_labels(content.fingerprint).get(domain_of(task.target), {})
    target = locate(content.name, context.data_root, context.data, context.plugins).target
    single = {
        split: label_words(values[0], target)
        for split, values in there.items()
        if split in job.target_splits and len(values) == 1
    }
    return {"single_labels": single} if single else {}
