"""The rules of the house: what may import what, and a package that works where it is installed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmark", "methods", "datasets", "corruptions", "leaderboards", "regimes", "slurm")
#: Folder -> the other folders that it may import.
MAY_IMPORT = {
    "benchmark": {"methods", "datasets", "corruptions", "leaderboards", "regimes"},
    "methods": {"datasets"},
    "datasets": set(),
    "corruptions": {"datasets"},
    "leaderboards": set(),
    "regimes": set(),
    "slurm": {"benchmark"},
}
#: The rooms of a folder from the lowest to the highest. A room imports what lies below it, never a peer.
ROOMS = {
    "benchmark": (
        {"core"},
        {"store", "data"},
        {"planning"},
        {"search", "features"},
        {"report", "train"},
        {"launch", "exchange", "check", "segmentation"},
        {"cli"},
    ),
    "leaderboards": ({"metrics", "published"}, {"stats"}, {"tables"}, {"render"}, {"plots"}, {"findings"}),
}
#: Files that are no room and read by all: interfaces and lists of names.
DOORS = {
    "benchmark.__init__",
    "benchmark.__main__",
    "leaderboards.__init__",
    "leaderboards.catalog",
    "leaderboards.labels",
}
#: What of the harness a launcher knows: its contract, the worker, and the words in them.
LAUNCHERS_KNOW = (
    "benchmark.core.",
    "benchmark.store.",
    "benchmark.planning.experiment",
    "benchmark.train.context",
    "benchmark.launch.",
)
#: Of the launchers' room, what one launcher may not know of the others.
NOT_FOR_LAUNCHERS = ("benchmark.launch.run", "benchmark.launch.estimate", "benchmark.launch.retry")
LINES = 400


def module_of(file: Path) -> str:
    """Dotted, without ``mmbench``; a package is its ``__init__``."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


FILES = {module_of(file): file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))}


@dataclass(frozen=True)
class Arrow:
    """An import: of a module of ours, or of another library's."""

    target: str
    line: int
    ours: bool


@cache
def arrows(module: str) -> tuple[Arrow, ...]:
    """Every import of a file, wherever in it: also those inside of functions and for type checkers."""
    return tuple(_arrows(module))


def _arrows(module: str) -> Iterator[Arrow]:
    package = ["mmbench", *module.split(".")[:-1]]
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Arrow(
                    alias.name.removeprefix("mmbench."), node.lineno, alias.name.startswith("mmbench.")
                )
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if source.partition(".")[0] != "mmbench":
                yield Arrow(source, node.lineno, False)
                continue
            for alias in node.names:
                yield Arrow(
                    _resolved(source.removeprefix("mmbench").lstrip("."), alias.name), node.lineno, True
                )


def _resolved(source: str, name: str) -> str:
    """The module that ``from source import name`` reads."""
    for module in (f"{source}.{name}", f"{source}.{name}.__init__", source, f"{source}.__init__"):
        if module in FILES:
            return module
    raise AssertionError(f"no module mmbench.{source}")


@pytest.mark.parametrize("module", FILES)
def test_no_arrow_runs_back_up(module: str):
    folder = module.partition(".")[0]
    for arrow in arrows(module):
        place = f"{module}, line {arrow.line}"
        top = arrow.target.partition(".")[0]
        if not arrow.ours:
            assert top not in FOLDERS, f"{place}: import relatively, not {arrow.target}"
            continue
        assert top in MAY_IMPORT[folder] | {folder}, f"{place} may not import {arrow.target}"
        if folder == "slurm" and top == "benchmark":
            known = arrow.target.startswith(LAUNCHERS_KNOW) and arrow.target not in NOT_FOR_LAUNCHERS
            assert known, f"{place}: a launcher may not import {arrow.target}"


@pytest.mark.parametrize("module", [name for name in FILES if name.partition(".")[0] in ROOMS])
def test_the_rooms_are_in_order(module: str):
    folder = module.partition(".")[0]
    levels = {room: level for level, rooms in enumerate(ROOMS[folder]) for room in rooms}
    if module in DOORS:
        return
    room = module.split(".")[1]
    for arrow in arrows(module):
        target = arrow.target.split(".")
        if arrow.ours and target[0] == folder and arrow.target not in DOORS and target[1] != room:
            assert levels[target[1]] < levels[room], f"{module}, line {arrow.line}: {arrow.target} lies above"


def test_every_room_stands_in_the_order():
    for folder, order in ROOMS.items():
        there = {name.split(".")[1] for name in FILES if name.startswith(f"{folder}.") and name not in DOORS}
        assert there == set().union(*order)


def test_files_do_not_import_each_other_in_a_circle():
    """Neither at once, nor inside of functions, nor for type checkers."""
    graph = {name: {arrow.target for arrow in arrows(name) if arrow.ours} - {name} for name in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(
    "folder",
    ["leaderboards", "datasets", "regimes", "benchmark.core", "benchmark.planning", "benchmark.segmentation"],
)
def test_what_lists_and_plans_runs_without_torch(folder: str):
    """No torch at the top of a file; encoders and what reads media have it, and a batch is made of it, with the random
    numbers of its samples, their damage and what fills their holes."""
    of_batches = (
        "datasets.batch",
        "datasets.stream",
        "datasets.damage",
        "datasets.imputation",
        "datasets.tokens",
    )
    heavy = ("torch", "lightning", "torchmetrics")
    for module in (name for name in FILES if name.startswith(f"{folder}.")):
        by_torch = module in of_batches or module.startswith(("datasets.encoders.", "datasets.media."))
        for arrow in arrows(module) if not by_torch else ():
            assert arrow.target.partition(".")[0] not in heavy, f"{module}, line {arrow.line}: {arrow.target}"


@pytest.mark.parametrize("module", FILES)
def test_a_file_is_one_thing(module: str):
    lines = len(FILES[module].read_text(encoding="utf-8").splitlines())
    if lines > LINES:  # a hint and no limit: some were split by length alone
        warnings.warn(f"{module} has {lines} lines: is it two things?", stacklevel=1)


def test_every_package_is_listed():
    with (ROOT / "pyproject.toml").open("rb") as stream:
        listed = set(tomllib.load(stream)["tool"]["setuptools"]["packages"])
    there = {"mmbench." + name.rpartition(".")[0] for name in FILES}
    assert there <= listed
    assert all((ROOT / name.removeprefix("mmbench.").replace(".", "/")).is_dir() for name in listed)


@pytest.mark.slow
def test_the_wheel_works_where_there_is_no_checkout(tmp_path: Path):
    """Built, installed into a clean environment, run from another folder.

    The clean environment borrows this one's dependencies by path; mmbench itself is only in it as the wheel.
    """

    def call(*command: str | Path, folder: Path = tmp_path) -> str:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment |= {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}
        ended = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    copy = tmp_path / "copy"
    copy.mkdir()
    tracked = call("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=ROOT).split(
        "\0"
    )
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    call(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", copy)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    call(sys.executable, "-m", "venv", "--without-pip", tmp_path / "clean")
    clean = tmp_path / "clean" / "bin"
    call(
        sys.executable, "-m", "pip", "--python", clean / "python", "install", "--no-deps", "--no-index", wheel
    )
    site = call(clean / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(site) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = call(clean / "python", "-c", "import mmbench.methods as m; print(m.__file__)", folder=elsewhere)
    assert where.startswith(site)
    assert "ebmc" in call(clean / "mmbench", "list", "methods", folder=elsewhere)
    call(clean / "mmbench", "data", "synth", "mosi", folder=elsewhere)
    run = ("run", "--methods", "erm(layers=1)", "--datasets", "mosi", "--seeds", "0", "--epochs", "1")
    call(clean / "mmbench", *run, "--modalities", "A", folder=elsewhere)
    assert "synthetic" in call(clean / "mmbench", "leaderboard", folder=elsewhere)
    call(clean / "mmbench", "export", "--out", "page.html", folder=elsewhere)
    assert "</table>" in (elsewhere / "page.html").read_text(encoding="utf-8")
