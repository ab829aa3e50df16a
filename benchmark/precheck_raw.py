"""Whether raw media can be broken as asked for: told before a network is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..datasets.dataset import Located
from .errors import UsageError
from .evaluations import Evaluation, breakable, media_of, of_job, on_media
from .experiment import Experiment
from .job import Job, Task, dataset_of
from .raw import origin_of
from .registry import find


def check_raw(
    experiment: Experiment,
    evaluations: Sequence[Evaluation],
    todo: Sequence[Job],
    located: Mapping[str, Located],
    device: str,
) -> None:
    """Whether the media of targets can be broken and encoded anew, as far as that can be told without the encoders.

    Args:
        experiment: what is asked for.
        evaluations: what ``wanted`` makes of it.
        todo: jobs that are not done.
        located: their data, by name.
        device: where they run: ``cpu``, ``cuda`` or ``auto``, that of the two that is there.

    Raises:
        UsageError: features were made in a precision that the device does not have.
    """
    plugins = tuple(experiment.plugins)
    corruptions = [
        find("corruption", one.subject, plugins).load() for one in evaluations if one.kind == "corruption"
    ]
    modalities: dict[str, dict[str, None]] = {}
    for job in todo:
        if of_job(evaluations, job):
            modalities.setdefault(dataset_of(Task.parse(job.task).target), {}).update(
                dict.fromkeys(job.modalities)
            )
    for name, those in modalities.items():
        broken = list(_broken(corruptions, those, media_of(located[name])))
        if device == "cpu" and experiment.protocol.encoder_mode == "frozen":
            _check_precision(located[name], broken)


def _broken(
    corruptions: Sequence[Any], modalities: Mapping[str, None], media: Mapping[str, str]
) -> Iterator[tuple[Any, str]]:
    """Corruptions of raw media, each with every modality that it breaks."""
    for corruption in corruptions:
        if on_media(corruption):
            yield from ((corruption, name) for name in breakable(corruption, modalities, media))


def _check_precision(located: Located, broken: Sequence[tuple[Any, str]]) -> None:
    for corruption, modality in broken:
        if origin_of(located).modalities[modality].identity.get("precision") == "bfloat16":
            raise UsageError(
                f"--corruptions {corruption.kind}: the features of {modality} of {located.name} were made on a GPU in "
                "bfloat16, which the CPU would make otherwise: run on a GPU, or encode again with precision=float32 "
                "(mmbench data encode)"
            )
