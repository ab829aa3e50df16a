"""A job: one network to train, known by a hash of exactly what changes its result."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

#: Raised when the way from a job to its predictions changes: older results are then not taken for new ones.
SCHEMA = 1


@dataclass(frozen=True)
class Task:
    """A shift to measure: train on the sources, test on the target. In-domain where both are one dataset."""

    sources: tuple[str, ...]
    target: str

    @classmethod
    def parse(cls, text: str) -> Task:
        """Reads ``mosi``, ``mosi->sims`` or ``mosi+mosei->sims``.

        Raises:
            ValueError: a name is empty, or a target is among several sources.
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
        return cls(sources, target)

    @property
    def name(self) -> str:
        """``mosi`` or ``mosei+mosi->sims``; the order of sources has no meaning and is alphabetic."""
        return self.target if self.sources == (self.target,) else f"{'+'.join(self.sources)}->{self.target}"

    @property
    def datasets(self) -> tuple[str, ...]:
        """Every dataset that is read, the target last."""
        return (*(name for name in self.sources if name != self.target), self.target)


@dataclass(frozen=True)
class Data:
    """Which content a dataset had."""

    name: str
    fingerprint: str
    format: str
    synthetic: bool


@dataclass(frozen=True)
class Job:
    """One network to train.

    Everything but ``label``, ``metrics``, ``train_missing`` and ``needs_domains`` is part of its identity.
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
        metrics: the family of metrics that judges the target.
        train_missing: how the method itself uses missing modalities in training, for the audit.
        needs_domains: source domains that the method's own idea needs, for the audit.
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
    metrics: str = field(default="", compare=False)
    train_missing: str = field(default="none", compare=False)
    needs_domains: int = field(default=1, compare=False)

    @cached_property
    def id(self) -> str:
        """A readable beginning and 12 hexadecimal digits of the hash of the identity."""
        identity = {key: value for key, value in self.to_dict().items() if key not in _NOT_IDENTITY}
        identity["data"] = [[item.name, item.fingerprint] for item in self.data]
        identity["protocol"] = {
            key: value for key, value in self.protocol.items() if _LATER_RULES.get(key) != value
        }
        digest = hashlib.sha256(canonical_json({"schema": SCHEMA, **identity}).encode()).hexdigest()[:12]
        words = [self.task.replace("->", "-to-"), self.method, "".join(name[0] for name in self.modalities)]
        return re.sub(r"[^a-z0-9.-]+", "-", "-".join([*words, f"s{self.seed}", digest]).lower())

    @property
    def modality_set(self) -> str:
        """Such as ``text+audio``."""
        return "+".join(self.modalities)

    @property
    def synthetic(self) -> bool:
        """Whether any of its data is a stand-in."""
        return any(item.synthetic for item in self.data)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        copies = {"params": dict(self.params), "protocol": dict(self.protocol)}
        return {**values, **copies, "data": [vars(item) for item in self.data]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Job:
        """The inverse of ``to_dict``."""
        data = tuple(Data(**item) for item in values["data"])
        return cls(**{**values, "modalities": tuple(values["modalities"]), "data": data})


_NOT_IDENTITY = {"label", "metrics", "train_missing", "needs_domains"}

# Rules that came after the first results, with the value that those were made under: it changes no id.
_LATER_RULES = {"train_with_missing": "off", "train_with_noise": "off", "held_out_classes": []}


def canonical_json(value: Any) -> str:
    """JSON with one spelling for each value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
