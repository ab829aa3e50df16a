"""From an experiment to its jobs. Reads descriptions and hashes of data, never arrays; imports no torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from ...datasets.dataset import Located
from ...datasets.libraries import check_installed
from ...datasets.rates import has_rates
from ..core.as_published import BUDGETS, family_of, rules_of
from ..core.errors import UsageError, nearest
from ..core.job import RULE, Data, Job
from ..core.locate import locate
from ..core.method_fields import NO_RANGE, Field, word
from ..core.method_spec import describe
from ..core.protocol import SEARCHED_RULES, Protocol
from ..core.registry import entries, find
from ..core.strings import counted
from ..core.task import Task, dataset_of, domain_of, why_not_in_a_task
from ..data.class_holdout import without_classes
from ..data.compatibility import shared_modalities
from .base_models import check_language_model, check_media_read, check_models
from .companions import check_sources
from .corruption_groups import media_of
from .data_check import shape_of
from .experiment import Experiment
from .folds import folds_of
from .method_check import check_method, check_rates
from .oracle import check_bound, upper_bounds
from .variants import CONTROLS, Variant, methods_of

LOG = logging.getLogger("mmbench.plan")


def jobs_of(experiment: Experiment) -> list[Job]:
    """Every job of an experiment without a search, those that share data side by side; with ``oracle`` also the
    upper bounds.

    Raises:
        UsageError: an unknown method, dataset, modality or parameter.
        DataError: data that is not there or not described as it should be.
    """
    rows = matrix_rows(experiment)
    made = (replace(row.job, seed=seed) for row in _by_fold(rows) for seed in experiment.seeds)
    jobs = {job.id: job for job in made}
    if experiment.oracle:
        families = {row.job.task: row.family for row in rows}
        jobs = {job.id: job for job in upper_bounds(jobs.values(), families)} | jobs
    return list(jobs.values())


def _by_fold(rows: Sequence[MatrixRow]) -> list[MatrixRow]:
    """The rows with those of each fold of a task side by side, as a worker keeps the tensors of few folds."""
    places: dict[str, int] = {}
    for row in rows:
        places.setdefault(row.job.task, len(places))
    return sorted(rows, key=lambda row: (places[row.job.task], row.job.fold.index if row.job.fold else 0))


@dataclass(frozen=True)
class MatrixRow:
    """A row of a table: a method on a task with a modality set.

    Attributes:
        job: its networks but for the seed, which is 0; of cross-validation, those of one fold.
        searched: the parameters with a range that were not set.
        pinned: those that were.
        family: of the task, a key of ``BUDGETS``.
    """

    job: Job
    searched: tuple[Field, ...]
    pinned: tuple[str, ...]
    family: str


def matrix_rows(experiment: Experiment) -> list[MatrixRow]:
    """The rows of an experiment, those that share data side by side. Raises what ``jobs_of`` raises."""
    plugins = tuple(experiment.plugins)
    located = {
        name: locate(name, experiment.root, experiment.data, plugins)
        for name in dict.fromkeys(name for task in experiment.tasks for name in task.datasets)
    }
    data = {
        name: Data(name, item.fingerprint(), item.format, item.synthetic) for name, item in located.items()
    }
    names = {Variant.parse(text).name for text in methods_of(experiment)}
    whole = {name for name in names if describe(find("method", name, plugins)).uses_conversation}
    variants: dict[str, list[tuple[dict[str, Any], tuple[Field, ...], tuple[str, ...]]]] = {}
    rows: list[MatrixRow] = []
    for task in tasks_of(experiment, located):
        if experiment.protocol.held_out_classes:
            without_classes(
                located[task.datasets[-1]].target, experiment.protocol.held_out_classes, task.name
            )
        if experiment.ood and located[task.datasets[-1]].target.kind == "multi-label":
            raise UsageError(
                f"--ood does not apply to {task.name}: its samples have several labels (multi-label)"
            )
        check_sources(task, experiment.protocol.selection)
        known = shared_modalities(task, located)
        target = located[task.datasets[-1]]
        family = family_of(target, entries("dataset", plugins).get(target.name))
        if target.name not in variants:
            variants[target.name] = [
                _variant(text, experiment, target, family) for text in _asked_of(experiment, target)
            ]
        sets = _modality_sets(experiment.modalities_of(task), known, task.name)
        fitting = [
            item
            for item in variants[target.name]
            if item[0]["method"] not in whole or _fits(item[0], experiment, task, located)
        ]
        fitting = [item for item in fitting if _has_media(item[0], experiment, task, sets, located)]
        for modalities, fold in product(sets, folds_of(experiment, task, located)):
            for variant, searched, pinned in fitting:
                job = Job(
                    task=task.name,
                    modalities=modalities,
                    data=tuple(data[name] for name in task.datasets),
                    seed=0,
                    metrics=target.target.metrics,
                    fold=fold,
                    **variant,
                )
                rows.append(MatrixRow(job, searched, pinned, family))
        if has_rates(experiment.protocol.train_with_missing):
            sets = _modality_sets(experiment.modalities_of(task), known, task.name)
            check_rates("--train-missing", experiment.protocol.train_with_missing, [known, *sets])
        if experiment.oracle:
            check_bound(task, located)
    LOG.info(
        "planned %d tasks, %d rows of the job matrix (seeds and draws apart)",
        len(experiment.tasks),
        len(rows),
    )
    return rows


def _named(experiment: Experiment) -> set[str]:
    """The methods that an experiment names, and not those that ``all`` stands for."""
    return {Variant.parse(text.removesuffix(CONTROLS)).name for text in experiment.methods}


def _asked_of(experiment: Experiment, target: Located) -> list[str]:
    """The methods of an experiment for tasks with this target, without those that only ``all`` stands for and that have no
    loss for it."""
    plugins, named, found = tuple(experiment.plugins), _named(experiment), []
    for text in methods_of(experiment):
        name = Variant.parse(text).name
        kinds = describe(find("method", name, plugins)).kinds
        # of several labels most methods have no loss: that is an error, not a list without them
        if name in named or target.target.kind in {*kinds, "multi-label"}:
            found.append(text)
        else:
            LOG.info("%s is left out: it has no loss for %s, %s", name, target.name, target.target.kind)
    return found


def _fits(
    variant: Mapping[str, Any], experiment: Experiment, task: Task, located: Mapping[str, Located]
) -> bool:
    """Whether a method that reads whole conversations can be trained on a task.

    Args:
        variant: fields of a job, of the method.
        experiment: a method that it names must fit; one that ``all`` stands for may not.
        task: the task.
        located: dataset -> where it lies, of all its datasets.

    Raises:
        UsageError: the method is named, and a dataset states no conversations; or conversations are to stay whole in
            batches that hold all domains in equal parts.
    """
    name = variant["method"]
    lacking = [one for one in task.datasets if not getattr(located[one], "has_conversations", False)]
    if lacking:
        if name not in _named(experiment):
            LOG.info("%s is left out of %s: it reads whole conversations", name, task.name)
            return False
        raise UsageError(
            f"method {name} reads whole conversations, and {lacking[0]} does not say which samples are utterances of "
            "one: add 'conversation: {id: ..., order: ..., speaker: ...}' to its dataset.yaml, or leave the method out"
        )
    if variant["protocol"]["balance_domains"] == "on" and len(task.sources) > 1:
        raise UsageError(
            f"method {name}: batches of whole conversations cannot hold all domains in equal parts: leave out "
            "--balance-domains on, or the method"
        )
    return True


def _has_media(
    variant: Mapping[str, Any],
    experiment: Experiment,
    task: Task,
    sets: Sequence[tuple[str, ...]],
    located: Mapping[str, Located],
) -> bool:
    """Whether a method that reads raw media finds some in a task; True of any other method.

    Args:
        variant: what a method decides, as of ``_variant``.
        experiment: a method that it names must find some; one that ``all`` stands for may not.
        task: the task.
        sets: its modality sets.
        located: dataset -> where it lies, of all its datasets.

    Raises:
        UsageError: the method is named, and no modality of a set was encoded from raw media in all datasets; or its model
            does not read a modality that was.
    """
    name = variant["method"]
    description = describe(find("method", name, tuple(experiment.plugins)))
    if not description.reads_media:
        return True
    media = [media_of(located[one]) for one in task.datasets]
    bare = [one for one in sets if not any(all(name in known for known in media) for name in one)]
    if not bare:
        if description.language_model:
            model = variant["params"][description.language_model]
            for names in sets:
                encoded = {one: media[-1][one] for one in names if all(one in known for known in media)}
                check_media_read(name, model, encoded, task.name)
        return True
    if name not in _named(experiment):
        LOG.info("%s is left out of %s: it reads raw media", name, task.name)
        return False
    raise UsageError(
        f"method {name} reads raw media, and no modality of {'+'.join(bare[0])} of {task.name} was encoded from any: "
        f"encode its clips (mmbench data encode), or leave the method out"
    )


def tasks_of(experiment: Experiment, located: Mapping[str, Located]) -> list[Task]:
    """The tasks of an experiment, ``dataset/*`` expanded. A dataset of which domains are named is read, once.

    Args:
        experiment: the experiment.
        located: dataset -> where it lies.

    Raises:
        UsageError: a dataset has no such domain, or too few of them.
        DataError: it cannot be read.
    """
    tasks: list[Task] = []
    for task in experiment.tasks:
        if "/" not in task.name:
            tasks.append(task)
            continue
        names = {dataset_of(place) for place in task.places if domain_of(place)}
        domains = {name: list(shape_of(located[name]).domains) for name in names}
        for name, own in domains.items():
            for domain in own:
                if why := why_not_in_a_task(domain):
                    place = "in the data or below 'domain: {values: ...}' of its dataset.yaml"
                    raise UsageError(f"{name}: a domain called {domain!r} {why}; rename it {place}")
        if task.open:
            (own,) = domains.values()
            if len(own) < 2:
                raise UsageError(
                    f"{task.name}: {task.datasets[-1]} has {counted(len(own), 'domain')}; a shift needs two"
                )
            tasks += task.expand(own)
            continue
        for place in task.places:
            name, domain = dataset_of(place), domain_of(place)
            if domain and domain not in domains[name]:
                known = nearest(domain, domains[name]) if domains[name] else f"it has none: write {name}"
                quoted = f" (a * stands in quotes, as the shell puts names of files for it: '{name}/*')"
                raise UsageError(f"{name} has no domain {domain!r}: {known}{quoted if '.' in domain else ''}")
        tasks.append(task)
    return list(dict.fromkeys(tasks))


def resolve_modalities(text: str, known: Sequence[str], where: str) -> tuple[str, ...]:
    """The modalities that a text names.

    Args:
        text: ``all``, or names or initials joined by ``+``.
        known: the names that there are.
        where: what has these modalities, for the message.

    Returns:
        Names in the order of ``known``.

    Raises:
        UsageError: a name is unknown or occurs twice.
    """
    if text == "all":
        return tuple(known)
    names = {name.lower(): name for name in known}
    initials = {name[0].lower(): name for name in reversed(known)}
    if len(initials) < len(known):  # two modalities share an initial: it would be a guess
        initials = {}
    chosen = []
    for part in text.split("+"):
        name = part.strip().lower()
        name = names.get(name) or initials.get(name, name)
        if name not in known:
            raise UsageError(
                f"{where} has no modality {part.strip()!r}: {nearest(name, known)}; it has {', '.join(known)}"
            )
        chosen.append(name)
    if len(set(chosen)) < len(chosen):
        raise UsageError(f"modality set {text!r} names a modality twice")
    return tuple(name for name in known if name in chosen)


def _modality_sets(texts: Sequence[str], known: Sequence[str], where: str) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(resolve_modalities(text, known, where) for text in texts))


def _variant(
    text: str, experiment: Experiment, target: Located, family: str
) -> tuple[dict[str, Any], tuple[Field, ...], tuple[str, ...]]:
    """What a method decides for tasks with this target: fields of a job (its parameters and its rules among them), and
    its parameters with a range, those not set and those set."""
    plugins, protocol = tuple(experiment.plugins), experiment.protocol.name
    variant = Variant.parse(text)
    entry = find("method", variant.name, plugins)
    description = describe(entry)
    dataset = entries("dataset", plugins).get(target.name)
    published = {**BUDGETS[family], **rules_of(dataset), **description.rules(family, target.name)}
    resolved = experiment.protocol.resolve(published)
    check_method(description, resolved, target.target, target.name)
    params = description.resolve(variant.overrides, protocol, family, target.name)
    check_installed(description.libraries_for(params), f"the method {variant.name}")
    check_models(variant.name, description.model_params, params)
    if description.language_model:
        here = experiment.device if experiment.launcher in ("local", "debug") else ""
        check_language_model(variant.name, description.language_model, params, here)
    defaults = description.defaults(protocol, family, target.name)
    ranges = [item for item in description.fields if item.search]
    pinned = tuple(item.name for item in ranges if item.name in variant.overrides)
    # Set to its default, a parameter is not searched, and the name of the row says so.
    requested = set(pinned) if experiment.search else set()
    changed = {
        key: params[key] for key in variant.overrides if key in requested or params[key] != defaults[key]
    }
    words = ",".join(f"{key}={word(value)}" for key, value in sorted(changed.items()))
    fields = {
        "method": variant.name,
        "params": params,
        "version": description.job_version(entry),
        "protocol": resolved.model_dump(),
        "rules": experiment.protocol.label(published),
        "label": f"{variant.name}({words})" if words else variant.name,
        "train_missing": description.train_missing,
        "needs_domains": description.needs_domains,
    }
    rules = experiment.search.rules if experiment.search else []
    searched = [item for item in ranges if item.name not in pinned]
    return fields, (*searched, *(_searched_rule(name, resolved) for name in rules)), pinned


def _searched_rule(name: str, protocol: Protocol) -> Field:
    """A field of the protocol as a search takes it, beside the parameters of a method."""
    return Field(RULE + name, getattr(protocol, name), {**NO_RANGE, **vars(SEARCHED_RULES[name])})
