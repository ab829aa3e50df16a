"""Skeletons of plug-in files: small examples that work, and keep their contract, before anything is changed."""

from __future__ import annotations

import ast
import keyword
from collections import Counter
from importlib.resources import files
from pathlib import Path
from string import Template

from ...leaderboards.catalog import TABLES
from ..core.errors import UsageError
from ..core.registry import KINDS, OWN, Kind, entries

#: The kinds of which there is a template in ``templates/``.
TEMPLATES: tuple[Kind, ...] = (
    "method",
    "dataset",
    "corruption",
    "encoder",
    "metric",
    "table",
    "launcher",
    "segmenter",
)


def write_skeleton(kind: Kind, name: str, folder: Path) -> list[Path]:
    """Writes ``NAME.py``, which brings one thing of a kind, and ``test_NAME.py``, which tests its contract.

    Where such a file brings something of another kind, as a dataset of the same name, they are called ``NAME_KIND.py``
    and ``test_NAME_KIND.py``.

    Args:
        kind: one of ``TEMPLATES``.
        name: what it will be called; a Python identifier that no other of the kind has.
        folder: where to; it is made where it is not there.

    Returns:
        The two files.

    Raises:
        UsageError: the name cannot be used, or a file is there already.
    """
    check_name(kind, name)
    stem = _stem(kind, name, folder)
    words = {
        "kind": kind,
        "name": name,
        "plugin": stem,
        "file": name.lower(),
        "Class": "".join(part[:1].upper() + part[1:] for part in name.split("_")) or name,
        "CONSTANT": name.strip("_").upper(),
        "TABLE": KINDS[kind].table,
    }
    texts = {f"{stem}.py": template(kind), f"test_{stem}.py": template("test")}
    places = {folder / file: Template(text).substitute(words) for file, text in texts.items()}
    _check_bindings(kind, name, places[folder / f"{stem}.py"])
    for place in places:
        if place.exists():
            raise UsageError(f"{place} is there already: remove it, or write elsewhere with --out")
    folder.mkdir(parents=True, exist_ok=True)
    for place, text in places.items():
        place.write_text(text, encoding="utf-8")
    return list(places)


def _stem(kind: Kind, name: str, folder: Path) -> str:
    """The name of the files without its ending: that of the thing, or with its kind where the file of that name is a
    plug-in that brings other kinds alone."""
    file = folder / f"{name}.py"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    brought = {one for one in TEMPLATES if f"\n{KINDS[one].table} = " in text}
    return f"{name}_{kind}" if brought and kind not in brought else name


def check_name(kind: Kind, name: str) -> None:
    """Checks that a new thing of a kind can have a name.

    Args:
        kind: of the thing.
        name: as the user wrote it.

    Raises:
        UsageError: it is no identifier, or another thing of the kind has it.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or not name.isascii() or not name.strip("_"):
        raise UsageError(f"{name!r} is no name for a {kind}: write letters, digits and _, such as my_{kind}")
    known = _origins(kind)
    for taken in (
        name,
        name.replace("_", "-"),
    ):  # a name that differs in nothing else would be mistaken for it
        if taken in known:
            article = "an" if kind[0] in "aeiou" else "a"
            raise UsageError(
                f"{taken!r} is the name of {article} {kind} already, of {known[taken]}: choose another"
            )


def _origins(kind: Kind) -> dict[str, str]:
    """Known name of a kind -> where it is from."""
    origins = {name: entry.origin for name, entry in entries(kind).items()}
    if kind == "metric":
        from ...leaderboards.metrics.registry import METRICS

        return dict.fromkeys(METRICS, OWN) | origins
    return dict.fromkeys(TABLES, OWN) | origins if kind == "table" else origins


def _check_bindings(kind: Kind, name: str, text: str) -> None:
    """Raises UsageError where what a skeleton defines would hide what it imports."""
    bindings: list[str] = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            bindings += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign):
            bindings += [ast.unparse(target) for target in node.targets]
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            bindings.append(node.name)
    twice = [binding for binding, count in Counter(bindings).items() if count > 1]
    if twice:
        raise UsageError(
            f"{name!r} is no name for a {kind}: its file uses {twice[0]} for something else; "
            f"write another, such as my_{name.strip('_')}"
        )


def template(kind: str) -> str:
    """The text of a template."""
    return (files("mmbench.benchmark.check") / "templates" / f"{kind}.py.txt").read_text(encoding="utf-8")
