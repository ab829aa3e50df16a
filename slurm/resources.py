"""What is asked of SLURM: ``partition=gpu,time=4h,mem=32G``, or the name of a profile."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..benchmark.core.errors import UsageError, nearest
from ..benchmark.core.plain_yaml import PlainYamlError, read_plain_yaml

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:s|min|m|h|d))+")
_NAME = re.compile(r"[\w.+@:,\[\]-]+")


def seconds_of(text: str) -> int:
    """The seconds of ``90s``, ``30m``, ``1h30m``, ``2d``, or SLURM's ``1-12:00:00``, ``12:00:00``.

    Raises:
        ValueError: it is no time, or not longer than nothing.
    """
    text = str(text).strip()
    if clock := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        found = 86400 * days + 3600 * hours + 60 * minutes + seconds
    elif _SPAN.fullmatch(text):
        parts = re.findall(r"([\d.]+)(s|min|m|h|d)", text)
        found = round(sum(float(number) * _UNITS[unit] for number, unit in parts))
    else:
        raise ValueError("write a time such as 30m, 4h, 1d12h or 04:00:00")
    if found < 1:
        raise ValueError("write a time above 0, such as 30m or 4h")
    return found


def _memory(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d*[MGT]B?", text, re.IGNORECASE):
        raise ValueError("write a size such as 500M, 32G or 1T")
    return text.upper().removesuffix("B")


def _count(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not str(text).isdigit() or int(text) < least:
            raise ValueError(f"write a whole number, at least {least}")
        return int(text)

    return read


def _gpus(text: str) -> str:
    if not re.fullmatch(r"([\w.-]+:)?\d+", text):
        raise ValueError("write a number, or kind and number, such as a100:1")
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("write a name without spaces")
    return text


def _setup(value: Any) -> tuple[str, ...]:
    lines = [value] if isinstance(value, str) else list(value)
    return tuple(str(line) for line in lines)


@dataclass(frozen=True)
class Resources:
    """What each array task is given.

    Attributes:
        partition, account, qos, constraint, reservation, nodelist, exclude: as sbatch takes them; empty: not said.
        time: seconds until SLURM ends it.
        gpus: a number, or kind and number (``a100:1``).
        cpus: CPU cores.
        mem: memory with its unit; empty: the site's default.
        array_parallelism: array tasks that may run at a time.
        timeouts: how often it may run into its time limit and go on.
        grace: seconds before its end at which SLURM says that it is near.
        setup: shell lines before it starts, such as ``module load cuda``.
    """

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    reservation: str = ""
    nodelist: str = ""
    exclude: str = ""
    time: int = 4 * 3600
    gpus: str = "0"
    cpus: int = 1
    mem: str = ""
    array_parallelism: int = 64
    timeouts: int = 3
    grace: int = 90
    setup: tuple[str, ...] = ()

    @property
    def gpu_count(self) -> int:
        """GPUs of an array task."""
        return int(self.gpus.rpartition(":")[2])

    def parameters(self) -> dict[str, Any]:
        """As submitit names them."""
        named = ("partition", "account", "qos", "constraint", "nodelist", "exclude", "mem")
        found: dict[str, Any] = {name: getattr(self, name) for name in named if getattr(self, name)}
        found |= {"time": -(-self.time // 60), "cpus_per_task": self.cpus, "nodes": 1, "ntasks_per_node": 1}
        found |= {"array_parallelism": self.array_parallelism, "signal_delay_s": self.grace}
        found |= {"job_name": "mmbench"}
        if self.gpu_count:
            found["gpus_per_node"] = self.gpus
        if self.reservation:
            found["additional_parameters"] = {"reservation": self.reservation}
        if self.setup:
            found["setup"] = list(self.setup)
        return found


_READ: dict[str, Callable[[Any], Any]] = {
    "time": seconds_of,
    "grace": seconds_of,
    "mem": _memory,
    "gpus": _gpus,
    "cpus": _count(1),
    "array_parallelism": _count(1),
    "timeouts": _count(0),
    "setup": _setup,
}
KEYS = tuple(item.name for item in fields(Resources))


def resources(asked: Mapping[str, Any]) -> Resources:
    """Validates what ``asked_of`` read.

    Args:
        asked: key -> value, and under ``profile`` the name of a profile that they change.

    Raises:
        UsageError: a key or value is wrong; the message says what is allowed.
    """
    given = dict(asked)
    name = given.pop("profile", None)
    values = {**(_profile(str(name)) if name else {}), **given}
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key not in KEYS:
            raise UsageError(f"--slurm: unknown key {key!r}: {nearest(str(key), KEYS)}")
        try:
            read = _READ.get(key, _name)
            found[key] = read(value if key == "setup" else str(value).strip())
        except (ValueError, TypeError) as error:
            raise UsageError(f"--slurm {key}={value}: {error}") from None
    made = Resources(**found)
    if made.grace >= made.time:
        raise UsageError(f"--slurm grace={made.grace}s: should be less than the time of {made.time} s")
    return made


def setup_origin(asked: Mapping[str, Any]) -> str:
    """Where the ``setup`` of what is asked for comes from, in words: the experiment, or the file of its profile."""
    if "setup" in asked or not asked.get("profile"):
        return "the experiment (slurm: setup)"
    name = str(asked["profile"])
    return f"the profile {name} ({profiles().get(name, 'unknown')})"


def profiles() -> dict[str, Path]:
    """Name -> file: those of the package, then the user's own, which take their place."""
    own = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "mmbench" / "slurm"
    folders = (Path(__file__).with_name("profiles"), own)
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def _profile(name: str) -> dict[str, Any]:
    known = profiles()
    if name not in known:
        raise UsageError(
            f"--slurm {name}: no such profile: {nearest(name, known)} "
            f"(your own go to ~/.config/mmbench/slurm/NAME.yaml)"
        )
    try:
        values = read_plain_yaml(known[name])
    except (OSError, PlainYamlError) as error:
        raise UsageError(f"{known[name]}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{known[name]}: should hold keys and values, such as 'partition: gpu'")
    for key in values:
        if key not in KEYS:
            raise UsageError(f"{known[name]}: unknown key {key!r}: {nearest(str(key), KEYS)}")
    return values
