"""A method's parameters, read from its source text, so that planning a run imports no network.

The fields of ``Params`` are literals (``mmbench check method`` says so where they are not), which is why
this is exact: the conformance test compares what is read here with the imported class.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import UsageError, nearest
from .registry import Entry


@dataclass(frozen=True)
class Field:
    """One parameter: its default, where it is searched, and where both come from."""

    name: str
    default: Any
    search: Mapping[str, Any] | None = None
    source: str = ""


@dataclass(frozen=True)
class Description:
    """What the source of a method says about it."""

    name: str
    summary: str
    docstring: str
    version: int
    train_missing: str
    needs_domains: int
    as_published: Mapping[str, Any]
    as_published_in: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rules_as_published: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fields: tuple[Field, ...] = field(default=())

    def defaults(self, protocol: str = "fair", family: str = "") -> dict[str, Any]:
        """Parameter -> what it is where nothing else is asked for; as published, in a family of tasks."""
        published: Mapping[str, Any] = {}
        if protocol == "as-published":
            published = {**self.as_published, **self.as_published_in.get(family, {})}
        return {item.name: published.get(item.name, item.default) for item in self.fields}

    def published(self, parameter: str) -> str:
        """What a parameter is under ``as-published``, in words, by family where they differ; else nothing."""
        families = {f: own[parameter] for f, own in self.as_published_in.items() if parameter in own}
        found = [f"{family}: {value}" for family, value in families.items()]
        if parameter in self.as_published:
            found.insert(0, str(self.as_published[parameter]))
        return ", ".join(found)

    def resolve(
        self, overrides: Mapping[str, Any], protocol: str = "fair", family: str = ""
    ) -> dict[str, Any]:
        """All parameters, with ``overrides`` in place of the defaults.

        Raises:
            UsageError: an unknown parameter, or a value of another type than the default.
        """
        values = self.defaults(protocol, family)
        for name, value in overrides.items():
            if name not in values:
                raise UsageError(f"method {self.name} has no parameter {name!r}: {nearest(name, values)}")
            values[name] = _like(values[name], value, f"method {self.name}, parameter {name}")
        return values


def describe(entry: Entry) -> Description:
    """Reads the description of a method from the file that defines it."""
    return _describe(entry.name, entry.source(), entry.attribute)


@lru_cache
def _describe(name: str, source: Path, attribute: str) -> Description:
    try:
        tree = ast.parse(source.read_text(encoding="utf-8"), filename=str(source))
    except (OSError, SyntaxError) as error:
        raise UsageError(f"method {name}: {source}: {error}") from None
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if attribute not in classes:
        raise UsageError(f"method {name}: {source} defines no class {attribute}")
    method = classes[attribute]
    params = _class_value(method, "Params")
    inner = [node for node in method.body if isinstance(node, ast.ClassDef) and node.name == "Params"]
    if isinstance(params, ast.Name) and params.id in classes:
        inner = [classes[params.id]]
    elif params is not None:
        raise UsageError(f"method {name}: Params should be a dataclass in {source}")
    if not inner and params is None and [ast.unparse(base) for base in method.bases] != ["Method"]:
        raise UsageError(
            f"method {name}: {source}: class {attribute} should say Params itself, "
            "also where it takes them from its base"
        )
    own = ast.get_docstring(method) or ""
    told = [ast.get_docstring(tree) or "", own, (ast.get_docstring(inner[0]) or "") if inner else ""]
    return Description(
        name=name,
        summary=(own or told[0]).partition("\n")[0],
        docstring="\n\n".join(text for text in told if text),
        version=_literal(_class_value(method, "version"), 1),
        train_missing=_literal(_class_value(method, "train_missing"), "none"),
        needs_domains=_literal(_class_value(method, "needs_domains"), 1),
        as_published=_literal(_class_value(method, "as_published"), {}),
        as_published_in=_literal(_class_value(method, "as_published_in"), {}),
        rules_as_published=_literal(_class_value(method, "rules_as_published"), {}),
        fields=tuple(_fields(inner[0], f"method {name}: {source}")) if inner else (),
    )


def _class_value(node: ast.ClassDef, name: str) -> ast.expr | None:
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id == name:
            return item.value
        if isinstance(item, ast.Assign) and [ast.unparse(target) for target in item.targets] == [name]:
            return item.value
    return None


def _literal(node: ast.expr | None, default: Any) -> Any:
    return default if node is None else ast.literal_eval(node)


def _fields(node: ast.ClassDef, where: str) -> list[Field]:
    found = []
    for item in node.body:
        if not (isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)):
            continue
        name = item.target.id
        if item.value is None:
            raise UsageError(f"{where}: parameter {name} has no default")
        try:
            found.append(_field(name, item.value))
        except (ValueError, IndexError):
            raise UsageError(
                f"{where}: parameter {name} should be a literal, or fixed(...) or searched(...) of literals"
            ) from None
    return found


def _field(name: str, value: ast.expr) -> Field:
    if not isinstance(value, ast.Call):
        return Field(name, ast.literal_eval(value))
    function = ast.unparse(value.func).rpartition(".")[2]
    arguments = {item.arg or "**": ast.literal_eval(item.value) for item in value.keywords}
    default = ast.literal_eval(value.args[0]) if value.args else arguments.pop("default")
    source = arguments.pop("source", "")
    if function == "searched":
        search = {"low": None, "high": None, "digits": None, "choices": ()} | arguments
        return Field(name, default, search, source)
    if function == "fixed" and not arguments:
        return Field(name, default, None, source)
    raise ValueError(function)


def word(value: Any) -> str:
    """The value of a parameter as it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _like(default: Any, value: Any, where: str) -> Any:
    """``value`` as the type of ``default``; a text is read as a literal where the default is not a text."""
    if isinstance(value, str) and not isinstance(default, str):
        words = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
        try:
            value = words[value.lower()] if value.lower() in words else ast.literal_eval(value)
        except (ValueError, SyntaxError):
            raise UsageError(f"{where}: {value!r} is not of type {type(default).__name__}") from None
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if default is not None and type(value) is not type(default):
        raise UsageError(f"{where}: {value!r} is not of type {type(default).__name__}")
    return value
