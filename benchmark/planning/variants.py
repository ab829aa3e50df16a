"""What ``--methods`` names: methods with parameters, groups of methods, and a method with its controls. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...methods import ESTIMATORS, LANGUAGE_MODELS
from ..core.errors import UsageError
from ..core.method_fields import word
from ..core.method_spec import describe
from ..core.registry import entries, find
from .experiment import Experiment

#: What follows a method that is asked for with its controls (``Method.controls``).
CONTROLS = "+controls"


@dataclass(frozen=True)
class Variant:
    """A method with its parameters: ``ebmc`` or ``ebmc(emc=false)``."""

    name: str
    overrides: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> Variant:
        """Reads ``name`` or ``name(parameter=value,...)``."""
        name, bracket, inner = text.partition("(")
        if bracket and not inner.endswith(")"):
            raise UsageError(f"method {text!r}: the parenthesis is not closed")
        overrides = {}
        for item in inner.removesuffix(")").split(",") if bracket else []:
            key, equals, value = item.partition("=")
            if not equals or not key.strip() or not value.strip():
                raise UsageError(f"method {text!r}: write parameters as {name}(parameter=value,...)")
            overrides[key.strip()] = value.strip()
        return cls(name.strip(), overrides)

    @property
    def text(self) -> str:
        """What ``parse`` reads as this."""
        words = ",".join(f"{key}={word(value)}" for key, value in self.overrides.items())
        return f"{self.name}({words})" if words else self.name


def methods_of(experiment: Experiment) -> list[str]:
    """The methods of an experiment, each once and with its parameters: ``all`` is every network, plug-ins included, that
    needs no model of the user's, ``estimators`` every control that is fitted without gradients, ``NAME+controls`` a method and all of its controls.

    Raises:
        UsageError: the method that is asked for with its controls is unknown, or names none; something else follows a
            method.
    """
    plugins = tuple(experiment.plugins)
    known = entries("method", plugins)
    apart = {*ESTIMATORS, *LANGUAGE_MODELS}
    groups = {"all": [name for name in known if name not in apart], "estimators": list(ESTIMATORS)}
    names: list[str] = []
    for text in experiment.methods:
        name, plus, rest = text.partition("+")
        if plus and name in known and text not in known and plus + rest != CONTROLS:
            raise UsageError(
                f"method {text!r}: what may follow a method is {CONTROLS}, as in {name}{CONTROLS}"
            )
        names += with_controls(text, plugins) if text.endswith(CONTROLS) else groups.get(text, [text])
    return list(dict.fromkeys(names))


def with_controls(text: str, plugins: tuple[Path, ...] = ()) -> list[str]:
    """A method, and each of its controls with the same other parameters.

    Args:
        text: ``name+controls`` or ``name(parameter=value,...)+controls``.
        plugins: files that bring more methods.

    Raises:
        UsageError: the method is unknown, or names no controls.
    """
    asked = Variant.parse(text.removesuffix(CONTROLS))
    controls = describe(find("method", asked.name, plugins)).controls
    if not controls:
        raise UsageError(
            f"method {asked.name} names no controls: leave {CONTROLS} out, and set its switches one by one "
            f"(mmbench show {asked.name})"
        )
    variants = [asked, *(Variant(asked.name, {**asked.overrides, **own}) for own in controls.values())]
    return [variant.text for variant in variants]
