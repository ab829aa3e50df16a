"""Evaluations: what a trained network is tested under beside clean inputs and missing modalities.

An evaluation is one file in the folder of a finished job. It is added without training, and one that is there is not
made again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...corruptions.families import MASK
from ...datasets.rates import parse_rates, rates_text
from ..core.errors import UsageError, nearest
from ..core.job import COMPANION, Job
from ..core.locate import locate
from ..core.registry import Entry, find
from ..core.task import Task, dataset_of, domain_of
from .corruption_groups import OWN_RATES, OWN_RATES_FORM, corruption_entries
from .data_check import shape_of

if TYPE_CHECKING:
    from .experiment import Experiment  # no worker needs it

#: Evaluation with the features that the head reads, of training and test data: OOD scores on features are fitted on it.
FEATURES = "features"
#: The target's test samples of held-out classes, with features.
SEMANTIC = "semantic"
#: Outputs with the diagnostics of the method: on clean data and with modalities missing; and, under a name that continues
#: with that of a corruption, under that.
DIAGNOSTICS = "diagnostics"
#: The errors of what fills series, where observed entries are hidden from it.
IMPUTATION = "imputation"
#: The outputs of linear probes of the encoders.
PROBES = "probes"
#: Metadata of a file of outputs under a corruption: its family.
FAMILY = "family"
#: Version of how OOD sets are resized to fit a network. When it is raised, older outputs are made anew.
RESIZING = 2
#: The end of the name of an OOD set that is a synthetic stand-in.
STAND_IN = " (stand-in)"


@dataclass(frozen=True)
class Evaluation:
    """A set of conditions that a network is tested under.

    Attributes:
        kind: all severities of a corruption; the network's features; samples of another dataset; those of
            the held-out classes; entries hidden from what fills series; linear probes of the encoders; or the same as of a corruption, or of clean data and missing modalities, with the
            method's diagnostics.
        subject: the corruption, or the dataset or a domain of it.
        content: what else decides the outputs: the origin of a plug-in, the fingerprint of a dataset, the hash of rates,
            the digest of a table of masks.
        rates: the missing rates of single modalities, of the corruption ``OWN_RATES``.
        dataset, needs: of a table of masks: whose samples it is about, and the modalities that it tells of.
    """

    kind: Literal["corruption", "features", "semantic", "ood", "diagnostics", "masks", "imputation", "probes"]
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
        if self.kind == "imputation":
            return IMPUTATION
        if self.kind == "probes":
            return PROBES
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
    if experiment.contribution:
        asked.append(Evaluation("probes"))
    if experiment.imputation:
        asked.append(Evaluation("imputation"))
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
    kept = [item for item in evaluations if item.kind != "ood" or not reads_place(task, item.subject)]
    target = dataset_of(task.target)
    kept = [
        item
        for item in kept
        if item.kind != "masks" or (item.dataset == target and set(item.needs) <= set(job.modalities))
    ]
    foreign = any(item.kind in ("ood", "semantic") for item in kept)
    return [item for item in kept if foreign or item.kind != "features"]


def reads_place(task: Task, place: str) -> bool:
    """Whether a task reads samples of a dataset or of a domain.

    Args:
        task: the task.
        place: ``DATASET`` or ``DATASET/DOMAIN``.
    """
    if domain_of(place):
        return place in task.places or dataset_of(place) in task.places
    return place in task.datasets


def ood_name(place: str) -> str:
    """The name of an OOD set in files and tables, such as ``hust.5hz`` for the domain ``hust/5hz``."""
    return re.sub(r"[^\w.+ -]", "-", place.replace("/", "."))


def own_rates(names: Iterable[str]) -> list[Evaluation]:
    """The evaluations that ``missing-rates(text=0.3,audio=0.7)`` and its like ask for, each once.

    Args:
        names: what ``--corruptions`` was given.

    Raises:
        UsageError: what is in the parentheses are no rates, or all of them are 0.
    """
    asked: dict[str, Evaluation] = {}
    for name in names:
        if match := OWN_RATES_FORM.fullmatch(name):
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


def holds_features(name: str) -> bool:
    """Whether an evaluation of that name holds features."""
    return name in (FEATURES, SEMANTIC) or name.startswith("ood-")


def holds_diagnostics(name: str) -> bool:
    """Whether an evaluation of that name holds outputs with diagnostics."""
    return name == DIAGNOSTICS or name.startswith(f"{DIAGNOSTICS}-")


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
