"""Remarks on an experiment that is valid and may not be what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from ..core.environment import cores, gpu_names, machine_bytes
from ..core.method_fields import like
from ..core.method_spec import describe
from ..core.registry import entries, find
from .base_models import memory_of_weights
from .experiment import Experiment
from .folds import fold_notes
from .variants import CONTROLS, Variant, methods_of


def notes(experiment: Experiment) -> list[str]:
    """A line for each value that is valid and may not be what was meant."""
    lines: list[str] = fold_notes(experiment) if experiment.folds else []
    if experiment.search is None and len(experiment.seeds) == 1 and experiment.seeds[0] > 1:
        seed = experiment.seeds[0]
        lines.append(f"--seeds {seed} is one network with seed {seed}; 0-{seed - 1} are {seed} seeds")
    alone = [name for name in experiment.modalities if "+" not in name and name != "all"]
    if len(alone) > 1 and len(alone) == len(experiment.modalities):
        lines.append(
            f"--modalities {','.join(alone)} is {len(alone)} sets of one modality each; {'+'.join(alone)} is one set "
            "of all"
        )
    for text in experiment.methods:
        variant = Variant.parse(text.removesuffix(CONTROLS))
        if not variant.overrides:
            continue
        description = describe(find("method", variant.name, tuple(experiment.plugins)))
        for item in description.fields:
            if item.name in variant.overrides and item.search:
                value = like(item.default, variant.overrides[item.name], f"{text}, parameter {item.name}")
                outside = _outside(item.search, value)
                lines += [f"{text}: {item.name}={value} is {outside}"] if outside else []
    return lines + _slow(experiment) + _large(experiment)


def _large(experiment: Experiment) -> list[str]:
    """A line for each language model that fits into the memory of this machine, but not as often as there are workers."""
    room = machine_bytes()
    if experiment.launcher != "local" or room is None:
        return []
    gpus = 0 if experiment.device == "cpu" else len(gpu_names())
    workers, lines = experiment.workers or gpus or cores(), []
    for text in methods_of(experiment):
        variant = Variant.parse(text)
        method = describe(find("method", variant.name, tuple(experiment.plugins)))
        if not method.language_model:
            continue
        params = method.typed(variant.overrides, experiment.protocol.name)
        need = memory_of_weights(method.language_model, params)
        if workers * need > room:
            lines.append(
                f"{text}: each of {workers} workers holds the weights of the model, {need / 2**30:.1f} GiB, and this machine has "
                f"{room / 2**30:.1f}: --workers {max(room // need, 1)}"
            )
    return lines


def _slow(experiment: Experiment) -> list[str]:
    """A line for what is tested slowly: a prediction of it takes many passes, and it is made under many conditions."""
    conditions = [*experiment.corruptions, *(["--imputation"] if experiment.imputation else [])]
    if not conditions:
        return []
    plugins, protocol, passes = tuple(experiment.plugins), experiment.protocol.name, {}
    for text in methods_of(experiment):
        variant = Variant.parse(text)
        method = describe(find("method", variant.name, plugins))
        passes[text] = method.passes_for(method.typed(variant.overrides, protocol))
    rule = experiment.protocol.impute
    if rule in entries("method"):  # its network has the sizes of the method of that name
        method = describe(find("method", rule))
        passes[f"--impute {rule}"] = method.passes_for(method.defaults())
    return [
        f"{text} is slow to test: a prediction is {prod(sizes.values())} passes "
        f"({', '.join(f'{name}={value}' for name, value in sizes.items())}) for each modality with holes, under every "
        f"condition of {', '.join(conditions)}"
        for text, sizes in passes.items()
        if prod(sizes.values()) > 1
    ]


def _outside(search: Mapping[str, Any], value: Any) -> str:
    """The values that a search draws from, in words, where a value is not one of them; empty where it is."""
    if choices := search["choices"]:
        return (
            "" if value in choices else f"none of the values of its search ({', '.join(map(str, choices))})"
        )
    low, high = search["low"], search["high"]
    if low is None or high is None or low <= value <= high:
        return ""
    return f"outside the range of its search ({low} to {high})"
