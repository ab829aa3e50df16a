"""What a method states of its parameters' ranges: every value in them can work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import torch

from ...datasets.batch import Batch, Spec
from ...methods.method import Method
from ..core.errors import finding
from ..core.limits import is_outside, limits_text
from .planted_networks import pairs_for, prediction_of, samples_for, small_params


def ranges_hold_what_can_work(method_class: type[Method]) -> None:
    """At the ends of the range of each parameter (``fixed(..., least=1)``) a network can be built, trained for a step and
    asked."""
    spec = pairs_for(method_class)[0]
    batch = samples_for(method_class, spec, count=8)
    params = small_params(method_class)
    values = {item.name: getattr(params, item.name) for item in fields(params)}
    limits = {item.name: item.metadata.get("limits", {}) for item in fields(params)}
    for end in ("least", "most"):
        ends = {name: _end(stated[end], values) for name, stated in limits.items() if end in stated}
        if not ends or not _fault(method_class, spec, batch, replace(params, **ends)):
            continue
        for name, value in ends.items():
            tried = {**values, name: value}
            if any(is_outside(tried[one], stated, tried) for one, stated in limits.items()):
                continue  # what else it needs is stated
            fault = _fault(method_class, spec, batch, replace(params, **{name: value}))
            assert not fault, (
                f"parameter {name} cannot be {value!r}, which its range holds ({limits_text(limits[name])}): {fault}"
            )


def _end(stated: Any, values: Mapping[str, Any]) -> Any:
    """The end of a range: a number, or the value of the parameter that it names."""
    return values[stated] if isinstance(stated, str) else stated


def _fault(method_class: type[Method], spec: Spec, batch: Batch, params: Any) -> str:
    """What goes wrong with a network of these parameters, in words; empty where nothing does."""
    torch.manual_seed(0)
    try:
        method = method_class(params, spec)
        method.begin_stage(0)
        method.train()
        method.before_epoch(lambda: iter((batch,)), done=0.0)
        for backward in method.optimizer_steps(batch):
            method.zero_grad()
            backward()
        prediction_of(method, batch)
    except Exception as error:  # whatever it is, the value does not work
        return finding(error)
    return ""
