"""Tasks and places: which data are trained on, and which are tested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def dataset_of(place: str) -> str:
    """The dataset of a place: ``hust`` of ``hust/5hz``, ``mosi`` of ``mosi``."""
    return place.partition("/")[0]


def domain_of(place: str) -> str:
    """The domain of a place: ``5hz`` of ``hust/5hz``, nothing of ``mosi``."""
    return place.partition("/")[2]


#: Signs that join the places of a task.
JOINING = "+,/*>"


def why_not_in_a_task(name: str) -> str:
    """Why a dataset or a domain cannot be named in a task: a sign in it joins places, or space is around it.

    Args:
        name: of the dataset or the domain.

    Returns:
        The reason, to be said after the name; empty where there is none.
    """
    signs = [sign for sign in JOINING if sign in name]
    if signs:
        return f"cannot stand in a task, where {' '.join(signs)} {'has' if len(signs) == 1 else 'have'} a meaning"
    return (
        "" if name and name == name.strip() else "cannot stand in a task: it is empty, or has space around it"
    )


@dataclass(frozen=True)
class Task:
    """A shift to measure: train on the sources, test on the target. In-domain where both are one place.

    A place is a dataset (``mosi``) or one of its domains (``hust/5hz``). In ``sources`` and ``target`` the domain
    ``*`` stands for every domain in turn, with all others as its sources; ``expand`` makes tasks of it.
    """

    sources: tuple[str, ...]
    target: str

    @classmethod
    def parse(cls, text: str) -> Task:
        """Reads ``mosi``, ``mosi->sims``, ``mosi+mosei->sims``, ``hust/5hz->hust/10hz`` or ``hust/*``.

        Raises:
            ValueError: a name is empty, a target is among several sources, or a dataset is named whole and by its
                domains, so that it would be trained and tested on the same samples.
        """
        left, arrow, right = (part.strip() for part in text.partition("->"))
        sources = tuple(sorted(part.strip() for part in left.split("+")))
        target = right if arrow else left
        if not all(sources) or not target or (not arrow and len(sources) > 1):
            raise ValueError(
                f"{text!r} is not a task: write a dataset (mosi) or a shift ('mosi+mosei->sims'); a dataset "
                "of one's own has no + or -> in its name: rename its folder"
            )
        if len(set(sources)) < len(sources) or (target in sources and len(sources) > 1):
            raise ValueError(f"task {text!r} names a dataset twice")
        places = {*sources, target}
        for place in places:
            if place.count("/") > 1 or not dataset_of(place) or ("/" in place and not domain_of(place)):
                raise ValueError(f"{place!r} is no domain of a dataset: write dataset/domain (hust/5hz)")
            if domain_of(place) == "*" and (len(places) > 1 or arrow):
                raise ValueError(
                    f"task {text!r}: {place} stands alone, for every domain with the others as sources"
                )
            if "/" in place and dataset_of(place) in places:
                raise ValueError(f"task {text!r} names {dataset_of(place)} whole and by its domain {place}")
        return cls(sources, target)

    @property
    def name(self) -> str:
        """``mosi`` or ``mosei+mosi->sims``; the order of sources has no meaning and is alphabetic."""
        return self.target if self.sources == (self.target,) else f"{'+'.join(self.sources)}->{self.target}"

    @property
    def places(self) -> tuple[str, ...]:
        """Every place that is read, the target last."""
        return (*(name for name in self.sources if name != self.target), self.target)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Every dataset that is read, each once, the target's last."""
        last = dataset_of(self.target)
        others = dict.fromkeys(dataset_of(place) for place in self.sources)
        return (*(name for name in others if name != last), last)

    @property
    def open(self) -> bool:
        """Whether it stands for every domain of a dataset."""
        return domain_of(self.target) == "*"

    def expand(self, domains: Sequence[str]) -> list[Task]:
        """A task for each domain as target, with all others as sources.

        Args:
            domains: of the dataset, two or more.
        """
        places = sorted(f"{dataset_of(self.target)}/{domain}" for domain in domains)
        return [Task(tuple(one for one in places if one != target), target) for target in places]

    def covers(self, other: Task) -> bool:
        """Whether another task is this one, or one of those that this stands for.

        Args:
            other: the other task.
        """
        return self == other or (
            self.open and set(other.datasets) == set(self.datasets) and bool(domain_of(other.target))
        )
