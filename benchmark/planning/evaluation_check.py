"""Whether networks can be tested as an experiment asks, said before anything is trained."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...corruptions.families import MASK
from ...datasets.dataset import Located
from ..core.errors import UsageError
from ..core.job import Job
from ..core.method_spec import describe
from ..core.registry import find
from ..core.task import Task, dataset_of
from .corruption_groups import (
    OWN_RATES,
    breakable_modalities,
    breaks_media,
    check_medium,
    corruption_entries,
    corruption_groups,
    groups_for_media,
    media_of,
    reaches_any_medium,
)
from .evaluations import Evaluation, evaluations_for, reads_place
from .method_check import check_rates

if TYPE_CHECKING:
    from .experiment import Experiment  # no worker needs it


def check_evaluations(
    experiment: Experiment,
    evaluations: Sequence[Evaluation],
    jobs: Sequence[Job],
    todo: Sequence[Job],
    located: Mapping[str, Located],
) -> None:
    """Checks that networks can be tested as an experiment asks.

    Args:
        experiment: the experiment.
        evaluations: its evaluations.
        jobs: all of its jobs.
        todo: the jobs that are not done.
        located: their data, by name.

    Raises:
        UsageError: a corruption breaks another medium than the modalities hold; no task is foreign to an OOD set; masks are
            those of no task; an encoder is fine-tuned together with something that needs frozen features.
    """
    plugins = tuple(experiment.plugins)
    modalities = dict.fromkeys(name for job in todo for name in job.modalities)
    media: dict[str, str] = {}
    for name in {dataset_of(Task.parse(job.task).target) for job in todo}:
        media |= media_of(located[name])
    for evaluation in evaluations:
        if evaluation.rates:
            sets = dict.fromkeys(job.modalities for job in todo)
            check_rates(f"--corruptions {OWN_RATES}", evaluation.rates, sets)
        elif evaluation.kind == "corruption" and todo:
            try:
                check_medium(find("corruption", evaluation.subject, plugins).load(), modalities, media)
            except UsageError as error:
                better = _part_that_fits(experiment, evaluation.subject, modalities, media)
                raise UsageError(f"{error}{better}") from None
    mode, readers = experiment.protocol.encoder_mode, media_methods(todo, plugins)
    asked_by = f"--encoder-mode {mode}" if mode != "frozen" else f"the method {readers[0]}" if readers else ""
    # Damage to token ids is checked where it is known which texts have some (``train.token_check``).
    if asked_by and (media or not experiment.protocol.text_encoder):
        check_raw_media(
            experiment,
            {entry.name: entry.load() for entry in corruption_entries(experiment.corruptions, plugins)},
            asked_by,
            set(modalities) - (media.keys() if readers else set()),
            {name: medium for name, medium in media.items() if name in modalities},
        )
    if experiment.suite is None:  # the sets of a suite are each meant for some of its tasks
        check_foreign(evaluations, jobs)
        check_masks(evaluations, jobs)


def _part_that_fits(
    experiment: Experiment, kind: str, modalities: Iterable[str], media: Mapping[str, str]
) -> str:
    """The end of a message that proposes a smaller group of corruptions, all of which fit the modalities, in place of
    the group that was asked for; empty where there is none."""
    members = corruption_groups(tuple(experiment.plugins))
    for whole in experiment.corruptions:
        if kind not in (known := [entry.name for entry in members.get(whole, [])]):
            continue
        for name, part in members.items():
            smaller = {entry.name for entry in part} < set(known)
            if (
                part
                and smaller
                and all(breakable_modalities(entry.load(), modalities, media) for entry in part)
            ):
                return f"; of --corruptions {whole}, the group {name} fits"
    return ""


def check_foreign(evaluations: Sequence[Evaluation], jobs: Iterable[Job]) -> None:
    """Checks that every OOD set is foreign to at least one task.

    Args:
        evaluations: what networks are tested under.
        jobs: of the experiment.

    Raises:
        UsageError: all tasks read the set, so none of them can be tested on it.
    """
    tasks = [Task.parse(task) for task in sorted({job.task for job in jobs})]
    for item in evaluations:
        if item.kind == "ood" and tasks and all(reads_place(task, item.subject) for task in tasks):
            raise UsageError(
                f"--ood {item.subject}: it is among the data of every task here, so nothing can be told apart from it: "
                "name another dataset, or a domain that no task reads"
            )


def check_masks(evaluations: Sequence[Evaluation], jobs: Sequence[Job]) -> None:
    """Checks that every table of masks applies to at least one job.

    Args:
        evaluations: what networks are tested under.
        jobs: of the experiment.

    Raises:
        UsageError: no job is tested on the samples of a table with all of its modalities.
    """
    for item in evaluations:
        if item.kind == "masks" and jobs and not any(evaluations_for([item], job) for job in jobs):
            raise UsageError(
                f"--corruptions {MASK}{item.subject}: these are masks of {item.dataset} with {'+'.join(item.needs)}, and no job here "
                f"is tested on that: name the dataset, or masks of the samples that are tested"
            )


def media_methods(jobs: Iterable[Job], plugins: tuple[Path, ...]) -> list[str]:
    """The methods of jobs that read raw media themselves, in order.

    Args:
        jobs: the jobs.
        plugins: files that bring methods.
    """
    names = sorted({job.method for job in jobs})
    return [name for name in names if describe(find("method", name, plugins)).reads_media]


def check_raw_media(
    experiment: Experiment,
    corruptions: Mapping[str, Any],
    asked_by: str,
    features: Collection[str],
    media: Mapping[str, str],
) -> None:
    """Checks that networks that read raw media can be trained and tested as an experiment asks.

    Args:
        experiment: the experiment.
        corruptions: name -> the corruptions that it tests under.
        asked_by: what reads raw media, as ``"--encoder-mode full"``.
        features: the modalities of which it reads features all the same.
        media: modality -> kind of its raw media, of those that were encoded from some.

    Raises:
        UsageError: something needs frozen features.
    """
    needs = [f"--ood {name}" for name in experiment.ood]
    needs += ["--train-noise"] * (experiment.protocol.train_with_noise != "off")
    if needs:
        raise UsageError(f"{needs[0]} works on frozen features: leave it out, or leave out {asked_by}")
    for name, corruption in corruptions.items():
        if _needs_features(corruption, features):
            fit = ",".join(groups_for_media(media, tuple(experiment.plugins)))
            raise UsageError(
                f"--corruptions {name} works on frozen features: leave it out, or leave out {asked_by}; raw media "
                f"({', '.join(f'{one} of {medium}' for one, medium in media.items())}) can be tested under {fit}"
            )


def _needs_features(corruption: Any, features: Collection[str]) -> bool:
    """Whether a corruption cannot be tested where networks read raw media.

    Args:
        corruption: the kind.
        features: the modalities of which networks read features all the same. A corruption of a single modality is tested on
            these; one that changes all at once is not.
    """
    if reaches_any_medium(corruption) or breaks_media(corruption):
        return False
    single = isinstance(corruption, type) and hasattr(corruption, "medium")
    changes = any(condition.alters for condition in corruption.conditions(("one", "another")))
    return not features or (changes and not single)
