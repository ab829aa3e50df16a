"""The optimiser of a training: the protocol's rule, with the rates that encoders and the method's own groups have."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from ...methods.method import Method
from ..core.protocol import Protocol
from ..core.selection import Direction

#: name -> share of the first learning rate, by the epochs (inverse-power: steps) that are done, and their number.
SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": lambda done, total: 1.0,
    "cosine": lambda done, total: (1 + math.cos(math.pi * done / total)) / 2,
    "cosine-to-1%": lambda done, total: 0.01 + 0.99 * (1 + math.cos(math.pi * done / total)) / 2,
    "inverse-power": lambda done, total: (1 + 10 * done / total) ** -0.75,
}

#: How much better than the best so far an epoch must be to be a better one, as a share (PyTorch's default).
_BETTER = 1e-4


def rate_share(
    rules: Protocol, step: int, steps: int, metrics: Sequence[float], direction: Direction
) -> float:
    """The share of the first learning rate that a step is taken with: what the schedule says, times the warm-up.

    In the warm-up, the first W = warmup x all steps (at least one), step t has the share (t + 1) / W of it (Goyal et
    al. 2017).

    Args:
        rules: the protocol.
        step: the steps of the optimiser that are done.
        steps: those of an epoch.
        metrics: of source validation, after each epoch that is done.
        direction: in which a metric is better.
    """
    total = steps * rules.epochs
    if rules.schedule == "plateau":
        share = plateau_share(metrics, direction, rules.plateau_factor, rules.plateau_patience)
    elif rules.schedule == "inverse-power":
        share = SCHEDULES[rules.schedule](step, total)
    else:
        share = SCHEDULES[rules.schedule](step // steps, rules.epochs)
    return share * min(1.0, (step + 1) / max(rules.warmup * total, 1))


def plateau_share(metrics: Sequence[float], direction: Direction, factor: float, patience: int) -> float:
    """The share of the learning rate after some epochs, as PyTorch's ReduceLROnPlateau with its defaults has it.

    Args:
        metrics: after each epoch.
        direction: in which a metric is better.
        factor: what the rate is multiplied by when more than ``patience`` epochs in a row were not better than the
            best before them by a ten-thousandth of it; then the counting begins anew.
        patience: see there.
    """
    share, best, waited = 1.0, None, 0
    for metric in metrics:
        edge = None if best is None else best * (1 - _BETTER if direction == "lower" else 1 + _BETTER)
        if edge is None or (metric < edge if direction == "lower" else metric > edge):
            best, waited = metric, 0
        else:
            waited += 1
        if waited > patience:
            share, waited = share * factor, 0
    return share


def set_rates(schedule: Any) -> None:
    """Sets the learning rates of the next step anew.

    Args:
        schedule: a LambdaLR whose functions have another value than when it made its last step.
    """
    assert isinstance(schedule, LambdaLR)
    groups = zip(schedule.optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True)
    for group, rate, share in groups:
        group["lr"] = rate * share(schedule.last_epoch)


def build_optimizer(method: Method, rules: Protocol) -> torch.optim.Optimizer:
    """The optimiser of the protocol over the parameters of a method, without those that ``left_out`` names.

    Args:
        method: what is trained.
        rules: the optimiser, its learning rate and decay, and the shares of them that encoders have.

    Raises:
        ValueError: the method names a parameter in two groups of its own, or one that it does not have.
    """
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[rules.optimizer]
    return kind(
        _groups(method, rules),
        lr=rules.learning_rate,
        weight_decay=rules.weight_decay,
        # The same numbers as one parameter after the other, with fewer calls. The fused kernel takes a quarter of the time, but on a
        # CPU mixes up the entries of a parameter whose gradient is laid out in another order, as is one that a method sets itself.
        foreach=True,
    )


def left_out(method: Method) -> set[nn.Parameter]:
    """The parameters of a method that no step can change: those that require no gradient, as of a base model with adapters.

    None of a method with several stages, which may thaw them, and none where nothing is trained at all.
    """
    frozen = {one for one in method.parameters() if not one.requires_grad}
    every = len(method.stages) > 1 or len(frozen) == len(list(method.parameters()))
    return set() if every else frozen


def check_thawed(method: Method, frozen: Collection[nn.Parameter]) -> None:
    """Checks that no parameter which the optimiser was built without is to be trained now.

    Args:
        method: what is trained.
        frozen: what ``left_out`` named when the optimiser was built.

    Raises:
        ValueError: one is; the message has its name.
    """
    for name, parameter in method.named_parameters() if frozen else ():
        if parameter.requires_grad and parameter in frozen:
            raise ValueError(
                f"{name} required no gradient when the training began, and does now: a method that thaws parameters says so "
                "by several stages"
            )


def _groups(method: Method, rules: Protocol) -> list[dict[str, Any]]:
    """The parameters in groups: those of encoders, of encoders of raw media and the rest, each with the learning rate and
    decay that the protocol gives it, then those of the method's own groups. Encoders of raw media have two: biases and weights
    of normalisations, which have one dimension, do not decay."""
    shares = {
        "rest": 1.0,
        "encoders": rules.encoder_rate,
        "media": rules.media_rate,
        "spared": rules.media_rate,
    }
    decays = {"media": rules.media_decay * rules.weight_decay, "spared": 0.0}
    own, taken = _own_groups(method, rules)
    taken = taken | left_out(method)
    parts: dict[str, list[nn.Parameter]] = {}
    for name, parameter in method.named_parameters():
        if parameter in taken:
            continue
        part = "encoders" if name.startswith("encoders.") and rules.encoder_rate != 1 else "rest"
        if ".media." in name:
            part = "spared" if rules.media_bias_decay == "off" and parameter.ndim <= 1 else "media"
        parts.setdefault(part, []).append(parameter)
    of_protocol: list[dict[str, Any]] = [
        {
            "params": parts[part],
            **({} if share == 1 else {"lr": share * rules.learning_rate}),
            **({"weight_decay": decays[part]} if part in decays else {}),
        }
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
    known, frozen = set(method.parameters()), left_out(method)
    groups: list[dict[str, Any]] = []
    taken: set[nn.Parameter] = set()
    for group in method.parameter_groups():
        parameters = list(group.parameters)
        if taken & set(parameters) or not set(parameters) <= known:
            raise ValueError("a parameter of parameter_groups() is in two groups, or is not the method's")
        taken |= set(parameters)
        decay = {} if group.decay is None else {"weight_decay": group.decay}
        if parameters := [one for one in parameters if one not in frozen]:
            groups.append({"params": parameters, "lr": group.rate * rules.learning_rate, **decay})
    return groups, taken
