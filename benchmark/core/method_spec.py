"""A method's parameters, read from its source text, so that planning a run imports no network.

The fields of ``Params`` are literals (``mmbench check method`` says so where they are not), which is why this is
exact: the conformance test compares what is read here with the imported class. Base classes are followed, of a
method and of its ``Params``, through the imports of mmbench and of the package that the method is in; the source
of any other package is not opened.
"""

from __future__ import annotations

import ast
import importlib.util
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...methods import NETWORK_VERSION
from .errors import UsageError, nearest
from .registry import Entry


@dataclass(frozen=True)
class Field:
    """One parameter of a method.

    Attributes:
        name: as in ``Params``.
        default: its value where nothing else is asked for.
        search: the keyword arguments of ``searched`` (``low``, ``high``, ``digits``, ``choices``, ``nonzero``) where the parameter
            has a range, else None.
        source: where the default and the range come from.
        since: the version of mmbench that added the parameter to a method that had results by then, else empty.
        choices: the only values that it can have, as its type ``Literal[...]`` names them; empty: any of its type.
    """

    name: str
    default: Any
    search: Mapping[str, Any] | None = None
    source: str = ""
    since: str = ""
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class MethodDescription:
    """The description of a method, read from its source.

    Attributes:
        name: the registered name.
        summary: the first line of its docstring.
        docstring: those of its file, its class and its ``Params``.
        version, train_missing, needs_domains, as_published, as_published_in, rules_as_published, libraries,
            weighs_classes, kinds, departures, reads_media, model_params, uses_conversation, reads_tokens, controls,
            needs_modalities: as in ``Method``.
        fields: its parameters, its own before those of bases.
    """

    name: str
    summary: str
    docstring: str
    version: int
    train_missing: str
    needs_domains: int
    as_published: Mapping[str, Any]
    as_published_in: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rules_as_published: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    weighs_classes: bool = True
    kinds: tuple[str, ...] = ("regression", "classification")
    departures: Mapping[str, str] | None = None
    reads_media: bool = False
    model_params: tuple[str, ...] = ()
    uses_conversation: bool = False
    reads_tokens: bool = False
    controls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needs_modalities: int = 1
    fields: tuple[Field, ...] = field(default=())

    def defaults(self, protocol: str = "fair", family: str = "", dataset: str = "") -> dict[str, Any]:
        """The defaults of all parameters.

        Args:
            protocol: ``"fair"`` or ``"as-published"``.
            family: of tasks, as ``as_published.family_of`` names it; only ``as-published`` differs by it.
            dataset: that of the target, whose own values go before those of the family.

        Returns:
            Parameter -> value.
        """
        published: Mapping[str, Any] = {}
        if protocol == "as-published":
            own = {**self.as_published_in.get(family, {}), **self.as_published_in.get(dataset, {})}
            published = {**self.as_published, **own}
        return {item.name: published.get(item.name, item.default) for item in self.fields}

    def job_version(self, entry: Entry) -> str:
        """The version that jobs of the method have: its own, raised with the shared networks (``NETWORK_VERSION``).

        Args:
            entry: the method; where it is not mmbench's own, its origin follows the number.
        """
        number = str(self.version + NETWORK_VERSION)
        return number if entry.origin == "mmbench" else f"{number} of {entry.origin}"

    def later_defaults(self) -> dict[str, Any]:
        """Parameter -> default, of the parameters that were added after the method had results."""
        return {item.name: item.default for item in self.fields if item.since}

    def published_value(self, parameter: str) -> str:
        """The value of a parameter under ``as-published``, as text, by family or dataset where these differ; empty without one."""
        families = {f: own[parameter] for f, own in self.as_published_in.items() if parameter in own}
        words = [f"{family}: {value}" for family, value in families.items()]
        if parameter in self.as_published:
            words.insert(0, str(self.as_published[parameter]))
        return ", ".join(words)

    def rules(self, family: str, dataset: str = "") -> dict[str, Any]:
        """The fields of the protocol that its own script decides; those of the dataset go before those of the family.

        Args:
            family, dataset: as in ``defaults``.
        """
        return {**self.rules_as_published.get(family, {}), **self.rules_as_published.get(dataset, {})}

    def resolve(
        self, overrides: Mapping[str, Any], protocol: str = "fair", family: str = "", dataset: str = ""
    ) -> dict[str, Any]:
        """The value of every parameter of a job.

        Args:
            overrides: parameter -> what was asked for in place of the default.
            protocol, family, dataset: as in ``defaults``.

        Raises:
            UsageError: an unknown parameter, a value of another type than the default, or none of its choices.
        """
        values = self.defaults(protocol, family, dataset)
        choices = {item.name: item.choices for item in self.fields}
        for name, value in overrides.items():
            if name not in values:
                raise UsageError(f"method {self.name} has no parameter {name!r}: {nearest(name, values)}")
            where = f"method {self.name}, parameter {name}"
            values[name] = _like(values[name], value, where)
            if choices[name] and values[name] not in choices[name]:
                words = map(word, choices[name])
                raise UsageError(f"{where}: {value!r} is none of its values: {nearest(word(value), words)}")
        return values


def describe(entry: Entry) -> MethodDescription:
    """Reads the description of a method from the file that defines it."""
    return _describe(entry.name, entry.source(), "" if entry.is_file else entry.module, entry.attribute)


@lru_cache
def _describe(name: str, source: Path, module: str, attribute: str) -> MethodDescription:
    try:
        return _read_description(name, source, module, attribute)
    except UsageError as error:
        raise UsageError(f"method {name}: {error}") from None
    except (OSError, SyntaxError) as error:
        raise UsageError(f"method {name}: {source}: {error}") from None


def _read_description(name: str, source: Path, module: str, attribute: str) -> MethodDescription:
    file = _read(source, module)
    if attribute not in file.classes:
        raise UsageError(f"{source} defines no class {attribute}")
    method = _Class(file, file.classes[attribute])
    lineage = list(_lineage(method))
    params = _params(lineage)
    fields = tuple(_all_fields(params))
    nodes = (file.tree, method.node, *([params.node] if fields else []))
    docstrings = [ast.get_docstring(node) for node in nodes]

    def literal(attribute: str, default: Any, classes: list[_Class] = lineage) -> Any:
        values = (_class_value(one.node, attribute) for one in classes)
        node = next((value for value in values if value is not None), None)
        try:
            return default if node is None else ast.literal_eval(node)
        except ValueError:
            raise UsageError(f"{source}: {attribute} should be a literal") from None

    return MethodDescription(
        name=name,
        summary=(docstrings[1] or docstrings[0] or "").partition("\n")[0],
        docstring="\n\n".join(text for text in docstrings if text),
        version=literal("version", 1),
        train_missing=literal("train_missing", "none"),
        needs_domains=literal("needs_domains", 1),
        as_published=literal("as_published", {}),
        # What a method's own script did holds for no method that derives from it.
        as_published_in=literal("as_published_in", {}, [method]),
        rules_as_published=literal("rules_as_published", {}, [method]),
        libraries=literal("libraries", ()),
        weighs_classes=literal("weighs_classes", True),
        kinds=literal("kinds", ("regression", "classification"), [method]),
        departures=literal("departures", None, [method]),
        reads_media=literal("reads_media", False),
        model_params=literal("model_params", ()),
        uses_conversation=literal("uses_conversation", False),
        reads_tokens=literal("reads_tokens", False),
        controls=literal("controls", {}, [method]),
        needs_modalities=literal("needs_modalities", 1),
        fields=fields,
    )


# --- classes and their bases ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _File:
    """A source file.

    Attributes:
        path: where it lies.
        module: its dotted name, empty for a plug-in file.
        tree: its text, parsed.
        classes: those that it defines, by name.
        imports: name in the file -> dotted name of what it was imported as.
    """

    path: Path
    module: str
    tree: ast.Module
    classes: Mapping[str, ast.ClassDef]
    imports: Mapping[str, str]


@dataclass(frozen=True)
class _Class:
    file: _File
    node: ast.ClassDef


@lru_cache
def _read(path: Path, module: str) -> _File:
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]  # `import a.b` binds `a`
                imports[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and (package or not node.level):
            name = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            imports |= {alias.asname or alias.name: f"{name}.{alias.name}" for alias in node.names}
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    return _File(path, module, tree, classes, imports)


def _find(file: _File, name: str) -> _Class | None:
    """The class that a name stands for in a file; None where it is of a package whose source is not read."""
    if name in file.classes:
        return _Class(file, file.classes[name])
    first, _, rest = name.partition(".")
    if first not in file.imports:
        return None
    module, _, attribute = f"{file.imports[first]}.{rest}".rstrip(".").rpartition(".")
    if module.partition(".")[0] not in {"mmbench", file.module.partition(".")[0]} - {""}:
        return None
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        return None
    if spec is None or spec.origin is None:
        return None
    return _find(_read(Path(spec.origin), module), attribute)


def _lineage(start: _Class) -> Iterator[_Class]:
    """A class and its bases, each before its own bases, as far as their source is read."""
    yield start
    for base in start.node.bases:
        parent = _find(start.file, ast.unparse(base))
        if parent is not None and parent.node is not start.node:
            yield from _lineage(parent)


def _params(lineage: list[_Class]) -> _Class:
    """The class of a method's parameters: its own, or that of the nearest base that says one.

    Args:
        lineage: the method's class and its bases.

    Raises:
        UsageError: none of them says which, or says it by anything but the name of a class that can be read.
    """
    for one in lineage:
        inner = [item for item in one.node.body if isinstance(item, ast.ClassDef) and item.name == "Params"]
        value = _class_value(one.node, "Params")
        if inner:
            return _Class(one.file, inner[0])
        if value is not None:
            params = _find(one.file, ast.unparse(value))
            if params is None:
                raise UsageError(
                    f"{one.file.path}: Params should be a dataclass of this file, of mmbench or of its own package"
                )
            return params
    raise UsageError(
        f"{lineage[0].file.path}: class {lineage[0].node.name} should say Params itself: the source of its base "
        "is not read"
    )


def _class_value(node: ast.ClassDef, name: str) -> ast.expr | None:
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id == name:
            return item.value
        if isinstance(item, ast.Assign) and [ast.unparse(target) for target in item.targets] == [name]:
            return item.value
    return None


# --- the fields of Params -------------------------------------------------------------------------------------


def _all_fields(params: _Class) -> list[Field]:
    """The fields of a dataclass, its own before those of its bases. A field that it defines again has its own default."""
    fields: dict[str, Field] = {}
    for one in _lineage(params):
        for item in _own_fields(one.node, str(one.file.path)):
            fields.setdefault(item.name, item)
    return list(fields.values())


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
    if function == "searched":
        search = {"low": None, "high": None, "digits": None, "choices": (), "nonzero": False} | arguments
        return Field(name, default, search, source, since)
    if function == "fixed" and not arguments:
        return Field(name, default, None, source, since)
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


def _like(default: Any, value: Any, where: str) -> Any:
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
