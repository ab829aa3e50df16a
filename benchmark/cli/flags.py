"""The flags of ``run`` and ``plan``: one for every field of the experiment, so that both say the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from ..core.errors import UsageError
from ..core.protocol import Protocol
from ..core.strings import as_list
from ..planning.experiment import Experiment, Search
from ..planning.loggers import LOGGERS
from .completion import COMPLETIONS, Completion, completed
from .options import PLUGIN_HELP, plugin_files

#: Fields whose flag has another name.
_FLAGS = {
    "plugins": "plugin",
    "name": "protocol",
    "train_with_missing": "train-missing",
    "train_with_noise": "train-noise",
    "rules": "search",
}
#: Fields that are lists: their flags may be repeated, and their values add up.
_LISTS = (
    "methods",
    "datasets",
    "modalities",
    "seeds",
    "corruptions",
    "ood",
    "held_out_classes",
    "rules",
    "logger",
    "data",
    "plugins",
)
#: Fields whose flag stands alone.
_SWITCHES = ("oracle", "diagnostics", "contribution", "imputation", "measure")
_PANELS = {
    "What to compare": (
        "methods",
        "datasets",
        "modalities",
        "suite",
        "seeds",
        "folds",
        "fold_group",
        "fold_parts",
        "preset",
        "oracle",
    ),
    "What to test under": ("corruptions", "ood", "diagnostics", "contribution", "imputation", "measure"),
    "Search of hyper-parameters (the same budget for every method)": tuple(Search.model_fields),
    "Protocol (the same for every method)": tuple(Protocol.model_fields),
    "Where and how": (
        "store",
        "data_root",
        "data",
        "plugins",
        "logger",
        "launcher",
        "slurm",
        "bundle_time",
        "workers",
        "threads",
        "device",
    ),
}


def with_experiment(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command, whose first parameter is the experiment, the flags of one, and ``--config``."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    def wrapper(**given: Any) -> None:
        rest = {parameter.name: given.pop(parameter.name) for parameter in own}
        command(experiment_from(given.pop("config"), given), **rest)

    config = Annotated[
        Path | None,
        typer.Option("--config", help="A YAML file with any of these; flags take the place of its values."),
    ]
    parameters = [
        *(_parameter(name, panel) for panel, names in _PANELS.items() for name in names),
        inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=config),
        *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
    ]
    wrapper.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
    return wrapper


def experiment_from(
    config: Path | None, flags: Mapping[str, str | bool | Sequence[str] | None]
) -> Experiment:
    """The experiment that a YAML file and flags describe.

    Args:
        config: the file.
        flags: field -> what was given; the values of a flag that was repeated are a list.

    Raises:
        UsageError: a value is wrong; the message says which and what is allowed.
    """
    values: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {"protocol": {}, "search": {}}
    for name, value in flags.items():
        if value is None or value == []:
            continue
        text = value if isinstance(value, str | bool) else ",".join(value)
        if name in Protocol.model_fields:
            parts["protocol"][name] = text
        elif name in Search.model_fields:
            parts["search"][name] = text
        elif name == "data":
            values[name] = _places(str(text))
        elif name == "plugins":
            values[name] = list(plugin_files(text if isinstance(text, list) else [str(text)]))
        else:
            values[name] = text
    values |= {name: part for name, part in parts.items() if part}
    return Experiment.load(config, values) if config else Experiment.read(values)


def _places(text: str) -> dict[str, str]:
    places = {}
    for item in as_list(text):
        name, equals, path = item.partition("=")
        if not equals or not name.strip() or not path.strip():
            raise UsageError(
                f"--data {text!r}: write NAME=PATH, for example --data mosi=/data/mosi/aligned_50.pkl"
            )
        places[name.strip()] = path.strip()
    return places


def _parameter(name: str, panel: str) -> inspect.Parameter:
    known: dict[str, FieldInfo] = {**Experiment.model_fields, **Search.model_fields, **Protocol.model_fields}
    field = known[name]
    flag = "--" + _FLAGS.get(name, name).replace("_", "-")
    if name in _SWITCHES:
        switch = typer.Option(flag, help=_help(field), rich_help_panel=panel, show_default=False)
        kind = Annotated[bool | None, switch]
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
    if name == "plugins":
        option = typer.Option(
            flag, help=PLUGIN_HELP, rich_help_panel=panel, show_default=False, metavar="FILE.py"
        )
        kind = Annotated[list[str] | None, option]
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
    option = typer.Option(
        flag,
        help=_help(field),
        rich_help_panel=panel,
        show_default=False,
        metavar=_metavar(name, field),
        autocompletion=COMPLETIONS.get(name) or _completion_of(field),
    )
    values: Any = Annotated[list[str] | None, option] if name in _LISTS else Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=values)


def _completion_of(field: FieldInfo) -> Completion | None:
    """Completes the choices of a field that takes nothing else."""
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return (lambda incomplete: completed(incomplete, choices)) if choices else None


_TYPES: dict[Any, str] = {int: "N", int | None: "N", float: "NUMBER", bool: "true|false"}


def _help(field: FieldInfo) -> str:
    text = field.description or ""
    default = field.get_default(call_default_factory=True) if not field.is_required() else None
    if isinstance(default, list):
        default = ",".join(map(str, default))
    shown = "" if default in (None, "", {}) else f" [dim]\\[{str(default).lower()}][/]"
    return text[:1].upper() + text[1:] + "." + shown


def _metavar(name: str, field: FieldInfo) -> str:
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    if choices:
        return "|".join(choices)
    return {
        "methods": "M,M,...",
        "datasets": "D,D,...",
        "modalities": "SET,SET,...",
        "seeds": "N,N|N-N",
        "folds": "N|leave-one-out",
        "fold_group": "GROUP",
        "corruptions": "C,C,...",
        "ood": "D,D,...",
        "held_out_classes": "C,C,...",
        "rules": "FIELD,FIELD,...",
        "logger": "|".join(LOGGERS) + ",...",
        "class_weights": "off|balanced|C=WEIGHT,...",
        "train_with_missing": "off|patterns|spectrum|M=RATE,...",
        "store": "FOLDER",
        "data_root": "FOLDER",
        "data": "NAME=PATH,...",
        "launcher": "NAME",
        "slurm": "PROFILE|KEY=VALUE,...",
        "bundle_time": "TIME",
    }.get(name, _TYPES.get(field.annotation, "VALUE"))
