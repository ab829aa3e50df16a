"""The optimiser of a training: the protocol's rule, with the rates that encoders and the method's own groups have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ...methods.method import Method
from ..core.protocol import Protocol

#: name -> share of the first learning rate, by the epochs (inverse-power: steps) that are done, and their number.
SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": lambda done, total: 1.0,
    "cosine": lambda done, total: (1 + math.cos(math.pi * done / total)) / 2,
    "cosine-to-1%": lambda done, total: 0.01 + 0.99 * (1 + math.cos(math.pi * done / total)) / 2,
    "inverse-power": lambda done, total: (1 + 10 * done / total) ** -0.75,
}


def build_optimizer(method: Method, rules: Protocol) -> torch.optim.Optimizer:
    """The optimiser of the protocol over the parameters of a method.

    Args:
        method: what is trained.
        rules: the optimiser, its learning rate and decay, and the shares of encoders.

    Raises:
        ValueError: the method names a parameter in two groups of its own, or one that it does not have.
    """
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[rules.optimizer]
    return kind(
        _groups(method, rules),
        lr=rules.learning_rate,
        weight_decay=rules.weight_decay,
        foreach=True,  # the same numbers as one parameter after the other, with fewer calls
    )


def _groups(method: Method, rules: Protocol) -> list[dict[str, Any]]:
    """The parameters in groups: those of encoders, of encoders of raw media and the rest, each with the learning rate
    that the protocol gives it, then those of the method's own groups."""
    shares = {"rest": 1.0, "encoders": rules.encoder_rate, "media": rules.media_rate}
    own, taken = _own_groups(method, rules)
    parts: dict[str, list[nn.Parameter]] = {}
    for name, parameter in method.named_parameters():
        if parameter in taken:
            continue
        part = "encoders" if name.startswith("encoders.") and rules.encoder_rate != 1 else "rest"
        parts.setdefault("media" if ".media." in name else part, []).append(parameter)
    of_protocol = [
        {"params": parts[part], **({} if share == 1 else {"lr": share * rules.learning_rate})}
        for part, share in shares.items()
        if part in parts
    ]
    return [*of_protocol, *own]


def _own_groups(method: Method, rules: Protocol) -> tuple[list[dict[str, Any]], set[nn.Parameter]]:
    """The groups of parameters for which a method has a rate or a decay of its own.

    Args:
        method: the method.
        rules: the protocol, whose learning rate theirs are shares of.

    Returns:
        The groups as the optimiser takes them, and all of their parameters.

    Raises:
        ValueError: a parameter is in two groups, or is none of the method's.
    """
    known = set(method.parameters())
    groups: list[dict[str, Any]] = []
    taken: set[nn.Parameter] = set()
    for group in method.parameter_groups():
        parameters = list(group.parameters)
        if taken & set(parameters) or not set(parameters) <= known:
            raise ValueError("a parameter of parameter_groups() is in two groups, or is not the method's")
        taken |= set(parameters)
        decay = {} if group.decay is None else {"weight_decay": group.decay}
        groups.append({"params": parameters, "lr": group.rate * rules.learning_rate, **decay})
    return groups, taken
