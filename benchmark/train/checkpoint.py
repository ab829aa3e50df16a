"""All of a training after an epoch, on disk: who goes on from it ends where an uninterrupted training ends.

What is written are tensors and plain values, read back without executing anything. A method whose state holds
something else is not written down: it starts again from the beginning, which is slower and as right. Of a module that
says ``only_tensors_change`` (a library's network, whose configuration is an object of its own) nothing but the
tensors is written: the new training has made the rest alike.
"""

from __future__ import annotations

import dataclasses
import io
import logging
import random
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core.atomic_files import write_atomic
from ..core.selection import Epoch

if TYPE_CHECKING:
    from .lightning_module import Training
    from .minibatches import Minibatches

LOG = logging.getLogger("mmbench.train")

#: At least so many seconds between two, and so many times what writing one takes.
INTERVAL, PATIENCE = 1.0, 20.0
_PLAIN = (bool, int, float, str, bytes, type(None))
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


class UnwritableError(TypeError):
    """A value that cannot be written down as tensors and plain values."""


@dataclass
class Checkpointer:
    """Writes the state of a training to a file, and gives it back to a new one.

    Attributes:
        file: where.
        identity: what must be the same for it to be of use: job, code, plug-ins, libraries, device.
        before: seconds of training before it was interrupted.
        resumed: the epochs that began anew from the file.
    """

    file: Path
    identity: Mapping[str, str]
    before: float = 0.0
    resumed: list[int] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter)
    _next: float = 0.0

    def __post_init__(self) -> None:
        self._next = self._started + INTERVAL

    def save(self, training: Training, data: Minibatches) -> None:
        """Writes the state before an epoch begins, unless the last was written just now."""
        began = time.perf_counter()
        if began < self._next:
            return
        try:
            state = _training_state(training, data)
        except UnwritableError:
            self._next = float("inf")
            return
        seconds = self.before + began - self._started
        content = io.BytesIO()
        known = {"identity": dict(self.identity), "seconds": seconds, "resumed": self.resumed}
        torch.save({**known, "state": state}, content)
        with suppress(OSError):  # on a full disk the training goes on without
            write_atomic(self.file, content.getvalue())
        ended = time.perf_counter()
        self._next = ended + max(INTERVAL, PATIENCE * (ended - began))

    def restore(self, training: Training, data: Minibatches) -> Mapping[str, Any] | None:
        """Puts a training where it was when its state was written.

        Returns:
            The states of the random generators, for ``restore_random`` when the epoch begins; None where there is
            no file of use.
        """
        try:
            found = torch.load(self.file, map_location="cpu", weights_only=True)
            if found["identity"] != dict(self.identity):
                LOG.info("%s is of other code, libraries or another device: training begins anew", self.file)
                return None
            state = found["state"]
        except Exception:  # whatever is wrong with it, it is of no use
            return None
        self.before, self.resumed = float(found["seconds"]), [*found["resumed"], int(state["epoch"])]
        _load_training(training, data, state)
        LOG.info("training goes on with epoch %d from %s", int(state["epoch"]) + 1, self.file)
        return state["random"]


def _training_state(training: Training, data: Minibatches) -> dict[str, Any]:
    (optimizer,), (schedule,) = training.trainer.optimizers, training.trainer.lr_scheduler_configs
    return {
        "epoch": training.current_epoch,
        "passes": data.passes,
        "taken": data.taken,
        "stage": training.stage,
        "method": _module_state(training.method),
        "optimizer": optimizer.state_dict(),
        "schedule": {name: schedule.scheduler.state_dict()[name] for name in _SCHEDULE},
        "record": [asdict(item) for item in training.record],
        "selected": dict(training.selected),
        "random": _random_states(),
    }


_SCHEDULE = ("base_lrs", "last_epoch", "_step_count", "_last_lr")


def _load_training(training: Training, data: Minibatches, state: Mapping[str, Any]) -> None:
    (optimizer,), (schedule,) = training.trainer.optimizers, training.trainer.lr_scheduler_configs
    for stage in range(state["stage"] + 1):  # what a stage makes must be there before it is given its values
        training.method.begin_stage(stage)
    training.stage = state["stage"]
    _load_module(training.method, state["method"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.scheduler.load_state_dict({**schedule.scheduler.state_dict(), **state["schedule"]})
    training.record = [Epoch(**item) for item in state["record"]]
    training.selected = {name: value.to(training.device) for name, value in state["selected"].items()}
    data.go_on(state["passes"], state["taken"])
    progress = training.trainer.fit_loop.epoch_progress.current
    for name in ("ready", "started", "processed", "completed"):
        setattr(progress, name, state["epoch"])


def _random_states() -> dict[str, Any]:
    version, numbers, gauss = random.getstate()
    _, keys, place, has_gauss, cached = np.random.get_state()
    return {
        "python": (version, list(numbers), gauss),
        "numpy": (torch.from_numpy(np.array(keys, np.int64)), int(place), int(has_gauss), float(cached)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore_random(states: Mapping[str, Any]) -> None:
    """Puts the global generators where they were."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    keys, place, has_gauss, cached = states["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), place, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


def _module_state(module: nn.Module) -> dict[str, Any]:
    """Every tensor and every attribute of a module and of those in it, but for attributes that do not change."""
    attributes = {}
    for path, part in _changing_modules(module):
        own = {name: value for name, value in vars(part).items() if name not in _OF_EVERY_MODULE}
        attributes[path] = {name: _encode(value) for name, value in own.items()}
    tensors = {name: _copy(value) for name, value in _tensors(module).items()}
    return {"tensors": tensors, "attributes": attributes}


def _changing_modules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules, by path, whose attributes may change in training: not those that say that tensors alone do, nor
    what is in these."""
    whole = [part for part in module.modules() if getattr(part, "only_tensors_change", False)]
    fixed = {id(inner) for part in whole for inner in part.modules()}
    for path, part in module.named_modules():
        if id(part) not in fixed:
            yield path, part


def _copy(value: Tensor) -> Tensor:
    """On the CPU: a GPU that is full has no room for a second network."""
    return value.detach().to("cpu", copy=True)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


@torch.no_grad()
def _load_module(module: nn.Module, state: Mapping[str, Any]) -> None:
    present = _tensors(module)
    for name, value in state["tensors"].items():
        present[name].copy_(value)
    device = next(iter(present.values())).device
    parts = dict(module.named_modules())
    for path, attributes in state["attributes"].items():
        for name, value in attributes.items():
            if value[0] != "constant":
                setattr(parts[path], name, _decode(vars(parts[path]).get(name), value, device))


def _encode(value: Any) -> tuple[Any, ...]:
    """A value as a kind and plain content."""
    if isinstance(value, _PLAIN):
        return "plain", value
    if isinstance(value, Tensor):
        return "tensor", _copy(value)
    if isinstance(value, nn.Module):
        return "module", _module_state(value)
    if isinstance(value, torch.Generator):
        return "generator", value.get_state()
    if isinstance(value, dict):
        return "dict", [(key, _encode(item)) for key, item in value.items()]
    for kind in (list, tuple, set, deque):
        if type(value) is kind:
            return kind.__name__, [_encode(item) for item in value]
    frozen = dataclasses.is_dataclass(value) and value.__dataclass_params__.frozen  # pyright: ignore
    if frozen or callable(value) or isinstance(value, torch.device | torch.dtype | frozenset):
        return ("constant",)
    raise UnwritableError(f"{type(value).__name__} cannot be written to a checkpoint")


def _decode(present: Any, written: tuple[Any, ...], device: torch.device) -> Any:
    """What was written; tensors and modules that are there are given the values, so that others see them too."""
    kind = written[0]
    if kind == "constant":
        return present
    content = written[1]
    if kind == "plain":
        return content
    if kind == "tensor":
        if isinstance(present, Tensor) and (present.shape, present.dtype) == (content.shape, content.dtype):
            return present.copy_(content)
        return content.to(device)
    if kind == "module":
        _load_module(present, content)
        return present
    if kind == "generator":
        present.set_state(content)
        return present
    if kind == "dict":
        old = present if isinstance(present, dict) else {}
        return {key: _decode(old.get(key), item, device) for key, item in content}
    old = list(present) if isinstance(present, list | tuple) and len(present) == len(content) else []
    items = [_decode(old[i] if old else None, item, device) for i, item in enumerate(content)]
    made = {"list": list, "tuple": tuple, "set": set, "deque": deque}[kind](items)
    return deque(items, present.maxlen) if isinstance(present, deque) else made
