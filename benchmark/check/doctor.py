"""What this installation has and lacks."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...datasets.dataset import DataError, DataNotFound
from ...datasets.libraries import check_installed, libraries
from ..core.environment import cores, gpu_bytes, gpu_names, machine_bytes
from ..core.errors import UsageError
from ..core.locate import locate, own_datasets
from ..core.method_spec import describe
from ..core.registry import entries, find
from ..planning.base_models import check_language_model, check_models
from ..planning.variants import Variant
from .libraries import Verdict, check_libraries


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked for, and the command that mends it where it is missing.

    Attributes:
        state: ``missing`` and ``broken`` stop something that should work; ``optional`` is not there and need not be.
        what: its name.
        found: what there is, or what is wrong.
        mend: what to type; empty where nothing is to be done.
    """

    state: Literal["ok", "optional", "missing", "broken"]
    what: str
    found: str
    mend: str = ""


def diagnoses(root: Path, plugins: tuple[Path, ...] = (), methods: Sequence[str] = ()) -> Iterator[Diagnosis]:
    """Looks at libraries, devices, methods and data, in this order.

    Every library is imported and used once, which takes some ten seconds.

    Args:
        root: the folder of all data.
        plugins: files that bring datasets and methods.
        methods: with parameters, whose libraries and models are looked at.
    """
    yield Diagnosis("ok", "python", sys.version.split()[0])
    torch_uses_gpu = False
    for verdict in check_libraries(libraries()):
        torch_uses_gpu |= verdict.library.module == "torch" and bool(verdict.said)
        yield _library(verdict)
    yield Diagnosis("ok", "cores", f"{cores()}: so many jobs at a time, one thread each")
    if memory := machine_bytes():
        yield Diagnosis("ok", "memory", f"{memory / 2**30:.1f} GiB")
    yield _gpus(torch_uses_gpu)
    for text in methods:
        yield _method(text, plugins)
    yield Diagnosis("ok" if root.is_dir() else "optional", "data root", str(root.resolve()))
    for name in dict.fromkeys([*entries("dataset", plugins), *own_datasets(root)]):
        yield _dataset(name, root, plugins)


def _library(verdict: Verdict) -> Diagnosis:
    name, reason = verdict.library.distribution, verdict.reason
    if verdict.works:
        return Diagnosis("ok", name, f"{verdict.version}{': ' if verdict.said else ''}{verdict.said}")
    if verdict.version or verdict.library.is_installed():
        return Diagnosis("broken", name, f"{verdict.version or 'unknown version'}: {reason}", verdict.command)
    return Diagnosis("optional" if verdict.library.extra else "missing", name, reason, verdict.command)


def _gpus(torch_uses_gpu: bool) -> Diagnosis:
    names = gpu_names()
    if not names:
        return Diagnosis("optional", "GPU", "none: jobs run on the CPU")
    if not torch_uses_gpu:
        return Diagnosis("optional", "GPU", f"{len(names)}, which torch cannot use: jobs run on the CPU")
    memory = gpu_bytes()
    largest = f", the largest of {memory / 2**30:.1f} GiB" if memory else ""
    return Diagnosis("ok", "GPU", f"{len(names)}{largest}")


def _method(text: str, plugins: tuple[Path, ...]) -> Diagnosis:
    """Whether the libraries of a method are installed, and the models that it is built on are there and fit."""
    variant = Variant.parse(text)
    description = describe(find("method", variant.name, plugins))
    params = description.resolve(variant.overrides)
    found = ""
    try:
        check_installed(description.libraries_for(params), f"the method {variant.name}")
        check_models(variant.name, description.model_params, params)
        if description.language_model:
            found = check_language_model(variant.name, description.language_model, params, "auto")
    except (DataError, UsageError) as error:
        return Diagnosis("missing", variant.name, str(error))
    return Diagnosis("ok", variant.name, found or "libraries and models are there")


def _dataset(name: str, root: Path, plugins: tuple[Path, ...]) -> Diagnosis:
    try:
        located = locate(name, root, plugins=plugins)
    except DataNotFound:
        brought = "".join(f" --plugin {file}" for file in plugins)
        return Diagnosis(
            "optional", name, "no data", f"mmbench data synth {name} --data-root {root}{brought}"
        )
    except (DataError, UsageError) as error:
        return Diagnosis("missing", name, str(error))
    kind = "synthetic stand-in" if located.synthetic else "data"
    return Diagnosis("ok", name, f"{kind}, {located.format}: {located.files[0].parent}")
