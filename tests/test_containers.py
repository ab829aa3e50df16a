"""The container recipes: both copy what the package is built of, install the tested versions, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKER = (ROOT / "containers" / "Dockerfile").read_text(encoding="utf-8")
APPTAINER = (ROOT / "containers" / "mmbench.def").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def copied_by_docker() -> list[str]:
    lines = re.findall(r"^COPY (.+)$", DOCKER, re.MULTILINE)
    return [name for line in lines for name in line.split()[:-1]]


def copied_by_apptainer() -> list[str]:
    (section,) = re.findall(r"^%files\n(.*?)\n\n", APPTAINER, re.MULTILINE | re.DOTALL)
    pairs = [line.split() for line in section.splitlines()]
    assert all(target == f"/opt/mmbench/{name}" for name, target in pairs)
    return [name for name, _ in pairs]


def test_both_copy_the_same_and_docker_is_sent_no_more():
    assert copied_by_docker() == copied_by_apptainer()
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "**" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied_by_docker())


def test_both_install_all_extras_with_the_constraint_set_on_a_supported_python():
    install = 'python -m pip install --no-cache-dir --constraint constraints.txt ".[all]"'
    assert f"RUN {install}\n" in DOCKER
    assert f"    {install}\n" in APPTAINER
    images = {
        *re.findall(r"^FROM (\S+)$", DOCKER, re.MULTILINE),
        *re.findall(r"^From: (\S+)$", APPTAINER, re.MULTILINE),
    }
    (image,) = images
    version = image.removeprefix("python:").removesuffix("-slim")
    assert f"Programming Language :: Python :: {version}" in PROJECT["project"]["classifiers"]
    constrained = {
        line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    required = {re.split(r"[<>=\[;~! ]", one)[0].lower() for one in PROJECT["project"]["dependencies"]}
    assert required <= constrained


@pytest.mark.slow
def test_what_is_copied_is_enough_to_build_the_whole_package(tmp_path: Path):
    for name in copied_by_docker():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / "tree" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / "tree").mkdir(exist_ok=True)
            shutil.copy(source, tmp_path / "tree" / name)
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, tmp_path / "tree"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("mmbench-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        assert any(name.startswith(f"{package.replace('.', '/')}/") for name in names), package
