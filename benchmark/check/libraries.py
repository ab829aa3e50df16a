"""Whether the libraries that mmbench requires or offers work here: each is imported and used once, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from ...datasets.libraries import Library, libraries
from . import probes

#: Seconds that one library may take, and all of them together. On a warm machine all take about ten.
LIMIT, TOTAL = 60.0, 240.0
#: Built for one release of torch: their binaries load beside no other.
_BUILT_FOR_TORCH = ("torchaudio", "torchvision")


@dataclass(frozen=True)
class Verdict:
    """The result of trying a library.

    Attributes:
        library: which.
        version: the installed one; empty where it is not known or not installed.
        works: whether it is installed, within the bounds, and did what it was asked to.
        said: what its operation told, such as that torch computes on the GPU.
        reason: why it does not work, in one line; empty where it works.
        command: what to type then.
    """

    library: Library
    version: str = ""
    works: bool = True
    said: str = ""
    reason: str = ""
    command: str = ""


def check_libraries(
    known: Mapping[str, Library], limit: float = LIMIT, total: float = TOTAL
) -> Iterator[Verdict]:
    """Tries the libraries that are installed, one after another.

    Args:
        known: module -> library.
        limit: seconds that one may take.
        total: seconds after which no other is begun.
    """
    order = [
        *(name for name in probes.OPERATIONS if name in known),
        *sorted(set(known) - set(probes.OPERATIONS)),
    ]
    installed = [name for name in order if known[name].is_installed()]
    outcomes = _outcomes(installed, limit, total)
    fatal: dict[str, str] = {}  # module that ends the process, or hangs -> what to type
    for name in order:
        library = known[name]
        if name not in installed:
            reason = "not installed"
            if library.version():  # metadata without the module
                reason = f"installed, but there is no module {name}"
            yield Verdict(library, library.version() or "", False, "", reason, library.install_command())
            continue
        outcome = next(outcomes)
        culprit = outcome.pop("importing", "")
        if culprit in fatal:
            outcome |= {"cause": culprit, "command": fatal[culprit]}
        verdict = _verdict(library, outcome)
        if culprit:
            fatal.setdefault(name, verdict.command)
        yield verdict


def _verdict(library: Library, outcome: dict[str, str]) -> Verdict:
    version = library.version() or ""
    reason = outcome.get("reason", "")
    command = outcome.get("command", "") or library.repair_command(RuntimeError() if reason else None)
    cause = libraries().get(outcome.get("cause", ""), library)
    if reason and cause != library:
        reason = f"it needs {cause.module}, which does not work: {reason}"
    elif partner := _misfit(library):
        needed = f"it needs {partner}, and {partner.name} {libraries()[partner.name].version()} is installed"
        reason = f"{reason}; {needed}" if reason else needed
        command = f'pip install "{library.requirement}" "{libraries()[partner.name].requirement}"'
    elif not library.fits():
        bounds = f"mmbench needs {library.requirement}"
        reason = f"{reason}; {bounds}" if reason else bounds
        command = library.repair_command()
    elif reason and _other_build(library):
        reason = f"{reason}; torch and {library.module} are builds for different devices"
        command = (
            f'pip install "{libraries()["torch"].requirement}" "{library.requirement}" --force-reinstall'
        )
    return Verdict(library, version, not reason, outcome.get("said", ""), reason, command if reason else "")


def _misfit(library: Library) -> Requirement | None:
    """The requirement of a library on another one of mmbench's that is not met, in words."""
    for requirement in _requirements(library):
        other = libraries().get(requirement.name)
        installed = other.version() if other else None
        if installed and not requirement.specifier.contains(installed, prereleases=True):
            return requirement
    return None


def _requirements(library: Library) -> list[Requirement]:
    try:
        lines = requires(library.distribution) or []
    except PackageNotFoundError:
        return []
    needed = [item for item in map(Requirement, lines) if item.marker is None or item.marker.evaluate()]
    if library.module == "torchaudio" and "torch" not in {item.name for item in needed}:
        release = _parse(library)  # it says nothing of torch, and fits that of its own number alone
        if release is not None:
            needed.append(Requirement(f"torch=={release.major}.{release.minor}.*"))
    return needed


def _other_build(library: Library) -> bool:
    """Whether a library and torch are builds of different labels, such as ``+cpu``."""
    if library.module not in _BUILT_FOR_TORCH or "torch" not in libraries():
        return False
    own, torch = _parse(library), _parse(libraries()["torch"])
    return own is not None and torch is not None and own.local != torch.local


def _parse(library: Library) -> Version | None:
    try:
        return Version(library.version() or "")
    except InvalidVersion:
        return None


def _outcomes(names: Sequence[str], limit: float, total: float) -> Iterator[dict[str, str]]:
    """The outcome of every library, in their order. After a library that ends its process, the next ones get another."""
    deadline = time.monotonic() + total
    place = 0
    while place < len(names):
        for outcome in _one_process(names[place:], limit, deadline):
            place += 1
            yield outcome


def _one_process(names: Sequence[str], limit: float, deadline: float) -> Iterator[dict[str, str]]:
    """The outcomes of the first libraries, at least one, up to the one that ends the process or takes too long."""
    if time.monotonic() > deadline:
        yield {"reason": "not tried: the libraries before it took too long"}
        return
    with tempfile.TemporaryFile() as errors:
        # -P: nothing of the current folder is taken for a library
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", probes.__name__, *names],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
        lines: SimpleQueue[bytes] = SimpleQueue()
        Thread(target=_forward, args=(process, lines), daemon=True).start()
        try:
            for _ in names:
                importing = ""
                try:
                    while (line := lines.get(timeout=limit)) and "end" not in (report := json.loads(line)):
                        importing = report["import"]
                except Empty:
                    yield {"reason": f"it does not answer within {limit:g} s", "importing": importing}
                    return
                if not line:
                    yield {"reason": _ending(process.wait(), errors), "importing": importing}
                    return
                yield json.loads(line)
                if time.monotonic() > deadline:
                    return
        finally:
            process.kill()
            process.wait()


def _forward(process: subprocess.Popen[bytes], lines: SimpleQueue[bytes]) -> None:
    """Puts the lines of a process into a queue, and an empty one where they end."""
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.put(line)
    lines.put(b"")


def _ending(code: int, errors: IO[bytes]) -> str:
    """How a process ended that should have gone on, with the last line that it wrote to its standard error."""
    errors.seek(0)
    last = next(
        (line for line in reversed(errors.read().decode(errors="replace").split("\n")) if line.strip()), ""
    )
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"it ends the process ({how}{': ' if last else ''}{last.strip()[:200]})"
