"""What is asked for: the same model for flags, a YAML file and Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from .errors import UsageError, nearest
from .job import Task
from .suites import SUITES

PROTOCOLS: dict[str, dict[str, Any]] = {
    # One optimiser, one budget, one selection rule for every method.
    "fair": {},
    # The budget of MMDG-Bench's sentiment scripts: Adam without weight decay, gradient norm clipped at 0.8,
    # raw features, padding not masked.
    "as-published": {
        "epochs": 15,
        "batch_size": 24,
        "optimizer": "adam",
        "learning_rate": 1e-4,
        "schedule": "constant",
        "weight_decay": 0.0,
        "clip_norm": 0.8,
        "standardize": False,
    },
}

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"seeds": [0, 1, 2], "protocol": {"epochs": 6}},
    "standard": {},
}


class Protocol(BaseModel):
    """The rules that hold for every method of an experiment. All of it is part of a job's identity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Literal["fair", "as-published"] = Field(
        "fair", description="one rule for all, or each method's published deviations"
    )
    epochs: int = Field(20, ge=1, description="passes over the training data")
    batch_size: int = Field(32, ge=1, description="samples a step")
    optimizer: Literal["adamw", "adam"] = Field("adamw", description="the optimiser of every method")
    learning_rate: float = Field(1e-3, gt=0, description="learning rate at the start")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine", description="how the learning rate falls from epoch to epoch"
    )
    weight_decay: float = Field(1e-2, ge=0, description="weight decay")
    clip_norm: float = Field(1.0, ge=0, description="gradient norm is clipped here; 0 turns it off")
    standardize: bool = Field(
        True, description="z-score features by the source training split, cut off at 5 deviations"
    )
    selection: Literal["source-validation", "last"] = Field(
        "source-validation", description="which epoch is tested: never chosen by the target"
    )
    train_with_missing: Literal["off", "patterns", "spectrum"] = Field(
        "off", description="take modalities (patterns) or also frames at any rate (spectrum) away in training"
    )
    train_with_noise: Literal["off", "spectrum"] = Field(
        "off", description="add Gaussian noise of a random strength to the training features"
    )
    widths: Literal["strict", "project"] = Field(
        "strict", description="domains with other feature widths: an error, or a projection per domain"
    )
    held_out_classes: list[str] = Field(
        [], description="classes that are not trained on, and are told apart as OOD in the test"
    )

    @field_validator("held_out_classes", mode="before")
    @classmethod
    def _classes(cls, names: Any) -> list[str]:
        """In one order, so that it is one job however they are given; a number in YAML is a name."""
        return _unique(sorted(str(name) for name in as_list(names)), "held-out classes")


def as_list(value: Any) -> Any:
    """A comma-separated text as a list; commas in parentheses belong to their item."""
    if not isinstance(value, str):
        return value or []
    items, depth = [""], 0
    for character in value:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    return [item.strip() for item in items if item.strip()]


def as_seeds(value: Any) -> Any:
    """Seeds as a list; ``0-4`` is 0, 1, 2, 3, 4."""
    if isinstance(value, str):
        value = as_list(value)
    if not isinstance(value, list | tuple):
        return [] if value is None else [value]
    seeds: list[Any] = []
    for item in value:
        first, dash, last = str(item).partition("-")
        if dash and first.isdigit() and last.isdigit() and int(first) <= int(last) < int(first) + 10_000:
            seeds.extend(range(int(first), int(last) + 1))
        else:
            seeds.append(item)
    return seeds


def as_values(value: Any) -> Any:
    """``gpu,time=4h`` as a mapping; what has no value is the name of a profile."""
    items = as_list(value) if isinstance(value, str) else None
    if items is None:
        return value or {}
    pairs = [item.partition("=") for item in items]
    return {
        key.strip() if equals else "profile": (text if equals else key).strip() for key, equals, text in pairs
    }


Names = Annotated[list[str], BeforeValidator(as_list), Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Experiment(BaseModel):
    """The product of methods, tasks, modality sets and seeds, under one protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: Names = Field(description="method names; ebmc(emc=false) sets parameters")
    datasets: Names = Field(description="datasets (mosi) or shifts ('mosi+mosei->sims')")
    modalities: Names = Field(["all"], description="modality sets: all, T+A+V, text+audio, T")
    suite: str | None = Field(
        None, description="a published list of tasks, each with its modality sets, as datasets: mmdg"
    )
    seeds: Annotated[list[Seed], BeforeValidator(as_seeds), Field(min_length=1)] = Field(
        [0, 1, 2, 3, 4], description="one network each: 0,1,2 or 0-4"
    )
    preset: Literal["quick", "standard"] = Field(
        "standard", description="how much: quick is 3 seeds and 6 epochs"
    )
    corruptions: Annotated[list[str], BeforeValidator(as_list)] = Field(
        [], description="test under these too: features, missing-rates, reliability, or single kinds"
    )
    ood: Annotated[list[str], BeforeValidator(as_list)] = Field(
        [], description="datasets that the test data are to be told apart from"
    )
    protocol: Protocol = Field(
        default_factory=lambda: Protocol.model_validate({}), description="the rules; a name or a mapping"
    )
    store: Path = Field(Path("runs"), description="folder of the results")
    data_root: Path | None = Field(
        None, description="folder of the datasets; else $MMBENCH_DATA, else ./data"
    )
    data: dict[str, Path] = Field(default_factory=dict, description="where single datasets lie: name -> path")
    plugins: list[Path] = Field(default_factory=list, description="files that bring methods or datasets")
    launcher: Literal["local", "debug", "slurm"] = Field(
        "local", description="worker processes on this machine, this process, or SLURM's job arrays"
    )
    slurm: Annotated[dict[str, Any], BeforeValidator(as_values)] = Field(
        default_factory=dict,
        description="what each array task is given: a profile, partition=gpu,time=4h, or both",
    )
    bundle_time: str = Field("30m", description="how long an array task is to live: small jobs share one")
    workers: int | None = Field(
        None, ge=1, le=1024, description="jobs at a time; default: one a core, or one a GPU"
    )
    threads: int = Field(1, ge=1, le=1024, description="CPU threads a job")
    device: str = Field("auto", description="auto, cpu, cuda, or some GPUs: cuda:0,cuda:1")

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        """Preset below protocol's own defaults below what was given."""
        if not isinstance(values, Mapping):
            return values
        given = dict(values)
        suite = given.get("suite")
        if suite in SUITES and not given.get("datasets"):
            given["datasets"] = list(dict.fromkeys(item.name for item in SUITES[suite]()))
        preset = PRESETS.get(str(given.get("preset", "standard")), {})
        protocol = given.get("protocol", {})
        if isinstance(protocol, str):
            protocol = {"name": protocol}
        if isinstance(protocol, Protocol):
            protocol = protocol.model_dump()
        if isinstance(protocol, Mapping):
            named = PROTOCOLS.get(str(protocol.get("name", "fair")), {})
            given["protocol"] = {**named, **preset.get("protocol", {}), **protocol}
        return {**{key: value for key, value in preset.items() if key != "protocol"}, **given}

    @field_validator("store", "data_root", "plugins", "data")
    @classmethod
    def _home(cls, value: Any) -> Any:
        """``~`` is the home directory wherever a path is given."""
        if isinstance(value, Path):
            return value.expanduser()
        if isinstance(value, list):
            return [path.expanduser() for path in value]
        return {name: path.expanduser() for name, path in value.items()} if value else value

    @field_validator("datasets")
    @classmethod
    def _tasks(cls, names: list[str]) -> list[str]:
        return _unique([Task.parse(name).name for name in names], "datasets")

    @field_validator("suite")
    @classmethod
    def _suite(cls, name: str | None) -> str | None:
        if name is not None and name not in SUITES:
            raise ValueError(f"unknown suite {name!r}: {nearest(name, SUITES)}")
        return name

    def modalities_of(self, task: Task) -> list[str]:
        """The modality sets of a task: those of the suite, where it lists the task."""
        listed = SUITES[self.suite]() if self.suite else []
        return [item.modality_set for item in listed if item.task == task] or self.modalities

    @field_validator("methods", "seeds", "corruptions", "ood")
    @classmethod
    def _no_repeats(cls, values: list[Any]) -> list[Any]:
        return _unique(values, "the list")

    @property
    def tasks(self) -> list[Task]:
        """The tasks that ``datasets`` names."""
        return [Task.parse(name) for name in self.datasets]

    @property
    def root(self) -> Path:
        """Where datasets are looked for."""
        return self.data_root or default_data_root()

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Experiment:
        """Validates plain values.

        Raises:
            UsageError: one line that says which value is wrong and what is allowed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(_one_line(error)) from None

    @classmethod
    def load(cls, file: Path, overrides: Mapping[str, Any] | None = None) -> Experiment:
        """Reads a YAML file; ``overrides`` take the place of its values."""
        values = read_yaml(file)
        for key, value in (overrides or {}).items():
            inner = values.get(key)
            if isinstance(inner, str) and key == "protocol":
                inner = {"name": inner}
            if isinstance(value, Mapping) and isinstance(inner, Mapping):
                # Another protocol by name starts from its own values, not from those of the file's.
                other = key == "protocol" and value.get("name", inner.get("name")) != inner.get("name")
                value = value if other else {**inner, **value}
            values[key] = value
        try:
            return cls.read(values)
        except UsageError as error:
            raise UsageError(f"{file}: {error}") from None

    def save(self, file: Path) -> None:
        """Writes the YAML file that ``load`` reads back as the same experiment."""
        file.parent.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(self.asked(), sort_keys=False, allow_unicode=True)
        file.write_text(text, encoding="utf-8")

    def asked(self) -> dict[str, Any]:
        """What must be given to get this experiment: what its preset and protocol imply is left out."""
        values = self.model_dump(mode="json")
        least = {key: values[key] for key in ("methods", "datasets", "preset")}
        implied = Experiment.read({**least, "protocol": self.protocol.name}).model_dump(mode="json")
        protocol = {
            key: value
            for key, value in values["protocol"].items()
            if key == "name" or value != implied["protocol"][key]
        }
        kept = {key: value for key, value in values.items() if key in least or value != implied[key]}
        return {**kept, "protocol": protocol}


def protocol_label(values: Mapping[str, Any]) -> str:
    """The name of a protocol and what of it was changed: ``fair`` or ``fair (epochs=5)``."""
    defaults = Protocol.model_validate({**PROTOCOLS[values["name"]], "name": values["name"]}).model_dump()
    changed = ", ".join(
        f"{key}={'+'.join(value) if isinstance(value, list) else value}"
        for key, value in values.items()
        if value != defaults.get(key)
    )
    return f"{values['name']} ({changed})" if changed else values["name"]


def default_data_root() -> Path:
    """``$MMBENCH_DATA``, else ``data`` in the working directory."""
    return Path(os.environ.get("MMBENCH_DATA") or "data").expanduser()


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UsageError: it cannot be read or holds something else.
    """
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{file}: should hold names and values, such as 'methods: [erm, ebmc]'")
    return values


def _unique(values: list[Any], what: str) -> list[Any]:
    repeated = [value for place, value in enumerate(values) if value in values[:place]]
    if repeated:
        raise ValueError(f"{what} names {repeated[0]!r} twice")
    return values


def _one_line(error: ValidationError) -> str:
    """The first fault of a validation, in words."""
    fault = error.errors()[0]
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        model = Protocol if fault["loc"][0] == "protocol" else Experiment
        return f"unknown option {place!r}: {nearest(str(fault['loc'][-1]), model.model_fields)}"
    if fault["type"] == "missing":
        return f"{place} is not given: say which, for example --{place} {_EXAMPLES.get(place, '...')}"
    if fault["type"] == "too_short":
        return f"{place} is empty: give at least one, for example --{place} {_EXAMPLES.get(place, '...')}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place.replace('_', ' ')}: {message}" + (
        "" if fault["type"] == "value_error" else f", not {fault['input']!r}"
    )


_EXAMPLES = {"methods": "erm,ebmc", "datasets": "mosi", "seeds": "0-4", "modalities": "all"}
