"""Published lists of tasks, by name; no data are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..core.task import Task


@dataclass(frozen=True)
class SuiteTask:
    """One entry of a suite.

    Attributes:
        group: the name of the dataset, or of a family of datasets.
        task: the shift.
        modalities: the modality set.
    """

    group: str
    task: Task
    modalities: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the shift, as ``--datasets`` takes it."""
        return self.task.name

    @property
    def modality_set(self) -> str:
        """The modality set, as ``--modalities`` takes it: ``video+audio``."""
        return "+".join(self.modalities)


def leave_one_out(dataset: str, domains: Sequence[str]) -> list[Task]:
    """The tasks of a dataset in which one domain is the target and all others are sources.

    Args:
        dataset: its name.
        domains: two or more.
    """
    places = [f"{dataset}/{domain}" for domain in domains]
    return [Task.parse(f"{'+'.join(p for p in places if p != target)}->{target}") for target in places]


def single_source(dataset: str, domains: Sequence[str]) -> list[Task]:
    """The tasks of a dataset with one source: one for every ordered pair of domains.

    Args:
        dataset: its name.
        domains: two or more.
    """
    places = [f"{dataset}/{domain}" for domain in domains]
    return [Task.parse(f"{source}->{target}") for source in places for target in places if source != target]


def mmdg() -> list[SuiteTask]:
    """The 95 tasks of MMDG-Bench (arXiv 2605.06643; its three scripts that run all of them).

    Action recognition with four sets of video, audio and optical flow: EPIC-Kitchens 36, HAC 36; motor faults 16;
    sentiment 7, which leaves out mosei->mosi and mosei+sims->mosi.
    """
    action = (("video", "audio"), ("video", "flow"), ("audio", "flow"), ("video", "audio", "flow"))
    parts: list[tuple[str, list[Task], Sequence[tuple[str, ...]]]] = []
    for dataset, domains, sets in (
        ("epic", ("d1", "d2", "d3"), action),
        ("hac", ("human", "animal", "cartoon"), action),
        ("hust", ("5hz", "10hz", "20hz", "30hz"), (("vibration", "acoustic"),)),
    ):
        parts.append((dataset, leave_one_out(dataset, domains) + single_source(dataset, domains), sets))
    sentiment = (
        "mosi+mosei->sims",
        "mosi+sims->mosei",
        "mosei->sims",
        "mosi->sims",
        "mosi->mosei",
        "sims->mosi",
        "sims->mosei",
    )
    parts.append(("sentiment", [Task.parse(text) for text in sentiment], (("text", "audio", "vision"),)))
    return [
        SuiteTask(group, task, modalities)
        for group, tasks, sets in parts
        for task in tasks
        for modalities in sets
    ]


@dataclass(frozen=True)
class Quick:
    """The part of a suite that the preset ``quick`` runs, so that every table can be made within minutes.

    Attributes:
        tasks: shift -> modality set, one for each family of datasets.
        epochs: the default number of epochs.
        corruptions: the default corruptions that networks are tested under.
        ood: the default out-of-distribution datasets; a task is not tested on its own datasets.
    """

    tasks: Mapping[str, str]
    epochs: int
    corruptions: tuple[str, ...]
    ood: tuple[str, ...]


SUITES: dict[str, Callable[[], list[SuiteTask]]] = {"mmdg": mmdg}

QUICK: dict[str, Quick] = {
    "mmdg": Quick(
        # Several sources, the last domain (in the stand-ins the one that is shifted most) left out.
        tasks={
            "epic/d1+epic/d2->epic/d3": "video+audio+flow",
            "hac/animal+hac/human->hac/cartoon": "video+audio+flow",
            "hust/10hz+hust/20hz+hust/5hz->hust/30hz": "vibration+acoustic",
            "mosei+mosi->sims": "text+audio+vision",
        },
        epochs=4,
        corruptions=("gaussian-noise", "spikes", "random-modality"),
        ood=("epic", "hac"),  # HAC told from EPIC-Kitchens is MMDG-Bench's test
    )
}


def suite_tasks(suite: str, preset: str) -> list[SuiteTask]:
    """The tasks of a suite.

    Args:
        suite: its name.
        preset: ``"quick"``: one task of each family of datasets; any other: all.
    """
    tasks = SUITES[suite]()
    if preset != "quick":
        return tasks
    return [item for item in tasks if QUICK[suite].tasks.get(item.name) == item.modality_set]
