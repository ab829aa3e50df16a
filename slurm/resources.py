"""The resources that are asked of SLURM: ``partition=gpu,time=4h,mem=32G``, or the name of a profile."""

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
_SPAN = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:s|min|m|h|d))+")
#: The forms of a time that sbatch knows, each with the seconds of its numbers.
_SBATCH_TIMES = (
    (re.compile(r"([0-9]+)"), (60,)),
    (re.compile(r"([0-9]+):([0-9]+)"), (60, 1)),
    (re.compile(r"([0-9]+):([0-9]+):([0-9]+)"), (3600, 60, 1)),
    (re.compile(r"([0-9]+)-([0-9]+)"), (86400, 3600)),
    (re.compile(r"([0-9]+)-([0-9]+):([0-9]+)"), (86400, 3600, 60)),
    (re.compile(r"([0-9]+)-([0-9]+):([0-9]+):([0-9]+)"), (86400, 3600, 60, 1)),
)
_MEMORY = re.compile(r"([0-9]+)(?:([KMGT])(?:I?B)?)?", re.IGNORECASE)
#: Names, lists of names, ranges of nodes and alternatives of features: what sbatch takes, in one word.
_WORD = re.compile(r"[\w.+@:,/%=*!&|()\[\]-]+")
_PAIRS = {"[": "]", "(": ")"}


def seconds_of(text: str) -> int:
    """The seconds of a time: as sbatch writes it, or as numbers with units.

    sbatch knows ``minutes``, ``minutes:seconds``, ``hours:minutes:seconds``, ``days-hours``, ``days-hours:minutes`` and
    ``days-hours:minutes:seconds`` (the option ``--time`` in its manual). It knows no units, so that ``90s``, ``30m``,
    ``1h30m`` and ``2d`` cannot be meant otherwise.

    Raises:
        ValueError: it is no time, or not longer than nothing.
    """
    text = str(text).strip()
    total = _sbatch_seconds(text)
    if total is None and _SPAN.fullmatch(text):
        parts = re.findall(r"([0-9.]+)(s|min|m|h|d)", text)
        total = round(sum(float(number) * _UNITS[unit] for number, unit in parts))
    if total is None:
        raise ValueError("write a time such as 30m, 4h, 1d12h or 04:00:00")
    if total < 1:
        raise ValueError("write a time above 0, such as 30m or 4h")
    return total


def _sbatch_seconds(text: str) -> int | None:
    for form, units in _SBATCH_TIMES:
        if match := form.fullmatch(text):
            return sum(int(number) * unit for number, unit in zip(match.groups(), units, strict=True))
    return None


def _grace(text: str) -> int:
    """Seconds; a bare number is refused, as sbatch counts a signal's time in seconds and a limit in minutes."""
    if text.isdecimal():
        raise ValueError(f"write a time with its unit, such as {text}s or {text}m")
    return seconds_of(text)


def _memory(text: str) -> str:
    """The memory, as sbatch reads it: a bare number is MiB, and 0 is all memory of a node."""
    match = _MEMORY.fullmatch(text)
    if match is None or (int(match[1]) == 0 and match[2]):
        raise ValueError("write a size such as 500M, 32G or 1T, or 0 for all memory of a node")
    number = int(match[1])
    return f"{number}{(match[2] or 'M').upper()}" if number else "0"


def _count(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch("[0-9]+", text) or int(text) < least:
            raise ValueError(f"write a whole number, at least {least}")
        return int(text)

    return read


def _gpus(text: str) -> str:
    if not re.fullmatch(r"([\w.-]+:)?[0-9]+", text):
        raise ValueError("write a number, or kind and number, such as a100:1")
    return text


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ValueError("write a name without spaces, a list a,b, nodes n[1-3], or features a|b or a&b")
    expected: list[str] = []
    for character in text:
        if character in _PAIRS:
            expected.append(_PAIRS[character])
        elif character in _PAIRS.values() and (not expected or expected.pop() != character):
            raise ValueError("a bracket is closed that was not opened")
    if expected:
        raise ValueError(f"a bracket is not closed: {expected[-1]} is missing")
    return text


def _setup(value: Any) -> tuple[str, ...]:
    lines = [value] if isinstance(value, str) else list(value)
    return tuple(str(line) for line in lines)


@dataclass(frozen=True)
class Resources:
    """The resources of each array task.

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
        """The resources by the names of submitit's parameters."""
        named = ("partition", "account", "qos", "constraint", "nodelist", "exclude", "mem")
        options: dict[str, Any] = {name: getattr(self, name) for name in named if getattr(self, name)}
        options |= {"time": -(-self.time // 60), "cpus_per_task": self.cpus, "nodes": 1, "ntasks_per_node": 1}
        options |= {"array_parallelism": self.array_parallelism, "signal_delay_s": self.grace}
        options |= {"job_name": "mmbench"}
        if self.gpu_count:
            options["gpus_per_node"] = self.gpus
        if self.reservation:
            options["additional_parameters"] = {"reservation": self.reservation}
        if self.setup:
            options["setup"] = list(self.setup)
        return options


_READ: dict[str, Callable[[Any], Any]] = {
    "time": seconds_of,
    "grace": _grace,
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
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in KEYS:
            raise UsageError(f"--slurm: unknown key {key!r}: {nearest(str(key), KEYS)}")
        try:
            read = _READ.get(key, _word)
            arguments[key] = read(value if key == "setup" else _text_of(value))
        except (ValueError, TypeError) as error:
            raise UsageError(f"--slurm {key}={value}: {error}") from None
    made = Resources(**arguments)
    if made.grace >= made.time:
        raise UsageError(f"--slurm grace={made.grace}s: should be less than the time of {made.time} s")
    return made


def _text_of(value: Any) -> str:
    """A value of a YAML file or of Python as it would stand in a flag."""
    if value is None or isinstance(value, bool | dict):
        raise ValueError("write it in quotes")
    if isinstance(value, list | tuple):
        return ",".join(map(_text_of, value))
    return str(value).strip()


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
        # Every scalar as it is written: 90:00 is ninety minutes, and the account 0123 is no number.
        values = read_plain_yaml(known[name], scalars="text")
    except (OSError, PlainYamlError) as error:
        raise UsageError(f"{known[name]}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{known[name]}: should hold keys and values, such as 'partition: gpu'")
    for key in values:
        if key not in KEYS:
            raise UsageError(f"{known[name]}: unknown key {key!r}: {nearest(str(key), KEYS)}")
    return values
