"""Checks, before a network is trained, that the raw media of targets can be corrupted and encoded anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...datasets.dataset import Located
from ..core.errors import UsageError
from ..core.job import Job
from ..core.plugins import use_plugins
from ..core.registry import find
from ..core.task import Task, dataset_of
from ..planning.corruption_groups import (
    breakable_modalities,
    breaks_media,
    groups_for_media,
    media_of,
    reaches_any_medium,
)
from ..planning.data_check import shape_of
from ..planning.evaluation_check import media_methods
from ..planning.evaluations import Evaluation, evaluations_for
from ..planning.experiment import Experiment
from .corrupt_media import at_rate
from .finetune import is_trainable
from .provenance import check_encoder_code
from .reencode import clips_of, origin_of


def check_target_media(
    experiment: Experiment,
    evaluations: Sequence[Evaluation],
    todo: Sequence[Job],
    located: Mapping[str, Located],
    device: str,
) -> None:
    """Checks that the media of targets can be corrupted and encoded anew, as far as that needs no encoder.

    Args:
        experiment: the experiment.
        evaluations: what its trained networks are tested on.
        todo: the jobs that are not finished.
        located: their datasets, by name.
        device: where the jobs run: ``cpu``, ``cuda`` or ``auto``, which is the GPU where there is one.

    Raises:
        UsageError: features were made in a precision that the device does not have, or an encoder reads sound at too
            low a rate for a corruption.
        DataError: the media are not where they were, or an encoder of a plug-in is not known or another.
    """
    plugins = tuple(experiment.plugins)
    use_plugins(plugins)
    names = [one.subject for one in evaluations if one.kind == "corruption" and not one.rates]
    corruptions = {name: find("corruption", name, plugins).load() for name in names}
    modalities: dict[str, dict[str, None]] = {}
    for job in todo:
        if evaluations_for(evaluations, job):
            target = dataset_of(Task.parse(job.task).target)
            modalities[target] = modalities.get(target, {}) | dict.fromkeys(job.modalities)
    readers = media_methods(todo, plugins)
    tuned = experiment.protocol.encoder_mode != "frozen" or bool(readers)
    frozen = experiment.protocol.encoder_mode == "frozen" and any(job.method not in readers for job in todo)
    for one in located.values() if tuned and todo else ():
        for modality in {name for job in todo for name in job.modalities} & set(media_of(one)):
            check_encoder_code(origin_of(one), modality)
        if media_of(one):
            clips_of(origin_of(one))
    if experiment.protocol.encoder_mode != "frozen" and not experiment.protocol.text_encoder:
        _check_trained(
            experiment.protocol.encoder_mode, [job for job in todo if job.method not in readers], located
        )
    for target, those in modalities.items():
        broken = _corrupted_modalities(corruptions, those, media_of(located[target]))
        for modality in broken:
            check_encoder_code(origin_of(located[target]), modality)
        if broken:
            clips_of(origin_of(located[target]))
        _check_rates(located[target], broken, corruptions)
        if experiment.protocol.encoder_mode != "frozen":
            _check_features_left(located[target], those, corruptions)
        if device == "cpu" and frozen:
            _check_precision(located[target], broken)


def _check_trained(mode: str, jobs: Sequence[Job], located: Mapping[str, Located]) -> None:
    """Checks that the features of every job that reads features were encoded from media, so that there can be an encoder to train.

    Args:
        mode: how encoders are trained.
        jobs: those that are to be run, without those whose methods read media.
        located: their datasets, by name.

    Raises:
        UsageError: there is none.
    """
    for task, modalities in dict.fromkeys((job.task, job.modalities) for job in jobs):
        own = {name: located[name] for name in Task.parse(task).datasets}
        if any(set(modalities) & set(media_of(one)) for one in own.values()):
            continue  # whether one of their encoders is a network is seen when it is made
        ids = [name for name in modalities if all(name in shape_of(one).tokens for one in own.values())]
        if ids:
            raise UsageError(
                f"--encoder-mode {mode}: {', '.join(own)} has token ids of {', '.join(ids)}: name the model whose tokenizer "
                "made them with --text-encoder"
            )
        raise UsageError(
            f"--encoder-mode {mode}: no modality of {', '.join(own)} was encoded by a network; see mmbench data encode"
        )


def _corrupted_modalities(
    corruptions: Mapping[str, Any], modalities: Mapping[str, None], media: Mapping[str, str]
) -> dict[str, list[str]]:
    """Modality -> the names of the corruptions of its raw media."""
    names: dict[str, list[str]] = {}
    for name, corruption in corruptions.items():
        for modality in (
            breakable_modalities(corruption, modalities, media) if breaks_media(corruption) else ()
        ):
            names.setdefault(modality, []).append(name)
    return names


def _check_features_left(
    located: Located, modalities: Mapping[str, None], corruptions: Mapping[str, Any]
) -> None:
    """Checks that a corruption of features finds some beside encoders that are trained."""
    needing = [
        name for name, one in corruptions.items() if not (breaks_media(one) or reaches_any_medium(one))
    ]
    if not needing:
        return
    media = {name: medium for name, medium in media_of(located).items() if name in modalities}
    if all(name in media and is_trainable(located, name) for name in modalities):
        raise UsageError(
            f"--corruptions {','.join(needing)}: the encoders of all modalities ({', '.join(modalities)}) are trained, and "
            f"networks read raw media, not features: leave it out; they can be tested under {','.join(groups_for_media(media))}"
        )


def _check_precision(located: Located, broken: Mapping[str, Sequence[str]]) -> None:
    for modality, names in broken.items():
        if origin_of(located).modalities[modality].identity.get("precision") == "bfloat16":
            raise UsageError(
                f"--corruptions {','.join(names)}: the features of {modality} of {located.name} were made on a GPU in "
                "bfloat16, which the CPU would make otherwise: run on a GPU, or encode again with precision=float32 "
                "(mmbench data encode)"
            )


def _check_rates(
    located: Located, broken: Mapping[str, Sequence[str]], corruptions: Mapping[str, Any]
) -> None:
    """Checks the rates that encoders' identities state; the other encoders read 16 kHz, which suits all corruptions."""
    for modality, names in broken.items():
        encoding = origin_of(located).modalities[modality]
        rate = encoding.identity.get("rate", "")
        if encoding.medium != "waveform" or not rate.isdecimal():
            continue
        wrong = {name: _rate_fault(corruptions[name], modality, int(rate)) for name in names}
        wrong = {name: reason for name, reason in wrong.items() if reason}
        if wrong:
            left = ",".join(name for name in corruptions if name not in wrong)
            raise UsageError(
                f"--corruptions {','.join(wrong)}: {modality} of {located.name} is read at {rate} Hz "
                f"({encoding.encoder}), too low a rate ({next(iter(wrong.values()))}): "
                + (f"ask for the others, --corruptions {left}" if left else "leave them out")
            )


def _rate_fault(corruption: Any, modality: str, rate: int) -> str:
    """Why a corruption cannot be applied to sound of a rate in Hz; empty where it can."""
    try:
        for condition in corruption.conditions((modality,)):
            at_rate(condition, rate)
    except UsageError as error:
        return str(error)
    return ""
