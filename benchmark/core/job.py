"""A job: one network to train, known by a hash of exactly what changes its result."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, MinLen

from ...methods import METHODS
from .fold import Fold
from .method_spec import describe
from .registry import Entry
from .task import Task

#: Number of the way from a job to its predictions. It is raised when that changes, so that older results are not taken
#: for new ones.
SCHEMA = 1
#: How pydantic reads these dataclasses from a file (``store.job_schema``): nothing is converted, nothing passed over.
_STRICT: Mapping[str, Any] = {"strict": True, "extra": "forbid"}
#: The role of a job that is trained on all sources of another but one, and chooses that one's epoch.
COMPANION = "companion"
#: What stands before the name of a field of the protocol where parameters of the method stand beside it.
RULE = "protocol."
#: The role of a job whose predictions were made outside mmbench, under exported masks.
OUTSIDE = "outside"


@dataclass(frozen=True)
class Data:
    """The content of a dataset that a job read.

    Attributes:
        name: the dataset's.
        fingerprint: SHA-256 (hex) over all that decides what is read of it.
        format: how it was stored.
        synthetic: whether it was a stand-in.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    name: str
    fingerprint: str
    format: str
    synthetic: bool


@dataclass(frozen=True)
class Trial:
    """The role of a job in a search of hyper-parameters.

    Attributes:
        role: a trial, or a repeat of the trial that was chosen.
        index: among those of its role, from 0; trial 0 has the default configuration.
        draws, repeats: how many the search was to have, as far as was known when the job was written down.
        sampler, pruner: as ``Search`` names them.
        searched: the parameters that are searched; a field of the protocol has ``RULE`` before its name.
        pinned: those with a range that were set instead.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    role: Literal["trial", "repeat"]
    index: Annotated[int, Ge(0)]
    draws: Annotated[int, Ge(0)]
    repeats: Annotated[int, Ge(0)]
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
        data: the content of every dataset of the task, the target's last.
        protocol: every field of the protocol.
        seed: names all randomness of the job.
        label: the method's name in tables: with the parameters that were set.
        rules: the protocol's name in tables, with the fields that were set; empty in stores from before version 0.1.0.
        metrics: the family of metrics that the target is evaluated by.
        train_missing: how the method itself uses missing modalities in training, for the audit.
        needs_domains: source domains that the method's own idea needs, for the audit.
        role: empty; ``"companion"`` (see ``COMPANION``): then it is no result; or ``"outside"`` (see ``OUTSIDE``).
        search: its part in a search of hyper-parameters, where it has one.
        fold: its fold, where its dataset is divided for cross-validation in place of its own parts.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = _STRICT

    task: str
    method: Annotated[str, MinLen(1)]
    params: Mapping[str, Any]
    version: str
    modalities: Annotated[tuple[str, ...], MinLen(1)]
    data: Annotated[tuple[Data, ...], MinLen(1)]
    protocol: Mapping[str, Any]
    seed: Annotated[int, Ge(0)]
    label: str = field(default="", compare=False)
    rules: str = field(default="", compare=False)
    metrics: str = field(default="", compare=False)
    train_missing: str = field(default="none", compare=False)
    needs_domains: Annotated[int, Ge(1)] = field(default=1, compare=False)
    role: Literal["", "companion", "outside"] = ""
    search: Trial | None = field(default=None, compare=False)
    fold: Fold | None = None

    @cached_property
    def id(self) -> str:
        """A readable beginning and 12 hexadecimal digits of the hash of the identity.

        Letters outside ASCII are left out of the beginning; the hash tells such names apart.

        A field of the protocol, or a parameter of a method of mmbench, that was added after there were results says so
        where it is defined (``Since``, ``since=``). At its default it is left out, so that those results keep their ids.
        """
        identity = {
            name: getattr(self, name) for name in _IDENTITY if name not in _LATER or getattr(self, name)
        }
        identity["data"] = [[item.name, item.fingerprint] for item in self.data]
        identity["params"] = _drop_defaults(_later_params(self.method, self.version), self.params)
        identity["protocol"] = _drop_defaults(_later_rules(), self.protocol)
        if self.fold:
            identity["fold"] = self.fold.identity
        digest = hashlib.sha256(canonical_json({"schema": SCHEMA, **identity}).encode()).hexdigest()[:12]
        words = [_short(self.task), self.method, "".join(name[0] for name in self.modalities)]
        words += [f"f{self.fold.index}of{self.fold.count}"] if self.fold else []
        slug = re.sub(r"[^a-z0-9.-]+", "-", "-".join([*words, f"s{self.seed}", digest]).lower()).lstrip("-.")
        return slug if len(slug) <= _LONGEST else f"{slug[: _LONGEST - len(digest) - 1]}-{digest}"

    @property
    def modality_set(self) -> str:
        """The names of its modalities, such as ``text+audio``."""
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

    def value(self, name: str) -> Any:
        """The value of a parameter of the method, or of a field of the protocol (see ``RULE``)."""
        return self.protocol[name.removeprefix(RULE)] if name.startswith(RULE) else self.params[name]

    def with_values(self, values: Mapping[str, Any]) -> Job:
        """The job with other values of parameters and fields of the protocol, named as in ``value``."""
        rules = {name.removeprefix(RULE): value for name, value in values.items() if name.startswith(RULE)}
        params = {name: value for name, value in values.items() if not name.startswith(RULE)}
        return replace(self, params={**self.params, **params}, protocol={**self.protocol, **rules})

    def to_dict(self) -> dict[str, Any]:
        """The job as plain values, ready for JSON."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in _LATER:  # most jobs have none, and the files of the first did not name them
            if not values[name]:
                del values[name]
        copies = {"params": dict(self.params), "protocol": dict(self.protocol)}
        search = values.pop("search")
        part = {"search": dict(vars(search))} if search else {}
        part |= {"fold": self.fold.to_dict()} if self.fold else {}
        return {**values, **copies, "data": [vars(item) for item in self.data], **part}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Job:
        """The inverse of ``to_dict``."""
        data = tuple(Data(**item) for item in values["data"])
        part = values.get("search")
        search = Trial.from_dict(part) if part else None
        fold = Fold(**values["fold"]) if values.get("fold") else None
        lists = {"modalities": tuple(values["modalities"]), "data": data, "search": search, "fold": fold}
        return cls(**{**values, **lists})


#: The longest name of a folder that common file systems take, in bytes.
_LONGEST = 255


@lru_cache
def _short(task: str) -> str:
    """The name of a task in a folder's name; many domains of datasets are counted."""
    parsed = Task.parse(task)
    if "/" in task and len(parsed.sources) > 3:
        return f"{len(parsed.sources)}-domains-to-{parsed.target}"
    return task.replace("->", "-to-")


#: Fields that no result depends on.
NOT_IDENTITY = {"label", "rules", "metrics", "train_missing", "needs_domains", "search"}
#: Parts of the identity that came later, and are left out where a job has none.
_LATER = ("role", "fold")
_IDENTITY = [item.name for item in fields(Job) if item.name not in NOT_IDENTITY]


def _drop_defaults(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that differ from a default."""
    return {key: value for key, value in values.items() if key not in defaults or defaults[key] != value}


@lru_cache
def _later_rules() -> Mapping[str, Any]:
    from .protocol import LATER_RULES  # brings pydantic, which an import of this module does without

    return LATER_RULES


@lru_cache
def _later_params(method: str, version: str) -> Mapping[str, Any]:
    """Parameter -> default, of parameters that were added to a method of mmbench after it had results.

    A method from elsewhere has none, whether or not its plug-in is at hand: its version names a distribution or the
    hash of a file, so that a parameter that is added there makes new jobs in any case.

    Args:
        method: the registered name.
        version: as in ``Job``.
    """
    if method not in METHODS or not version.isdigit():
        return {}
    module, _, attribute = METHODS[method].partition(":")
    return describe(Entry(method, module, attribute)).later_defaults()


def canonical_json(value: Any) -> str:
    """JSON with one spelling for each value."""
    return _CANONICAL.encode(value)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
