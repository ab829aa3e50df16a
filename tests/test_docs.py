"""The documentation names what is there: files, commands of make, modules, and a picture of the imports as they are."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
FOLDERS = (
    "benchmark",
    "methods",
    "datasets",
    "corruptions",
    "leaderboards",
    "regimes",
    "slurm",
    "tests",
    "docs",
)
#: What a page names as a file of the repository: a path in backticks that begins with one of its folders.
NAMED = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")
#: Recipe -> the files that it says to open.
RECIPES = {
    part.partition("\n")[0]: part
    for part in CONTRIBUTING.partition("\n## Recipes\n")[2].partition("\n## ")[0].split("\n### ")[1:]
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path):
    named = set(NAMED.findall(page.read_text(encoding="utf-8")))
    missing = [name for name in named if not (ROOT / name).exists() and not re.search(r"NAME|FAMILY", name)]
    assert sorted(missing) == []


def test_the_rooms_are_named_with_a_file_to_begin_with():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = re.findall(r"^\| `(\w+)/` \| .* \| (`[\w.`, ]+`) \|$", page, re.MULTILINE)
    there = {file.parent.name for file in (ROOT / "benchmark").glob("*/__init__.py")}
    assert {room for room, _ in rooms} - set(FOLDERS) == there
    homes = {room: ROOT / room if room in FOLDERS else ROOT / "benchmark" / room for room, _ in rooms}
    files = [homes[room] / name for room, names in rooms for name in re.findall(r"[\w.]+\.py", names)]
    steps = re.findall(r"^\| \d+ \| `(\w+)` \| (`.*?`) \|", page, re.MULTILINE)
    assert len(steps) > 10
    for room, names in steps:
        home = ROOT / room if room in FOLDERS else ROOT / "benchmark" / room
        files += [home / name for name in re.findall(r"[\w/]+(?:\.py|/)", names)]
    assert [str(file) for file in files if not file.exists()] == []


def test_recipes_count_their_files_and_open_few():
    assert len(RECIPES) == 12
    counts = []
    for title, text in RECIPES.items():
        (count,) = re.findall(r"^(\d+) files?[:.]", text, re.MULTILINE)
        files = len(re.findall(r"^\* ", text, re.MULTILINE))
        assert int(count) == files, title
        counts.append(files)
    assert f"{sum(counts[:10])} in the first ten recipes, {sum(counts[10:])} in the last two" in CONTRIBUTING
    assert sum(counts[:10]) <= 35


def test_the_picture_of_the_rooms_is_that_of_the_imports(tmp_path: Path):
    code = "import sys; sys.path.insert(0, '.'); import architecture; print(architecture.picture(), end='')"
    drawn = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "docs", capture_output=True, text=True, check=False
    )
    assert drawn.returncode == 0, drawn.stderr
    stored = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    assert drawn.stdout == stored, "run: .venv/bin/python docs/architecture.py"
    (width,) = re.findall(r"<svg.*viewBox=\"0 0 (\d+) ", stored)
    boxes = re.findall(r'<rect x="(\d+)" y="\d+" width="(\d+)"', stored)
    assert max(int(x) + int(wide) for x, wide in boxes) < int(width)


def test_every_decision_is_in_the_list_and_has_the_same_parts():
    folder = ROOT / "docs" / "decisions"
    text = (folder / "index.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\((.*?)\)", text)) == sorted(
        file.name for file in folder.glob("*.md") if file.name != "index.md"
    )
    decisions = re.findall(r"^\| \[.*\]\((.*)\) \|", text, re.MULTILINE)
    assert decisions
    for name in decisions:
        parts = re.findall(r"^## (.*)", (folder / name).read_text(encoding="utf-8"), re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences"], name


def test_version_and_date_are_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert cited["version"] == project["version"]
    assert f"\n## {project['version']} - {cited['date-released']}\n" in changelog


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    """The steps of all jobs of a workflow."""
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert content["permissions"] == {"contents": "read"}
    for job in content["jobs"].values():
        assert job["timeout-minutes"] > 0
        yield from job["steps"]


def commands(workflow: Path) -> list[list[str]]:
    """Every command line of a workflow, as words."""
    lines = [line for step in steps(workflow) for line in step.get("run", "").splitlines()]
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_call_what_is_there(workflow: Path):
    called = commands(workflow)
    assert called
    for program, *words in called:
        if program == "make":
            assert {word for word in words if "=" not in word} <= TARGETS, words
        elif program.startswith(".") and not program.startswith(".venv"):
            assert os.access(ROOT / program, os.X_OK), program
        else:
            assert program in (":", "git", "python", "mmbench", ".venv/bin/mmbench", ".venv/bin/python")


def test_the_tests_run_on_the_versions_of_python_that_the_project_names():
    content = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    versions = content["jobs"]["fast"]["strategy"]["matrix"]["python"]
    first, last = versions[0], versions[-1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={first}"
    assert f"Python {first} to {last}" in CONTRIBUTING


def test_hooks_before_a_commit_are_local_and_there():
    content = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in content["repos"]] == ["local"]
    for hook in content["repos"][0]["hooks"]:
        program, *words = shlex.split(hook["entry"])
        assert program in (".venv/bin/ruff", ".venv/bin/python", ".venv/bin/pyright")
        assert all((ROOT / word).is_file() for word in words if word.endswith(".py"))


def test_text_files_end_well_and_can_be_read(tmp_path: Path):
    script = ROOT / ".ci" / "text_files.py"
    call = ["git", "ls-files", "-z", "--", ".", ":!tests/benchmark/stored"]
    names = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = [name for name in names if name and (ROOT / name).is_file()]
    texts = [
        name for name in files if b"\0" not in (ROOT / name).read_bytes()[:1024]
    ]  # as the hook tells them
    ended = subprocess.run(
        [sys.executable, script, *texts], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")
    bad = {"a.py": "x = 1", "b.md": "one\n\n", "c.yaml": "a: [\n", "d.toml": "a = \n", "e.txt": "one\r\n"}
    for name, text in bad.items():
        (tmp_path / name).write_bytes(text.encode())
    ended = subprocess.run(
        [sys.executable, script, *bad], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert {line.partition(":")[0] for line in ended.stdout.splitlines()} == set(bad)


#: What a page fetches when it is opened, by the tag and its attribute.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*?\bsrc=\"([^\"]+)\"|<link\b[^>]*?\bhref=\"([^\"]+)\""
)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path: Path):
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    program = Path(sys.executable).with_name("mkdocs")
    if not program.exists():
        required = "docs" in os.environ.get("MMBENCH_REQUIRE", "").split(",")
        (pytest.fail if required else pytest.skip)("mkdocs is not installed: make docs")
    ended = subprocess.run(
        [program, "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "WARNING" not in ended.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    names = {str(page.relative_to(tmp_path / "site")) for page in pages}
    assert {"index.html", "architecture.html", "contributing.html", "api/benchmark.html"} <= names
    for page in pages:
        text = page.read_text(encoding="utf-8")
        links = [address for found in FETCHED.findall(text) for address in found if address]
        assert links
        assert [link for link in links if "//" in link] == [], page
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"url\([\"']?https?:|@import", style.read_text(encoding="utf-8")), style
    shown = (tmp_path / "site" / "api" / "benchmark.html").read_text(encoding="utf-8")
    assert all(
        f'id="mmbench.benchmark.{name}"' in shown for name in ("run", "plan", "Experiment", "leaderboard")
    )
