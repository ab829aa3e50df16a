"""A job: one network to train, known by a hash of exactly what changes its result."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from typing import Any, Literal

#: Raised when the way from a job to its predictions changes: older results are then not taken for new ones.
SCHEMA = 1
#: The role of a job that is trained on all sources of another but one, and chooses that one's epoch.
COMPANION = "companion"


def dataset_of(place: str) -> str:
    """The dataset of a place: ``hust`` of ``hust/5hz``, ``mosi`` of ``mosi``."""
    return place.partition("/")[0]


def domain_of(place: str) -> str:
    """The domain of a place: ``5hz`` of ``hust/5hz``, nothing of ``mosi``."""
    return place.partition("/")[2]


@dataclass(frozen=True)
class Task:
    """A shift to measure: train on the sources, test on the target. In-domain where both are one place.

    A place is a dataset (``mosi``) or one of its domains (``hust/5hz``). In ``sources`` and ``target`` the domain
    ``*`` stands for every domain in turn, with all others as its sources; ``expanded`` makes tasks of it.
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
                f"{text!r} is not a task: write a dataset (mosi) or a shift ('mosi+mosei->sims')"
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

    def expanded(self, domains: Sequence[str]) -> list[Task]:
        """A task for each domain as target, with all others as sources.

        Args:
            domains: of the dataset, two or more.
        """
        places = sorted(f"{dataset_of(self.target)}/{domain}" for domain in domains)
        return [Task(tuple(one for one in places if one != target), target) for target in places]

    def covers(self, other: Task) -> bool:
        """Whether ``other`` is this task, or is between domains of the dataset that this stands for."""
        return self == other or (
            self.open and set(other.datasets) == set(self.datasets) and bool(domain_of(other.target))
        )


@dataclass(frozen=True)
class Data:
    """Which content a dataset had."""

    name: str
    fingerprint: str
    format: str
    synthetic: bool


@dataclass(frozen=True)
class Trial:
    """The part of a job in a search of hyper-parameters.

    Attributes:
        role: a trial, or a repeat of the trial that was chosen.
        index: among those of its role, from 0; trial 0 has the default configuration.
        draws, repeats: how many the search was to have, as far as was known when the job was written down.
        sampler, pruner: as ``Search`` names them.
        searched: the parameters that are searched.
        pinned: those with a range that were set instead.
    """

    role: Literal["trial", "repeat"]
    index: int
    draws: int
    repeats: int
    sampler: str
    pruner: str
    searched: tuple[str, ...]
    pinned: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Trial:
        """The inverse of ``vars``, also from JSON."""
        lists = {name: tuple(values[name]) for name in ("searched", "pinned")}
        return cls(**{**values, **lists})


@dataclass(frozen=True)
class Job:
    """One network to train.

    Everything but ``label``, ``rules``, ``metrics``, ``train_missing``, ``needs_domains`` and ``search`` is part of its
    identity.
    Paths, workers and the launcher do not change the result and are not here; nor are device and threads,
    which change no more than the last digits: ``environment.json`` says which they were.

    Attributes:
        task: as ``Task.name`` writes it.
        method: the registered name.
        params: every parameter of the method with its value.
        version: the method's version and, where it is not mmbench's own, its origin.
        modalities: those used, in the dataset's order.
        data: content of every dataset of the task.
        protocol: every field of the protocol.
        seed: names all randomness of the job.
        label: the method's name in tables: with the parameters that were set.
        rules: the protocol's name in tables, with the fields that were set; jobs of before do not say it.
        metrics: the family of metrics that judges the target.
        train_missing: how the method itself uses missing modalities in training, for the audit.
        needs_domains: source domains that the method's own idea needs, for the audit.
        role: empty, or ``"companion"``: it was trained for the epoch of other jobs, and is no result.
        search: its part in a search of hyper-parameters, where it has one.
    """

    task: str
    method: str
    params: Mapping[str, Any]
    version: str
    modalities: tuple[str, ...]
    data: tuple[Data, ...]
    protocol: Mapping[str, Any]
    seed: int
    label: str = field(default="", compare=False)
    rules: str = field(default="", compare=False)
    metrics: str = field(default="", compare=False)
    train_missing: str = field(default="none", compare=False)
    needs_domains: int = field(default=1, compare=False)
    role: str = ""
    search: Trial | None = field(default=None, compare=False)

    @cached_property
    def id(self) -> str:
        """A readable beginning and 12 hexadecimal digits of the hash of the identity."""
        identity = {name: getattr(self, name) for name in _IDENTITY if name != "role" or self.role}
        identity["data"] = [[item.name, item.fingerprint] for item in self.data]
        later = LATER_PARAMS.get(self.method, {})
        identity["params"] = {
            key: value for key, value in self.params.items() if key not in later or later[key] != value
        }
        identity["protocol"] = {
            key: value for key, value in self.protocol.items() if _LATER_RULES.get(key) != value
        }
        digest = hashlib.sha256(canonical_json({"schema": SCHEMA, **identity}).encode()).hexdigest()[:12]
        words = [_short(self.task), self.method, "".join(name[0] for name in self.modalities)]
        return re.sub(r"[^a-z0-9.-]+", "-", "-".join([*words, f"s{self.seed}", digest]).lower())

    @property
    def modality_set(self) -> str:
        """Such as ``text+audio``."""
        return "+".join(self.modalities)

    @property
    def synthetic(self) -> bool:
        """Whether any of its data is a stand-in."""
        return any(item.synthetic for item in self.data)

    @property
    def target_splits(self) -> tuple[str, ...]:
        """The splits of the target that the job reads: validation only where its rule may see the target."""
        if self.role == COMPANION:
            return ("valid",)
        return ("valid", "test") if self.protocol.get("selection") == "oracle" else ("test",)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        if not self.role:
            del values["role"]  # it came after the first results
        copies = {"params": dict(self.params), "protocol": dict(self.protocol)}
        search = values.pop("search")
        part = {"search": dict(vars(search))} if search else {}
        return {**values, **copies, "data": [vars(item) for item in self.data], **part}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Job:
        """The inverse of ``to_dict``."""
        data = tuple(Data(**item) for item in values["data"])
        part = values.get("search")
        search = Trial.from_dict(part) if part else None
        lists = {"modalities": tuple(values["modalities"]), "data": data, "search": search}
        return cls(**{**values, **lists})


@lru_cache
def _short(task: str) -> str:
    """A task in a folder's name; many domains of datasets are counted."""
    parsed = Task.parse(task)
    if "/" in task and len(parsed.sources) > 3:
        return f"{len(parsed.sources)}-domains-to-{parsed.target}"
    return task.replace("->", "-to-")


#: Fields that no result depends on.
NOT_IDENTITY = {"label", "rules", "metrics", "train_missing", "needs_domains", "search"}
_IDENTITY = [item.name for item in fields(Job) if item.name not in NOT_IDENTITY]

# Rules that came after the first results, with the value that those were made under: it changes no id.
_LATER_RULES = {
    "train_with_missing": "off",
    "train_with_noise": "off",
    "held_out_classes": [],
    "epoch_steps": 0,
    "drop_last": False,
    "restart_optimizer": False,
    "encoder_rate": 1.0,
    "ties": "lower-loss",
    "roles": "splits",
    "encoder_mode": "frozen",
    "media_rate": 0.1,
    "adapter_rank": 8,
    "checkpointing": False,
    "accumulate": 1,
    "precision": "float32",
}
_DEEP = {"whole_network": False, "extra_width": 0, "bounded": False, "raw_halves": False}
#: Method -> parameters that came after its first results, with the value that those were made under.
LATER_PARAMS: Mapping[str, Mapping[str, Any]] = {
    "rna": {"whole_network": False},
    "simmmdg": _DEEP,
    "moosa": _DEEP,
    "cmrf": {
        **_DEEP,
        "audio_weight": 1.0,
        "sums": False,
        "weight_apart": 0.0,
        "with_simmmdg": False,
        "trained_projections": "all",
    },
    "nel": {"whole_network": False, "modality_views": False, "raw_spectrum": False},
    "jat": {"whole_network": False},
    "mbcd": {
        "whole_network": False,
        "norms_trained": True,
        "feature_noise": False,
        "adaptive_drop": True,
        "mlp_head": 0,
        "evaluated_student": False,
        "weight_unimodal": 1.0,
        "weight_aside": 0.0,
    },
    "gmp": {"whole_network": False, "adversary_trained": True, "mlp_head": 0},
}


def canonical_json(value: Any) -> str:
    """JSON with one spelling for each value."""
    return _CANONICAL.encode(value)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
