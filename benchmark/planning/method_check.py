"""Checks that a method can do what is asked of it, before anything is run."""

from __future__ import annotations

from ...datasets.target import Target
from ..core.errors import UsageError
from ..core.method_spec import MethodDescription
from ..core.protocol import Protocol


def check_method(method: MethodDescription, rules: Protocol, target: Target, dataset: str) -> None:
    """Checks that a method can be trained under some rules for some target.

    Args:
        method: the method.
        rules: of the job.
        target: what is predicted.
        dataset: whose target it is.

    Raises:
        UsageError: it cannot.
    """
    if rules.class_weights == "off":
        return
    if target.kind != "classification":
        raise UsageError(f"--class-weights {rules.class_weights} needs classes, and {dataset} has scores")
    if not method.weighs_classes:
        raise UsageError(
            f"--class-weights {rules.class_weights} does not reach the method {method.name}: leave one of them out"
        )
