"""docs/methods.md and the registry say the same: every method, every switch, every rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from mmbench.benchmark.cli.inspect import _show_method
from mmbench.benchmark.core.as_published import BUDGETS
from mmbench.benchmark.core.method_fields import word
from mmbench.benchmark.core.method_spec import MethodDescription, describe
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.registry import find
from mmbench.methods import METHODS
from rich.console import Console

PAGE = (Path(__file__).parents[1] / "docs" / "methods.md").read_text(encoding="utf-8")
KNOWN: dict[str, MethodDescription] = {name: describe(find("method", name)) for name in METHODS}


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    part = PAGE[PAGE.index(f"\n## {heading}\n") :]
    table = re.search(r"\n(\|.*\|\n)+", part)
    assert table is not None
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table[0].strip().splitlines()[2:]
    ]


def said(cell: str) -> dict[str, dict[str, str]]:
    """``sentiment: `weight=0.2`; all: ...`` as family -> name -> value."""
    if cell == "none":
        return {}
    found = dict(part.split(":", 1) for part in cell.split("; "))
    return {family.strip(): dict(re.findall(r"`(\w+)=([^`]*)`", rest)) for family, rest in found.items()}


def plain(values: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    return {family: {k: str(v) for k, v in own.items()} for family, own in values.items() if own}


def test_every_method_is_on_the_page_once_with_all_cells():
    table = rows("The methods")
    assert [row[0].strip("`") for row in table] == list(METHODS)
    assert all(len(row) == 6 and all(row) for row in table)


@pytest.mark.parametrize("row", rows("The methods"), ids=lambda row: row[0].strip("`"))
def test_switches_and_rules_of_a_method_are_those_of_the_registry(row: list[str]):
    about = KNOWN[row[0].strip("`")]
    assert said(row[2]) == plain({"all": about.as_published, **about.as_published_in})
    assert said(row[3]) == plain(about.rules_as_published)


@pytest.mark.parametrize("row", rows("The methods"), ids=lambda row: row[0].strip("`"))
def test_what_is_otherwise_than_published_is_what_the_method_says(row: list[str]):
    departures = KNOWN[row[0].strip("`")].departures
    assert departures is not None
    assert row[4] == ("; ".join(f"{family}: {text}" for family, text in departures.items()) or "none")
    assert departures.keys() <= {"all", *BUDGETS}


@pytest.mark.parametrize("name", METHODS)
def test_show_says_what_is_otherwise_than_published_and_names_controls(name: str):
    out = Console(file=StringIO(), width=10_000)
    _show_method(out, find("method", name))
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    for family, text in (KNOWN[name].departures or {"all": "none"}).items():
        assert f"otherwise than published, {family}: {text}\n" in shown
    assert all(f"control, {control}: {name}(" in shown for control in KNOWN[name].controls)
    assert (f"{name}+controls" in shown) == bool(KNOWN[name].controls)


def test_controls_of_every_method_are_on_the_page():
    table = re.search(r"\n(\|.*\|\n)+", PAGE[PAGE.index("\n### Controls\n") :])
    assert table is not None
    told = [line.strip("| ").split(" | ") for line in table[0].strip().splitlines()[2:]]
    known = {
        f"`{name}`": "; ".join(
            f"{control}: " + ", ".join(f"`{key}={word(value)}`" for key, value in own.items())
            for control, own in about.controls.items()
        )
        for name, about in KNOWN.items()
        if about.controls
    }
    assert dict(told) == known


def test_every_switch_is_explained_and_its_section_is_there():
    table = {row[0].strip("`"): row[1:] for row in rows("The switches of MMDG-Bench's methods")}
    generalisation = {name for name, where in METHODS.items() if ".generalisation." in where}
    others = KNOWN.keys() - generalisation - {"erm"} | {"coral"}  # not of MMDG-Bench
    known = {
        key
        for name, about in KNOWN.items()
        for family, values in {"all": about.as_published, **about.as_published_in}.items()
        if family in BUDGETS or (family == "all" and name not in others)
        for key in values
    }
    assert set(table) == known
    sections = {row[0] for row in rows("Sources")}
    assert {number for row in table.values() for number in row[0].split(", ")} <= sections
    for about in (KNOWN[name] for name in KNOWN if name not in others):
        switched = {key for values in (about.as_published, *about.as_published_in.values()) for key in values}
        for field in about.fields:  # the source beside the number names a section, too
            found = re.search(r"MMDG-Bench (\d\.\d)", field.source)
            assert field.name not in switched or (found is not None and found[1] in sections), field.name


def test_the_rules_of_the_families_are_on_the_page():
    table = {row[0].strip("`"): row[1:] for row in rows("The rules")}
    defaults = Protocol.model_validate({}).model_dump()
    fields = {field for rules in BUDGETS.values() for field in rules}
    assert table.keys() == fields <= defaults.keys()
    for field, cells in table.items():
        assert cells == [str(rules.get(field, "")) for rules in BUDGETS.values()]
