"""The rules of the house: what may import what, and a package that works where it is installed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmark", "methods", "datasets", "corruptions", "leaderboards", "slurm")
MAY_IMPORT = {
    "benchmark": set(FOLDERS) - {"slurm"},  # it is reached by the table of launchers alone
    "methods": {"datasets"},
    "datasets": set(),
    "corruptions": {"datasets"},
    "leaderboards": set(),
    "slurm": {"benchmark"},
}
#: What of the harness the SLURM back-end knows: the contract of a launcher, what it is made of, and the local pool.
CONTRACT = {
    "core.environment",
    "core.errors",
    "core.job",
    "launch.detached",
    "launch.local_pool",
    "planning.experiment",
    "store.cleanup",
    "store.job_folder",
    "store.store",
    "train.context",
}
FILES = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]


def imports(file: Path) -> list[str]:
    """Every module that a file imports, relative ones as ``mmbench.folder.module``."""
    package = ["mmbench", *file.relative_to(ROOT).parent.parts]
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_arrow_runs_back_up(file: Path):
    folder = file.relative_to(ROOT).parts[0]
    for module in imports(file):
        parts = module.split(".")
        assert parts[0] not in FOLDERS, f"{file}: import relatively, not {module}"
        if parts[0] == "mmbench" and len(parts) > 1:
            allowed = MAY_IMPORT[folder] | {folder}
            assert parts[1] in allowed, f"{file} may not import {module}"
        if folder == "slurm" and parts[:2] == ["mmbench", "benchmark"]:
            assert ".".join(parts[2:4]) in CONTRACT, f"{file} may not import {module}"
        if folder == "leaderboards":
            assert parts[0] not in ("torch", "lightning", "torchmetrics", "sklearn"), (
                f"{file} imports {module}"
            )
        by_torch = file.name == "batch.py" or file.parent.name in ("encoders", "media")  # what reads media
        if folder == "datasets" and not by_torch:
            assert parts[0] not in ("torch", "lightning"), f"{file} imports {module}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_is_one_thing(file: Path):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400, f"{file.name}: is it two things?"


def test_every_package_is_listed():
    with (ROOT / "pyproject.toml").open("rb") as stream:
        setuptools = tomllib.load(stream)["tool"]["setuptools"]
    there = {"mmbench." + ".".join(file.parent.relative_to(ROOT).parts) for file in FILES}
    there |= set(setuptools["package-data"]) - {"*"}  # folders of data alone
    assert set(setuptools["packages"]) == there


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
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=280,
        )
        assert ended.returncode == 0, ended.stdout
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
    printed = call(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path / "dist", copy)
    assert "warning" not in printed.lower()
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
