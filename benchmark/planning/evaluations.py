"""Evaluations: what a trained network is tested under beside clean inputs and missing modalities.

An evaluation is one file in the folder of a finished job. It is added without training, and one that is there is not
made again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...corruptions import GROUPS, PARTS
from ...corruptions.families import MASK
from ...datasets.dataset import Located
from ...datasets.layout.description import Description
from ...datasets.rates import parse_rates, rates_text
from ..core.errors import UsageError, nearest
from ..core.job import COMPANION, Job
from ..core.locate import locate
from ..core.method_spec import describe
from ..core.registry import Entry, entries, find
from ..core.task import Task, dataset_of, domain_of
from .data_check import shape_of
from .method_check import check_rates

if TYPE_CHECKING:
    from .experiment import Experiment  # no worker needs it

#: Evaluation with the features that the head reads, of training and test data: OOD scores on features are fitted on it.
FEATURES = "features"
#: The target's test samples of held-out classes, with features.
SEMANTIC = "semantic"
#: Outputs with the diagnostics of the method: on clean data and with modalities missing; and, under a name that continues
#: with that of a corruption, under that.
DIAGNOSTICS = "diagnostics"
#: Metadata of a file of outputs under a corruption: its family.
FAMILY = "family"
#: Version of how OOD sets are resized to fit a network. When it is raised, older outputs are made anew.
RESIZING = 2
#: The end of the name of an OOD set that is a synthetic stand-in.
STAND_IN = " (stand-in)"
#: The corruption that is in the predictions of every job.
ALWAYS = "missing"
#: The group beside whose kinds a user can ask for rates of single modalities: ``missing-rates(text=0.3,audio=0.7)``.
OWN_RATES = "missing-rates"
_OWN_RATES = re.compile(rf"{OWN_RATES}\((.*)\)")
#: The groups of corruptions that break features, whatever they were made of.
ON_FEATURES = ("missing", "features", "missing-rates", "reliability")
#: What raw media are -> what a corruption must say that it breaks. Flow is what no camera sees: nothing breaks it.
BROKEN_AS = {"frames": "frames", "waveform": "waveform", "text": "words"}


@dataclass(frozen=True)
class Evaluation:
    """A set of conditions that a network is tested under.

    Attributes:
        kind: all severities of a corruption; the network's features; samples of another dataset; those of
            the held-out classes; or the same as of a corruption, or of clean data and missing modalities, with the
            method's diagnostics.
        subject: the corruption, or the dataset or a domain of it.
        content: what else decides the outputs: the origin of a plug-in, the fingerprint of a dataset, the hash of rates,
            the digest of a table of masks.
        rates: the missing rates of single modalities, of the corruption ``OWN_RATES``.
        dataset, needs: of a table of masks: whose samples it is about, and the modalities that it tells of.
    """

    kind: Literal["corruption", "features", "semantic", "ood", "diagnostics", "masks"]
    subject: str = ""
    content: str = ""
    rates: str = ""
    dataset: str = ""
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The stem of its file in the store."""
        if self.kind == "features":
            return FEATURES
        if self.kind == "semantic":
            return SEMANTIC
        if self.kind == "ood":
            return f"ood-{ood_name(self.subject)}~{self.content[:12]}~{RESIZING}"
        if self.kind == "masks":
            return f"mask-{self.subject}~{self.content[:12]}"
        damage = f"{self.subject}~{self.content[:12]}" if self.content else self.subject
        if self.kind == "diagnostics":
            return f"{DIAGNOSTICS}-{damage}" if damage else DIAGNOSTICS
        return damage

    @property
    def with_diagnostics(self) -> Evaluation:
        """The evaluation that keeps the diagnostics under the corruption of this one."""
        return Evaluation("diagnostics", self.subject, self.content, self.rates)


def evaluations_of(experiment: Experiment) -> tuple[Evaluation, ...]:
    """The evaluations of an experiment.

    Raises:
        UsageError: an unknown corruption or dataset, or masks that the store does not hold.
        DataError: an out-of-distribution dataset is not there.
    """
    plugins = tuple(experiment.plugins)
    corruptions = [evaluation_of(entry) for entry in corruption_entries(experiment.corruptions, plugins)]
    corruptions += own_rates(experiment.corruptions)
    asked = list(corruptions)
    for name in experiment.corruptions:
        if name.startswith(MASK):
            from ..store.masks import read_masks  # brings pyarrow

            masks = read_masks(experiment.store, name.removeprefix(MASK))
            asked.append(
                Evaluation("masks", masks.name, masks.digest, dataset=masks.dataset, needs=masks.modalities)
            )
    holdout = experiment.protocol.held_out_classes
    if experiment.ood or holdout:
        asked.append(Evaluation("features"))
    if holdout:
        asked.append(Evaluation("semantic", "+".join(holdout)))
    for name in experiment.ood:
        located = locate(dataset_of(name), experiment.root, experiment.data, plugins)
        domain = domain_of(name)
        if domain and domain not in (known := shape_of(located).domains):
            raise UsageError(f"--ood {name}: no such domain: {nearest(domain, known)}")
        asked.append(Evaluation("ood", name, located.fingerprint()))
    if experiment.diagnostics:
        asked += [Evaluation("diagnostics"), *(item.with_diagnostics for item in corruptions)]
    return tuple(dict.fromkeys(asked))


def evaluations_for(evaluations: Sequence[Evaluation], job: Job) -> list[Evaluation]:
    """The evaluations that apply to a job.

    A dataset of the job's own task is no OOD set for it, and features are needed only beside OOD data. Masks apply to
    jobs that are tested on their dataset with all of their modalities. A companion has no evaluations.

    Args:
        evaluations: those of the experiment.
        job: the job.
    """
    if job.role == COMPANION:
        return []
    task = Task.parse(job.task)
    kept = [item for item in evaluations if item.kind != "ood" or not _reads_place(task, item.subject)]
    target = dataset_of(task.target)
    kept = [
        item
        for item in kept
        if item.kind != "masks" or (item.dataset == target and set(item.needs) <= set(job.modalities))
    ]
    foreign = any(item.kind in ("ood", "semantic") for item in kept)
    return [item for item in kept if foreign or item.kind != "features"]


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
        UsageError: a corruption breaks another medium than the modalities hold; no task is foreign to an OOD set; an
            encoder is fine-tuned together with something that needs frozen features.
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
    if asked_by:
        check_raw_media(
            experiment,
            {entry.name: entry.load() for entry in corruption_entries(experiment.corruptions, plugins)},
            asked_by,
            set(modalities) - (media.keys() if readers else set()),
        )
    if experiment.suite is None:  # the sets of a suite are each meant for some of its tasks
        check_foreign(evaluations, jobs)


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
        if item.kind == "ood" and tasks and all(_reads_place(task, item.subject) for task in tasks):
            raise UsageError(
                f"--ood {item.subject}: it is among the data of every task here, so nothing can be told apart from it: "
                "name another dataset, or a domain that no task reads"
            )


def _reads_place(task: Task, place: str) -> bool:
    """Whether a task reads samples of a dataset or of a domain."""
    if domain_of(place):
        return place in task.places or dataset_of(place) in task.places
    return place in task.datasets


def ood_name(place: str) -> str:
    """The name of an OOD set in files and tables, such as ``hust.5hz`` for the domain ``hust/5hz``."""
    return re.sub(r"[^\w.+ -]", "-", place.replace("/", "."))


def corruption_entries(names: Sequence[str], plugins: tuple[Path, ...] = ()) -> list[Entry]:
    """The corruptions that names stand for.

    Args:
        names: each a kind, or a group (see ``group_of``). ``mask:NAME``, which names a table, stands for none.
        plugins: files that bring corruptions.

    Raises:
        UsageError: an unknown name; the message names the nearest known ones.
    """
    known, members = _corruptions(plugins), corruption_groups(plugins)
    chosen: list[Entry] = []
    for name in names:
        if name in known:
            chosen.append(known[name])
        elif name in members:
            chosen.extend(members[name])
        elif name != ALWAYS and not name.startswith(MASK) and _OWN_RATES.fullmatch(name) is None:
            raise UsageError(f"unknown corruption {name!r}: {nearest(name, [*members, *known])}")
    return list(dict.fromkeys(chosen))


def own_rates(names: Iterable[str]) -> list[Evaluation]:
    """The evaluations that ``missing-rates(text=0.3,audio=0.7)`` and its like ask for, each once.

    Args:
        names: what ``--corruptions`` was given.

    Raises:
        UsageError: what is in the parentheses are no rates, or all of them are 0.
    """
    asked: dict[str, Evaluation] = {}
    for name in names:
        if match := _OWN_RATES.fullmatch(name):
            try:
                rates = rates_text(parse_rates(match[1]))
            except ValueError as error:
                raise UsageError(f"--corruptions {name}: {error}") from None
            if not rates:
                raise UsageError(f"--corruptions {name}: no rate is above 0")
            content = hashlib.sha256(rates.encode()).hexdigest()
            asked[rates] = Evaluation("corruption", OWN_RATES, content, rates)
    return list(asked.values())


def load_corruption(evaluation: Evaluation, plugins: tuple[Path, ...] = ()) -> Any:
    """What an evaluation under a corruption breaks inputs with: a class, or an object with the same ``conditions``.

    Args:
        evaluation: of the kind ``corruption``.
        plugins: files that bring corruptions.
    """
    if evaluation.rates:
        from ...corruptions.missing_rates import OwnRates

        return OwnRates(parse_rates(evaluation.rates))
    return find("corruption", evaluation.subject, plugins).load()


def corruption_groups(plugins: tuple[Path, ...] = ()) -> dict[str, list[Entry]]:
    """Name of a group of corruptions -> its kinds."""
    groups: dict[str, list[Entry]] = {}
    for entry in _corruptions(plugins).values():
        groups.setdefault(group_of(entry), []).append(entry)
    for name, (whole, without) in PARTS.items():
        groups[name] = [entry for entry in groups.get(whole, []) if entry.name not in without]
    return groups


def _corruptions(plugins: tuple[Path, ...]) -> dict[str, Entry]:
    return {name: entry for name, entry in entries("corruption", plugins).items() if name != ALWAYS}


def media_of(located: Located) -> dict[str, str]:
    """Modality -> kind of the raw media that its features were encoded from; modalities of unknown origin are left out."""
    description = getattr(located, "description", None)
    origin = description.media if isinstance(description, Description) else None
    return {} if origin is None else {name: one.medium for name, one in origin.modalities.items()}


def breaks_media(corruption: Any) -> bool:
    """Whether a corruption breaks raw media, and not features."""
    return getattr(corruption, "medium", "features") != "features"


def breakable_modalities(corruption: Any, modalities: Iterable[str], media: Mapping[str, str]) -> list[str]:
    """The modalities that a corruption can break: all, where it breaks features, else those that were encoded from
    the medium that it breaks.

    Args:
        corruption: the kind.
        modalities: their names.
        media: as ``media_of`` gives them.
    """
    if not breaks_media(corruption):
        return list(modalities)
    return [name for name in modalities if BROKEN_AS.get(media.get(name, "")) == corruption.medium]


def check_medium(corruption: Any, modalities: Iterable[str], media: Mapping[str, str] | None = None) -> None:
    """Checks that a corruption can break one of some modalities.

    Args:
        corruption, modalities, media: as of ``breakable_modalities``.

    Raises:
        UsageError: it breaks another medium.
    """
    media, modalities = media or {}, list(modalities)
    if breaks_media(corruption) and not breakable_modalities(corruption, modalities, media):
        held = [f"{name} (of {media[name]})" if name in media else name for name in modalities]
        raise UsageError(
            f"corruption {corruption.kind} breaks {corruption.medium}; the modalities here hold features: "
            f"{', '.join(held)}; see mmbench list corruptions, and mmbench data encode for features of raw media"
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
    experiment: Experiment, corruptions: Mapping[str, Any], asked_by: str, features: Collection[str]
) -> None:
    """Checks that networks that read raw media can be trained and tested as an experiment asks.

    Args:
        experiment: the experiment.
        corruptions: name -> the corruptions that it tests under.
        asked_by: what reads raw media, as ``"--encoder-mode full"``.
        features: the modalities of which it reads features all the same.

    Raises:
        UsageError: something needs frozen features.
    """
    needs = [f"--ood {name}" for name in experiment.ood]
    needs += ["--train-noise"] * (experiment.protocol.train_with_noise != "off")
    needs += ["--train-missing spectrum"] * (experiment.protocol.train_with_missing == "spectrum")
    needs += [
        f"--corruptions {name}"
        for name, corruption in corruptions.items()
        if not isinstance(corruption, type)
        or not hasattr(corruption, "medium")
        or not (features or breaks_media(corruption))
        if any(condition.alters for condition in corruption.conditions(("one", "another")))
    ]
    if needs:
        raise UsageError(f"{needs[0]} works on frozen features: leave it out, or leave out {asked_by}")


def holds_features(name: str) -> bool:
    """Whether an evaluation of that name holds features."""
    return name in (FEATURES, SEMANTIC) or name.startswith("ood-")


def holds_diagnostics(name: str) -> bool:
    """Whether an evaluation of that name holds outputs with diagnostics."""
    return name == DIAGNOSTICS or name.startswith(f"{DIAGNOSTICS}-")


def may_break_media(evaluations: Iterable[Evaluation], plugins: tuple[Path, ...]) -> bool:
    """Whether a corruption is of another group than those of features; no corruption is loaded.

    Args:
        evaluations: of an experiment.
        plugins: plug-in files that bring corruptions.
    """
    known = entries("corruption", plugins)
    tested = [known[one.subject] for one in evaluations if one.kind == "corruption" and one.subject in known]
    return any(group_of(entry) not in ON_FEATURES for entry in tested)


def group_of(entry: Entry) -> str:
    """The group of a corruption: as ``corruptions.GROUPS`` names it; of a plug-in, the last part of its module's name
    or the name of its file."""
    if entry.origin == "mmbench":
        return next(name for name, kinds in GROUPS.items() if entry.name in kinds)
    stem = Path(entry.module).stem if entry.is_file else entry.module.rpartition(".")[2]
    return stem.replace("_", "-")


def version_of(name: str) -> tuple[str, str]:
    """The OOD set that the name of an evaluation names.

    Returns:
        The name of the set, and the first 12 digits of its fingerprint; both empty for an evaluation of the job's own
        data.
    """
    if not name.startswith("ood-"):
        return "", ""
    subject, _, rest = name.removeprefix("ood-").partition("~")
    return subject, rest.partition("~")[0]


def evaluation_of(entry: Entry) -> Evaluation:
    """The evaluation of a corruption; of a plug-in's, its origin is part of the name."""
    content = "" if entry.origin == "mmbench" else hashlib.sha256(entry.origin.encode()).hexdigest()
    return Evaluation("corruption", entry.name, content)
