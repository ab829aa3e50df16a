"""Checks that methods and modalities can do what is asked of them, before anything is run."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...datasets.rates import fault_of_rates, parse_rates
from ...datasets.target import Target
from ..core.class_weights import check_class_names, class_weights_text
from ..core.errors import UsageError, nearest
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
    if target.kind not in method.kinds:
        raise UsageError(
            f"the method {method.name} has no loss for {dataset}, which is {target.kind}: it does {', '.join(method.kinds)}"
        )
    if rules.class_weights == "off":
        return
    said = f"--class-weights {class_weights_text(rules.class_weights)}"
    if target.kind == "regression":
        raise UsageError(f"{said} needs classes or labels, and {dataset} is {target.kind}")
    trained = [name for name in target.classes if name not in rules.held_out_classes]
    check_class_names(rules.class_weights, trained, dataset)
    if not method.weighs_classes:
        raise UsageError(f"{said} does not reach the method {method.name}: leave one of them out")


def check_rates(asked_by: str, rates: str, sets: Collection[Sequence[str]]) -> None:
    """Checks that modalities can be missing at the rates that are asked for.

    Args:
        asked_by: the flag, for the message.
        rates: as ``parse_rates`` reads them.
        sets: the modalities of the networks.

    Raises:
        UsageError: no network has a modality of that name, or a set cannot have the rates.
    """
    known = dict.fromkeys(name for modalities in sets for name in modalities)
    wanted = parse_rates(rates)
    for name in wanted:
        if known and name not in known:
            raise UsageError(f"{asked_by}: no modality {name!r} here: {nearest(name, known)}")
    for modalities in sets:
        if fault := fault_of_rates(wanted, modalities):
            raise UsageError(f"{asked_by}: {fault}")
