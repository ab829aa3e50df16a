"""A method's parameters, read from its source text, so that planning a run imports no network.

The fields of ``Params`` are literals (``mmbench check method`` says so where they are not), which is why this is
exact: the conformance test compares what is read here with the imported class. Base classes are followed, of a
method and of its ``Params``, through the imports of mmbench and of the package that the method is in; the source
of any other package is not opened.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...methods import NETWORK_VERSION
from .errors import UsageError, nearest
from .limits import fault_of_limits
from .method_fields import Field, all_fields, like, word
from .registry import Entry
from .source_classes import SourceClass, class_value, lineage_of, params_of, read_file


@dataclass(frozen=True)
class MethodDescription:
    """The description of a method, read from its source.

    Attributes:
        name: the registered name.
        summary: the first line of its docstring.
        docstring: those of its file, its class and its ``Params``.
        version, train_missing, needs_domains, as_published, as_published_in, rules_as_published, libraries,
            weighs_classes, kinds, departures, reads_media, model_params, language_model, uses_conversation, reads_tokens, controls,
            needs_modalities, libraries_of_params, passes_of_params: as in ``Method``.
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
    libraries_of_params: Mapping[str, Mapping[Any, tuple[str, ...]]] = field(default_factory=dict)
    passes_of_params: Mapping[str, Mapping[Any, tuple[str, ...]]] = field(default_factory=dict)
    weighs_classes: bool = True
    kinds: tuple[str, ...] = ("regression", "classification")
    departures: Mapping[str, str] | None = None
    reads_media: bool = False
    model_params: tuple[str, ...] = ()
    language_model: str = ""
    uses_conversation: bool = False
    reads_tokens: bool = False
    controls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needs_modalities: int = 1
    fields: tuple[Field, ...] = field(default=())

    def libraries_for(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Modules of optional libraries that a network with these parameters imports."""
        further = [by_value.get(params[name], ()) for name, by_value in self.libraries_of_params.items()]
        return (*self.libraries, *(module for modules in further for module in modules))

    def passes_for(self, params: Mapping[str, Any]) -> dict[str, int]:
        """The parameters whose product is how many passes a prediction takes for each modality with holes; none: one pass."""
        named = [by_value.get(params[name], ()) for name, by_value in self.passes_of_params.items()]
        return {name: params[name] for names in named for name in names}

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
            UsageError: an unknown parameter, a value of another type than the default, none of its choices, or out of its
                range.
        """
        values = self.typed(overrides, protocol, family, dataset)
        for item in self.fields:
            if fault := fault_of_limits(values[item.name], item.limits, values):
                raise UsageError(f"method {self.name}, parameter {item.name}: {fault}")
        return values

    def typed(
        self, overrides: Mapping[str, Any], protocol: str = "fair", family: str = "", dataset: str = ""
    ) -> dict[str, Any]:
        """As ``resolve``, but that no value is held to its range, which may depend on values of the family."""
        values = self.defaults(protocol, family, dataset)
        choices = {item.name: item.choices for item in self.fields}
        for name, value in overrides.items():
            if name not in values:
                raise UsageError(f"method {self.name} has no parameter {name!r}: {nearest(name, values)}")
            where = f"method {self.name}, parameter {name}"
            values[name] = like(values[name], value, where)
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
    file = read_file(source, module)
    if attribute not in file.classes:
        raise UsageError(f"{source} defines no class {attribute}")
    method = SourceClass(file, file.classes[attribute])
    lineage = list(lineage_of(method))
    params = params_of(lineage)
    fields = tuple(all_fields(params))
    nodes = (file.tree, method.node, *([params.node] if fields else []))
    docstrings = [ast.get_docstring(node) for node in nodes]

    def literal(attribute: str, default: Any, classes: list[SourceClass] = lineage) -> Any:
        values = (class_value(one.node, attribute) for one in classes)
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
        libraries_of_params=literal("libraries_of_params", {}),
        passes_of_params=literal("passes_of_params", {}),
        weighs_classes=literal("weighs_classes", True),
        kinds=literal("kinds", ("regression", "classification"), [method]),
        departures=literal("departures", None, [method]),
        reads_media=literal("reads_media", False),
        model_params=literal("model_params", ()),
        language_model=literal("language_model", ""),
        uses_conversation=literal("uses_conversation", False),
        reads_tokens=literal("reads_tokens", False),
        controls=literal("controls", {}, [method]),
        needs_modalities=literal("needs_modalities", 1),
        fields=fields,
    )
