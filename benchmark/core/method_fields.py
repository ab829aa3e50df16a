"""The parameters of a method: the fields of its ``Params``, as its source text has them, and their values as words."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import UsageError
from .limits import LIMITS, is_outside, limits_text, multiples_of
from .source_classes import SourceClass, lineage_of

#: The keyword arguments of ``searched`` with their defaults.
NO_RANGE: Mapping[str, Any] = {
    "low": None,
    "high": None,
    "digits": None,
    "choices": (),
    "nonzero": False,
    "log": False,
}

#: The step of a parameter that states none.
STEP: Mapping[str, int] = {"step": 1}


@dataclass(frozen=True)
class Field:
    """One parameter of a method.

    Attributes:
        name: as in ``Params``.
        default: its value where nothing else is asked for.
        search: the keyword arguments of ``searched`` (``low``, ``high``, ``digits``, ``choices``, ``nonzero``, ``log``) where the
            parameter has a range, else None.
        source: where the default and the range come from.
        since: the version of mmbench that added the parameter to a method that had results by then, else empty.
        choices: the only values that it can have, as its type ``Literal[...]`` names them; empty: any of its type.
        limits: which values can work (``limits``), those that are stated.
    """

    name: str
    default: Any
    search: Mapping[str, Any] | None = None
    source: str = ""
    since: str = ""
    choices: tuple[Any, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)


def all_fields(params: SourceClass) -> list[Field]:
    """The fields of a dataclass, its own before those of its bases. A field that it defines again has its own default.

    Raises:
        UsageError: a field is not as planning can read it, names a parameter that there is not, or states a default or a
            range of its search outside of its limits.
    """
    fields: dict[str, Field] = {}
    for one in lineage_of(params):
        for item in _own_fields(one.node, str(one.file.path)):
            fields.setdefault(item.name, item)
    for item in fields.values():
        _check_limits(item, fields, str(params.file.path))
    return list(fields.values())


def _check_limits(item: Field, fields: Mapping[str, Field], where: str) -> None:
    """Raises where limits name no parameter, or leave out the default or a part of what is searched."""
    most = item.limits.get("most")
    named = [("most", most)] if isinstance(most, str) else []
    for name, parameter in [*named, *(("divides", one) for one in multiples_of(item.limits))]:
        if parameter not in fields:
            raise UsageError(f"{where}: {name} of parameter {item.name} names no parameter: {parameter!r}")
    search = item.search or {}
    ends = search.get("choices") or [search[end] for end in ("low", "high") if search.get(end) is not None]
    if search.get("nonzero") and item.limits.get("above") == 0:
        ends = [end for end in ends if end != 0]  # a draw of 0 is drawn again
    values = {name: one.default for name, one in fields.items()}
    numbers = {name: value for name, value in item.limits.items() if not isinstance(value, str)}
    told = [("default", item.default, item.limits), *(("searched value", end, numbers) for end in ends)]
    for what, value, limits in told:
        if is_outside(value, limits, values):
            raise UsageError(
                f"{where}: the {what} of parameter {item.name}, {value!r}, is out of its range: {limits_text(limits)}"
            )


def _own_fields(node: ast.ClassDef, where: str) -> list[Field]:
    fields = []
    for item in node.body:
        if not (isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)):
            continue
        if "ClassVar" in ast.unparse(item.annotation):
            continue
        name = item.target.id
        if item.value is None:
            raise UsageError(f"{where}: parameter {name} has no default")
        try:
            one = replace(_field(name, item.value), choices=_choices(item.annotation))
            if one.choices and one.default not in one.choices:
                raise UsageError(f"{where}: the default of {name} is none of its choices {one.choices}")
            fields.append(one)
        except (ValueError, IndexError):
            raise UsageError(
                f"{where}: parameter {name} should be a literal, or fixed(...) or searched(...) of literals"
            ) from None
    return fields


def _field(name: str, value: ast.expr) -> Field:
    if not isinstance(value, ast.Call):
        return Field(name, ast.literal_eval(value))
    function = ast.unparse(value.func).rpartition(".")[2]
    arguments = {item.arg or "**": ast.literal_eval(item.value) for item in value.keywords}
    default = ast.literal_eval(value.args[0]) if value.args else arguments.pop("default")
    source, since = arguments.pop("source", ""), arguments.pop("since", "")
    given = {limit: arguments.pop(limit) for limit in LIMITS if limit in arguments}
    limits = {limit: value for limit, value in given.items() if value not in (None, "", STEP.get(limit))}
    if function == "searched":
        return Field(name, default, dict(NO_RANGE) | arguments, source, since, limits=limits)
    if function == "fixed" and not arguments:
        return Field(name, default, None, source, since, limits=limits)
    raise ValueError(function)


def _choices(annotation: ast.expr) -> tuple[Any, ...]:
    """The values of a type ``Literal[...]``; none of any other type."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    if (
        not isinstance(annotation, ast.Subscript)
        or ast.unparse(annotation.value).rpartition(".")[2] != "Literal"
    ):
        return ()
    values = ast.literal_eval(annotation.slice)
    return values if isinstance(values, tuple) else (values,)


def word(value: Any) -> str:
    """The value of a parameter as it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def like(default: Any, value: Any, where: str) -> Any:
    """A value as the type of a default; a text is read as a literal where the default is not a text.

    Args:
        default: of the parameter.
        value: what was asked for.
        where: the method and the parameter, for the message.

    Raises:
        UsageError: it is of another type.
    """
    if isinstance(value, str) and not isinstance(default, str):
        words = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
        try:
            value = words[value.lower()] if value.lower() in words else ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise UsageError(f"{where}: {value!r} is not of type {type(default).__name__}") from None
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where}: {value!r} is no number to compute with")
    if default is not None and type(value) is not type(default):
        raise UsageError(f"{where}: {value!r} is not of type {type(default).__name__}")
    return value
