"""The energy that a job uses, in joules, where the machine counts it.

Processors and their memory are read through Intel's and AMD's running average power limit (RAPL), GPUs through NVML.
The counters are those of the whole machine or GPU, so they include other work there. What cannot be read is left out.
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
        read: gives the count in joules. Raises OSError or ValueError where it cannot be read.
        most: the count in joules at which the counter starts again at 0.
    """

    read: Callable[[], float]
    most: float = inf


def processors(folder: Path = POWERCAP) -> list[Counter]:
    """The counters of all processor packages, and of memory, which packages do not include.

    Other zones are left out: a package includes its cores, and ``psys`` includes the packages.
    """
    counters = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            most = int((zone / "max_energy_range_uj").read_text()) / 1e6
        except (OSError, ValueError):
            continue
        if name.startswith("package") or name == "dram":
            file = zone / "energy_uj"
            counters.append(Counter(lambda file=file: int(file.read_text()) / 1e6, most))
    return counters


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
    except Exception:  # without a driver, a library or a counter there is nothing to read
        return []
    return [Counter(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3)]


def counters_of(device: Any) -> dict[str, list[Counter]]:
    """``cpu`` -> the counters of this machine, and for a torch device that is a GPU, ``gpu`` -> its counters."""
    if device.type != "cuda":
        return {"cpu": processors()}
    import torch

    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    return {"cpu": processors(), "gpu": gpu(f"GPU-{uuid.removeprefix('GPU-')}")}


@dataclass
class Energy:
    """Sums the energy that counters count from the creation of this object on.

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
        """Reads the counters. To be called at least once a minute, as a counter may start again at 0 after minutes."""
        for name in list(self._total):
            try:
                now = [counter.read() for counter in self.counters[name]]
            except Exception:  # without one of its counters a sum would be too small
                del self._total[name]
                continue
            for counter, before, value in zip(self.counters[name], self._last[name], now, strict=True):
                self._total[name] += value - before + (counter.most if value < before else 0.0)
            self._last[name] = now

    def joules(self) -> dict[str, float]:
        """Name -> joules up to now. Names whose counters cannot be read or counted nothing are left out."""
        self.sample()
        return {name: total for name, total in self._total.items() if 0 < total < inf}
