"""The number of items that go through a network at once: as many as the free memory should hold, fewer where it does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")

#: Beyond so many, batches are no faster.
MOST = 256
#: What a network needs, as a multiple of its largest output: inputs and outputs of the layer at work, a residual,
#: and what attention or convolution keep beside them.
WORKING = 8
#: The share of the free memory that is planned with.
SHARE = 0.5


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device, in bytes; on the CPU within the limit of the job's control group."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    free = _system_bytes()
    limit, used = (_number(Path("/sys/fs/cgroup") / name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else max(min(free, limit - used), 0)


def in_batches(run: Callable[[int, int], T], count: int, size: int) -> list[T]:
    """Runs a function on all items, batch by batch, in order.

    Where memory runs out, the batches are halved from there on.

    Args:
        run: start and stop of a batch -> its result.
        count: number of items.
        size: the most items of a batch.

    Returns:
        The result of every batch.

    Raises:
        RuntimeError: memory does not suffice for one item.
    """
    results, start, size = [], 0, max(size, 1)
    while start < count:
        stop = min(start + size, count)
        try:
            results.append(run(start, stop))
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or stop - start == 1:
                raise
            size = (stop - start) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        else:
            start = stop
    return results


class Planner:
    """Plans how many items a network takes at once on a device.

    The first item goes through alone once, and its largest intermediate result is measured; what an item needs is
    taken to grow with the number of its values. What came of it is not used: the results are those of batches that
    are made alike whether it was measured before, as in a training that goes on, or only now.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        self.module = module
        self.device = device
        self.bytes_per_value = 0.0

    def __call__(self, run: Callable[[int, int], T], count: int, values: int) -> list[T]:
        """``in_batches`` of a size for the free memory; ``values``: how many numbers an item has."""
        if count == 0:
            return []
        if not self.bytes_per_value:
            self._measure(run, values)
        size = int(SHARE * free_bytes(self.device) / max(self.bytes_per_value * values, 1))
        return in_batches(run, count, min(size, MOST))

    def _measure(self, run: Callable[[int, int], object], values: int) -> None:
        largest = 0

        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            nonlocal largest
            if isinstance(output, Tensor):
                largest = max(largest, output.numel() * max(output.element_size(), 4))

        hooks = [module.register_forward_hook(note) for module in self.module.modules()]
        devices = [self.device] if self.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(
                devices
            ):  # dropout in training mode draws as if nothing had been measured
                run(0, 1)
        finally:
            for hook in hooks:
                hook.remove()
        self.bytes_per_value = WORKING * max(largest, 1) / max(values, 1)


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out. On the CPU there is no class for it: the allocator says so in words."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def _system_bytes() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4  # no Linux: a guess


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return None
