"""Skeletons of plug-in files: small examples that work, and keep their contract, before anything is changed."""

from __future__ import annotations

import keyword
from importlib.resources import files
from pathlib import Path
from string import Template

from ..core.errors import UsageError
from ..core.registry import KINDS, Kind, entries

#: The kinds of which there is a template in ``templates/``.
TEMPLATES: tuple[Kind, ...] = ("method", "dataset", "corruption", "encoder")


def write_skeleton(kind: Kind, name: str, folder: Path) -> list[Path]:
    """Writes ``NAME.py``, which brings one thing of a kind, and ``test_NAME.py``, which tests its contract.

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
    words = {
        "kind": kind,
        "name": name,
        "file": name.lower(),
        "Class": "".join(part[:1].upper() + part[1:] for part in name.split("_")) or name,
        "TABLE": KINDS[kind].table,
    }
    texts = {f"{name}.py": template(kind), f"test_{name}.py": template("test")}
    places = {folder / file: Template(text).substitute(words) for file, text in texts.items()}
    for place in places:
        if place.exists():
            raise UsageError(f"{place} is there already: remove it, or write elsewhere with --out")
    folder.mkdir(parents=True, exist_ok=True)
    for place, text in places.items():
        place.write_text(text, encoding="utf-8")
    return list(places)


def check_name(kind: Kind, name: str) -> None:
    """Whether a new thing of a kind can be called so. Raises UsageError where it cannot."""
    if not name.isidentifier() or keyword.iskeyword(name) or not name.isascii() or not name.strip("_"):
        raise UsageError(f"{name!r} is no name for a {kind}: write letters, digits and _, such as my_{kind}")
    known = entries(kind)
    for taken in (
        name,
        name.replace("_", "-"),
    ):  # a name that differs in nothing else would be mistaken for it
        if taken in known:
            article = "an" if kind[0] in "aeiou" else "a"
            raise UsageError(
                f"{taken!r} is the name of {article} {kind} already, of {known[taken].origin}: choose another"
            )


def template(kind: str) -> str:
    """The text of a template."""
    return (files(__package__) / "templates" / f"{kind}.py.txt").read_text(encoding="utf-8")
