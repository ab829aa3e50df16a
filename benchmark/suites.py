"""Published lists of tasks. No torch, no data: names alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .job import Task


@dataclass(frozen=True)
class SuiteTask:
    """One entry of a suite.

    Attributes:
        group: the dataset, or what a group of datasets is about.
        task: the shift.
        modalities: those that are used.
    """

    group: str
    task: Task
    modalities: tuple[str, ...]

    @property
    def name(self) -> str:
        """The shift as ``--datasets`` takes it."""
        return self.task.name

    @property
    def modality_set(self) -> str:
        """As ``--modalities`` takes it: ``video+audio``."""
        return "+".join(self.modalities)


def leave_one_out(dataset: str, domains: Sequence[str]) -> list[Task]:
    """Every domain as target, all others as sources."""
    places = [f"{dataset}/{domain}" for domain in domains]
    return [Task.parse(f"{'+'.join(p for p in places if p != target)}->{target}") for target in places]


def single_source(dataset: str, domains: Sequence[str]) -> list[Task]:
    """Every ordered pair of domains."""
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


SUITES: dict[str, Callable[[], list[SuiteTask]]] = {"mmdg": mmdg}
