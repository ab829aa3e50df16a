"""Checkpoints of a training, so that an interrupted one can be continued and gives the same result.

A checkpoint holds tensors and plain values only, and reading it executes nothing. A method whose state holds anything
else gets no checkpoint: after an interruption it is trained from the beginning. Of a module with the attribute
``only_tensors_change`` (the network of a library, whose configuration is an object of its own) only the tensors are
written, because the new training builds the rest anew.
"""

from __future__ import annotations

import dataclasses
import io
import logging
import random
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ..core.atomic_files import write_atomic
from ..core.selection import Epoch

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from ...methods.method import Method
    from .minibatches import TrainingBatches

LOG = logging.getLogger("mmbench.train")

#: At least so many seconds between two, and so many times what writing one takes.
#: The time between two checkpoints is at least ``INTERVAL`` seconds, and ``PATIENCE`` times what writing one takes.
INTERVAL, PATIENCE = 1.0, 20.0
_PLAIN = (bool, int, float, str, bytes, type(None))
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


class UnwritableError(TypeError):
    """A value that is neither a tensor nor a plain value, nor made of these."""


class Resumable(Protocol):
    """What a checkpoint reads of a training and sets in it; ``lightning_module.Training`` has all of it.

    Attributes:
        method: the network.
        stage: the index of the stage that it is in.
        record: of every epoch that ended.
        selected: name -> weights of the epoch that is selected by now.
    """

    method: Method
    stage: int
    record: list[Epoch]
    selected: dict[str, Tensor]

    @property
    def trainer(self) -> Trainer:
        """Holds the optimiser and its schedule."""
        ...

    @property
    def current_epoch(self) -> int:
        """How many epochs ended."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        ...


@dataclass
class Checkpointer:
    """Writes the state of a training to a file, and restores it in a new training.

    Attributes:
        file: the checkpoint.
        identity: what must be equal for a checkpoint to be used: job, code, plug-ins, libraries, device, threads.
        before: seconds of training before the interruption.
        resumed: the epochs that were started from a checkpoint.
    """

    file: Path
    identity: Mapping[str, str]
    before: float = 0.0
    resumed: list[int] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter)
    _next: float = 0.0

    def __post_init__(self) -> None:
        self._next = self._started + INTERVAL

    def save(self, training: Resumable, data: TrainingBatches) -> None:
        """Writes a checkpoint before an epoch begins, unless the last one was written only recently.

        Args:
            training: the training, between two epochs.
            data: its minibatches.
        """
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

    def restore(self, training: Resumable, data: TrainingBatches) -> Mapping[str, Any] | None:
        """Restores a training from the checkpoint.

        Args:
            training: a training of the same job that has not begun; it is changed.
            data: its minibatches; they are changed.

        Returns:
            The states of the random generators, for ``restore_random`` when the epoch begins; None where there is no
            checkpoint that can be used, and then nothing is changed.
        """
        try:
            found = torch.load(self.file, map_location="cpu", weights_only=True)
            if found["identity"] != dict(self.identity):
                LOG.info("%s is of other code, libraries or another device: training begins anew", self.file)
                return None
            state = found["state"]
        except Exception:  # whatever the fault is, the training starts from the beginning
            return None
        self.before, self.resumed = float(found["seconds"]), [*found["resumed"], int(state["epoch"])]
        _load_training(training, data, state)
        LOG.info("training goes on with epoch %d from %s", int(state["epoch"]) + 1, self.file)
        return state["random"]


def _training_state(training: Resumable, data: TrainingBatches) -> dict[str, Any]:
    (optimizer,), (schedule,) = training.trainer.optimizers, training.trainer.lr_scheduler_configs
    return {
        "epoch": training.current_epoch,
        "passes": data.passes,
        "taken": data.taken,
        "stage": training.stage,
        "method": _method_state(training.method),
        "optimizer": optimizer.state_dict(),
        "schedule": {name: schedule.scheduler.state_dict()[name] for name in _SCHEDULE},
        "record": [asdict(item) for item in training.record],
        "selected": dict(training.selected),
        "random": random_states(),
    }


_SCHEDULE = ("base_lrs", "last_epoch", "_step_count", "_last_lr")


def _load_training(training: Resumable, data: TrainingBatches, state: Mapping[str, Any]) -> None:
    (optimizer,), (schedule,) = training.trainer.optimizers, training.trainer.lr_scheduler_configs
    for stage in range(state["stage"] + 1):  # what a stage creates must exist before its values are loaded
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


def random_states() -> dict[str, Any]:
    """The states of the global random generators, as ``restore_random`` takes them."""
    version, numbers, gauss = random.getstate()
    _, keys, place, has_gauss, cached = np.random.get_state()
    return {
        "python": (version, list(numbers), gauss),
        "numpy": (torch.from_numpy(np.array(keys, np.int64)), int(place), int(has_gauss), float(cached)),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def restore_random(states: Mapping[str, Any]) -> None:
    """Sets the global random generators of Python, NumPy and torch to the states of a checkpoint."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    keys, place, has_gauss, cached = states["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), place, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


@contextmanager
def undisturbed() -> Iterator[None]:
    """Restores the global random generators, and hides warnings of loggers, such as that a folder is there already."""
    states = random_states()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        restore_random(states)


def _method_state(method: Method) -> dict[str, Any]:
    """As ``_module_state``, without what the method does not keep: every network of its parameters has that."""
    state = _module_state(method)
    for name in method.state_dict().keys() - set(method.kept()):
        state["tensors"].pop(name, None)  # a tensor that has two names is there under one of them
    return state


def _module_state(module: nn.Module) -> dict[str, Any]:
    """The tensors of a module, and the attributes of it and of its submodules that training may change."""
    attributes = {}
    for path, part in _changing_modules(module):
        own = {name: value for name, value in vars(part).items() if name not in _OF_EVERY_MODULE}
        attributes[path] = {name: _encode(value) for name, value in own.items()}
    tensors = {name: _copy(value) for name, value in _tensors(module).items()}
    return {"tensors": tensors, "attributes": attributes}


def _changing_modules(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The path and the module of each submodule whose attributes may change in training: all but the modules with
    ``only_tensors_change`` and their submodules."""
    whole = [part for part in module.modules() if getattr(part, "only_tensors_change", False)]
    fixed = {id(inner) for part in whole for inner in part.modules()}
    for path, part in module.named_modules():
        if id(part) not in fixed:
            yield path, part


def _copy(value: Tensor) -> Tensor:
    """A copy on the CPU, as a full GPU has no room for a second network."""
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
    """A value as the name of its kind and its plain content.

    Raises:
        UnwritableError: the value cannot be written.
    """
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
    """A value as ``_encode`` wrote it.

    Args:
        present: the value that the new training has in its place. A tensor or module is changed in place, so that
            other references to it see the values, too.
        written: what ``_encode`` gave.
        device: where new tensors are to lie.
    """
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
