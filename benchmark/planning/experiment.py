"""The experiment: the same model for flags, a YAML file and Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ..core.errors import UsageError, nearest
from ..core.fold import AUTO, LEAVE_ONE_OUT, as_folds
from ..core.locate import default_data_root
from ..core.plain_yaml import PlainYamlError, plain_yaml_text, read_plain_yaml
from ..core.protocol import SEARCHED_RULES, Protocol
from ..core.strings import as_list, as_seeds, as_values, unique
from ..core.task import Task
from .loggers import LOGGERS
from .option_faults import fault_in_words
from .suites import QUICK, SUITES, suite_tasks

PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"seeds": [0, 1, 2], "protocol": {"epochs": 6}},
    "standard": {},
    # The search of MMDG-Bench, for every method: the default, 10 draws, and the best of them twice more.
    "paper": {"search": {"draws": 10, "repeats": 2}},
}


class Search(BaseModel):
    """How hyper-parameters are searched: the same budget for every method, on every task."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    draws: int = Field(
        10, ge=0, lt=10_000, description="configurations that are tried beside the default; asks for a search"
    )
    repeats: int = Field(
        2, ge=0, lt=10_000, description="further seeds of the configuration that source validation chose"
    )
    sampler: Literal["random", "tpe"] = Field(
        "random", description="how configurations are drawn: independently, or by what was found before"
    )
    pruner: Literal["none", "median"] = Field(
        "none", description="end a trial early where it is worse than the median of the first ones"
    )
    rules: Annotated[list[str], BeforeValidator(as_list)] = Field(
        [],
        description="search these fields of the protocol too, by the same draws for every method: "
        + ", ".join(sorted(SEARCHED_RULES)),
    )

    @field_validator("rules")
    @classmethod
    def _rules(cls, names: list[str]) -> list[str]:
        names = [name.replace("-", "_") for name in names]
        for name in names:
            if name not in SEARCHED_RULES:
                raise ValueError(f"{name!r} has no range to search: {nearest(name, SEARCHED_RULES)}")
        return unique(sorted(names), "the list")


Names = Annotated[list[str], BeforeValidator(as_list), Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Experiment(BaseModel):
    """The product of methods, tasks, modality sets and seeds, under one protocol."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    methods: Names = Field(
        description="method names; ebmc(emc=false) sets parameters, ebmc+controls adds what a method is to be compared "
        "with; all (the default of a suite) is every one"
    )
    datasets: Names = Field(description="datasets (mosi) or shifts ('mosi+mosei->sims')")
    modalities: Names = Field(["all"], description="modality sets: all, T+A+V, text+audio, T")
    suite: str | None = Field(
        None,
        description="a published list of tasks, each with its modality sets, as datasets: mmdg; under quick, one "
        "task of each family of datasets and what it is tested under",
    )
    seeds: Annotated[list[Seed], BeforeValidator(as_seeds), Field(min_length=1)] = Field(
        [0, 1, 2, 3, 4], description="one network each: 0,1,2 or 0-4"
    )
    folds: Annotated[int | str, BeforeValidator(as_folds)] = Field(
        0,
        description=f"cross-validation: divide all samples of each dataset into so many folds by class, whatever parts it "
        f"states; {LEAVE_ONE_OUT} is one fold a group",
    )
    fold_group: str = Field(
        AUTO,
        description="what lies in one fold as a whole: video, domain, or as the dataset names it; none: single samples; "
        "auto: the group that the dataset names, if any",
    )
    fold_parts: Literal["all", "train+valid", "train+valid/test"] = Field(
        "all",
        description="what is divided: all samples, or those of the training and validation parts alone, so that the test "
        "part stays untouched; train+valid/test: these, each fold validates, and the test part tests every network",
    )
    preset: Literal["quick", "standard", "paper"] = Field(
        "standard", description="how much: quick is 3 seeds and 6 epochs, paper a search with 10 draws"
    )
    oracle: bool = Field(
        False, description="also train erm on each shift's target itself: an upper bound, shown apart"
    )
    search: Search | None = Field(None, description="the search of hyper-parameters; without one, defaults")
    corruptions: Annotated[list[str], BeforeValidator(as_list)] = Field(
        [],
        description="test under these too: features, missing-rates, reliability, single kinds, or mask:NAME; "
        "missing-rates(text=0.3,audio=0.7): each modality at a rate of its own",
    )
    ood: Annotated[list[str], BeforeValidator(as_list)] = Field(
        [], description="datasets that the test data are to be told apart from"
    )
    diagnostics: bool = Field(
        False,
        description="keep what methods tell of their mechanism, such as gates and reliabilities, for every sample and "
        "all that is tested under; for leaderboard --what mechanism",
    )
    measure: bool = Field(
        False,
        description="count the operations of a prediction and time it, of every network that is trained; for leaderboard "
        "--what cost",
    )
    contribution: bool = Field(
        False,
        description="fit a linear probe on the embedding of each encoder, and keep the gradient norms of encoders of every "
        "network that is trained; for leaderboard --what contribution",
    )
    imputation: bool = Field(
        False,
        description="hide observed entries of the test data from what fills series (--impute, trace, csdi) and keep its "
        "errors; for leaderboard --what imputation",
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
    launcher: str = Field(
        "local",
        description="local: worker processes on this machine; debug: this process; slurm: job arrays; or one that "
        "a plug-in brings",
    )
    slurm: Annotated[dict[str, Any], BeforeValidator(as_values)] = Field(
        default_factory=dict,
        description="what each array task is given: a profile, partition=gpu,time=4h, or both",
    )
    logger: Annotated[list[str], BeforeValidator(as_list)] = Field(
        [],
        description="tell these of every epoch, too, from below loggers/ in the store: " + ", ".join(LOGGERS),
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
        """Fills in values that were not given: from the preset first, then the protocol's own defaults."""
        if not isinstance(values, Mapping):
            return values
        given = dict(values)
        suite = given.get("suite")
        named = str(given.get("preset", "standard"))
        preset = PRESETS.get(named, {})
        if isinstance(suite, str) and suite in SUITES:
            given.setdefault("methods", ["all"])
            if not given.get("datasets"):
                given["datasets"] = list(dict.fromkeys(item.name for item in suite_tasks(suite, named)))
                if named == "quick":
                    quick = QUICK[suite]
                    preset = {**preset, "corruptions": list(quick.corruptions), "ood": list(quick.ood)}
                    preset["protocol"] = {**preset["protocol"], "epochs": quick.epochs}
        protocol = given.get("protocol", {})
        if isinstance(protocol, str):
            protocol = {"name": protocol}
        if isinstance(protocol, Protocol):
            protocol = protocol.model_dump(exclude_unset=True)
        if isinstance(protocol, Mapping):
            given["protocol"] = {**preset.get("protocol", {}), **protocol}
        search = given.get("search") or {}
        if isinstance(search, Mapping) and (search or "search" in preset):
            given["search"] = {**preset.get("search", {}), **search}
            if given.get("seeds"):
                raise ValueError("a search draws its own seeds: leave out --seeds, or the search")
        return {**{key: value for key, value in preset.items() if key not in ("protocol", "search")}, **given}

    @model_validator(mode="after")
    def _bounds_without_search(self) -> Experiment:
        if self.oracle and self.search:
            raise ValueError(
                "--oracle and a search cannot be asked for together: run --oracle without the search"
            )
        if self.fold_group != AUTO and not self.folds:
            raise ValueError(f"--fold-group {self.fold_group} says nothing without --folds: add --folds 5")
        if self.fold_parts != "all" and not self.folds:
            raise ValueError(f"--fold-parts {self.fold_parts} says nothing without --folds: add --folds 5")
        return self

    @field_validator("store", "data_root", "plugins", "data")
    @classmethod
    def _home(cls, value: Any) -> Any:
        """Replaces ``~`` by the home directory wherever a path is given."""
        if isinstance(value, Path):
            return value.expanduser()
        if isinstance(value, list):
            return [path.expanduser() for path in value]
        return {name: path.expanduser() for name, path in value.items()} if value else value

    @field_validator("datasets")
    @classmethod
    def _tasks(cls, names: list[str]) -> list[str]:
        return unique([Task.parse(name).name for name in names], "datasets")

    @field_validator("device")
    @classmethod
    def _device(cls, text: str) -> str:
        """What can be said without the machine that the jobs will run on."""
        items = [item.strip().removeprefix("cuda:") for item in text.split(",")]
        named = text.startswith("cuda") and all(item.isdigit() for item in items if item != "cuda")
        if text not in ("auto", "cpu") and not named:
            raise ValueError(f"{text!r}: write auto, cpu, cuda, or cuda:0,cuda:1")
        return text

    @field_validator("suite")
    @classmethod
    def _suite(cls, name: str | None) -> str | None:
        if name is not None and name not in SUITES:
            raise ValueError(f"unknown suite {name!r}: {nearest(name, SUITES)}")
        return name

    def modalities_of(self, task: Task) -> list[str]:
        """The modality sets of a task: those of the suite, where it lists the task."""
        listed = suite_tasks(self.suite, self.preset) if self.suite else []
        return [item.modality_set for item in listed if item.task == task] or self.modalities

    @field_validator("logger")
    @classmethod
    def _loggers(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in LOGGERS:
                raise ValueError(f"unknown logger {name!r}: {nearest(name, LOGGERS)}")
        return unique(names, "the list")

    @field_validator("methods", "seeds", "corruptions", "ood")
    @classmethod
    def _no_repeats(cls, values: list[Any]) -> list[Any]:
        return unique(values, "the list")

    @property
    def tasks(self) -> list[Task]:
        """The tasks that ``datasets`` names."""
        return [Task.parse(name) for name in self.datasets]

    @property
    def root(self) -> Path:
        """The folder of the datasets."""
        return self.data_root or default_data_root()

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Experiment:
        """The experiment that plain values describe, validated.

        Raises:
            UsageError: one line that says which value is wrong and what is allowed.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(fault_in_words(error, cls, {"protocol": Protocol, "search": Search})) from None

    @classmethod
    def load(cls, file: Path, overrides: Mapping[str, Any] | None = None) -> Experiment:
        """Reads the experiment in a YAML file.

        Args:
            file: the YAML file.
            overrides: field -> value, in place of the file's; of ``protocol`` and ``search`` single fields.

        Raises:
            UsageError: the file cannot be read, or a value is wrong.
        """
        values = read_experiment_file(file)
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
        text = plain_yaml_text(self.given_values())
        file.write_text(text, encoding="utf-8")

    def given_values(self) -> dict[str, Any]:
        """The values that describe this experiment, without those that its preset and protocol imply."""
        values = self.model_dump(mode="json")
        least = {key: values[key] for key in ("methods", "datasets", "preset")}
        implied = Experiment.read({**least, "protocol": self.protocol.name}).model_dump(mode="json")
        # As published, a value is asked for even where it is the one of `fair`.
        preset = PRESETS[self.preset].get("protocol", {})
        known = implied["protocol"] if self.protocol.name == "fair" else preset
        protocol = {
            key: value
            for key, value in self.protocol.model_dump(mode="json", exclude_unset=True).items()
            if key == "name" or key not in known or value != known[key]
        }
        kept = {key: value for key, value in values.items() if key in least or value != implied[key]}
        return {**kept, "protocol": protocol}


def read_experiment_file(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        UsageError: it cannot be read or holds something else.
    """
    try:
        values = read_plain_yaml(file)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror or error}") from None
    except PlainYamlError as error:
        raise UsageError(f"{file}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{file}: should hold names and values, such as 'methods: [erm, ebmc]'")
    return values
