"""The energy that a job takes, where the machine can tell: of processors and their memory by Intel's and AMD's running
average power limit (RAPL), of the GPU by NVML.

Such counters are of the whole machine or GPU: what else ran there is in them. What cannot be read is not stated.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from ...datasets.libraries import LibraryError, import_guard, library_of

#: Where Linux shows RAPL: a folder for each zone. Most systems let only root read the counters.
POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counter:
    """A counter of energy.

    Attributes:
        read: joules since it began. Raises OSError or ValueError where that cannot be read.
        most: joules at which it begins anew at 0.
    """

    read: Callable[[], float]
    most: float = inf


def processors(folder: Path = POWERCAP) -> list[Counter]:
    """The counters of all processor packages and of memory that they do not count.

    Other zones are left out: cores are a part of their package, and ``psys`` has the packages in it.
    """
    found = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            most = int((zone / "max_energy_range_uj").read_text()) / 1e6
        except (OSError, ValueError):
            continue
        if name.startswith("package") or name == "dram":
            file = zone / "energy_uj"
            found.append(Counter(lambda file=file: int(file.read_text()) / 1e6, most))
    return found


def gpu(uuid: str) -> list[Counter]:
    """The counter of a GPU, by its UUID; none without ``pynvml``, or where the GPU counts no energy.

    A ``pynvml`` that is installed and cannot be imported is told as a warning.
    """
    try:
        with import_guard("pynvml", "the energy of a GPU"):
            import pynvml  # pyright: ignore[reportMissingImports]
    except LibraryError as error:
        if library_of("pynvml").is_installed():
            logging.getLogger(__name__).warning("%s", error)
        return []
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # whatever is in the way, there is nothing to read
        return []
    return [Counter(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)]


def counters_of(device: Any) -> dict[str, list[Counter]]:
    """``cpu`` and ``gpu`` -> the counters of this machine and of a torch device."""
    if device.type != "cuda":
        return {"cpu": processors()}
    import torch

    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    return {"cpu": processors(), "gpu": gpu(f"GPU-{uuid.removeprefix('GPU-')}")}


@dataclass
class Energy:
    """Adds up what counters count from its making on.

    Attributes:
        counters: name -> the counters that are added up under it.
    """

    counters: Mapping[str, Sequence[Counter]]
    _last: dict[str, list[float]] = field(default_factory=dict)
    _total: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, counters in self.counters.items():
            try:
                self._last[name] = [counter.read() for counter in counters]
            except (OSError, ValueError):
                continue
            if counters:
                self._total[name] = 0.0

    def sample(self) -> None:
        """Looks at the counters: to be called more often than they can begin anew, which takes minutes."""
        for name in list(self._total):
            try:
                now = [counter.read() for counter in self.counters[name]]
            except Exception:  # a sum without a part of it would be too small
                del self._total[name]
                continue
            for counter, before, value in zip(self.counters[name], self._last[name], now, strict=True):
                self._total[name] += value - before + (counter.most if value < before else 0.0)
            self._last[name] = now

    def joules(self) -> dict[str, float]:
        """Name -> joules up to now. Without names of which nothing can be read, or that counted nothing."""
        self.sample()
        return {name: total for name, total in self._total.items() if 0 < total < inf}
