"""What this installation has and lacks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from ...datasets.dataset import DataError, DataNotFound
from ..core.environment import cores, gpu_names
from ..core.errors import UsageError
from ..core.locate import locate, own_datasets
from ..core.registry import entries


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for, and the command that mends it where it is missing."""

    state: Literal["ok", "optional", "missing"]
    what: str
    found: str
    mend: str = ""


def findings(root: Path, plugins: tuple[Path, ...] = ()) -> Iterator[Finding]:
    """Packages, devices and data.

    Args:
        root: the folder of the datasets.
        plugins: files that bring datasets.
    """
    yield Finding("ok", "python", sys.version.split()[0])
    yield from _packages()
    gpus = gpu_names()
    yield Finding("ok", "cores", f"{cores()}: so many jobs at a time, one thread each")
    yield Finding(
        "ok" if gpus else "optional", "GPU", f"{len(gpus)}" if gpus else "none: jobs run on the CPU"
    )
    yield Finding("ok" if root.is_dir() else "optional", "data root", str(root.resolve()))
    for name in dict.fromkeys([*entries("dataset", plugins), *own_datasets(root)]):
        yield _dataset(name, root, plugins)


def _packages() -> Iterator[Finding]:
    """What the distribution requires, as its metadata says."""
    for requirement in requires("mmbench") or []:
        text, _, marker = requirement.partition(";")
        extra = marker.partition("extra ==")[2].strip().strip("\"'")
        name = _name(text)
        if extra in ("all", "test") or name == "mmbench":
            continue
        try:
            yield Finding("ok", name, version(name))
        except PackageNotFoundError:
            package = f'"mmbench[{extra}]"' if extra else f'"{text.strip()}"'
            state = "optional" if extra else "missing"
            yield Finding(state, name, "not installed", f"pip install {package}")


def _name(requirement: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else " " for c in requirement).split()[0]


def _dataset(name: str, root: Path, plugins: tuple[Path, ...]) -> Finding:
    try:
        located = locate(name, root, plugins=plugins)
    except DataNotFound:
        brought = "".join(f" --plugin {file}" for file in plugins)
        return Finding("optional", name, "no data", f"mmbench data synth {name} --data-root {root}{brought}")
    except (DataError, UsageError) as error:
        return Finding("missing", name, str(error))
    kind = "synthetic stand-in" if located.synthetic else "data"
    return Finding("ok", name, f"{kind}, {located.format}: {located.files[0].parent}")
