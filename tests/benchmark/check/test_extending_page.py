"""docs/extending.md and docs/exchange.md show the examples that are tested, and what is said of tables and groups holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mmbench.benchmark.core.registry import KINDS

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "extending.md").read_text(encoding="utf-8")
PAGES = PAGE + (DOCS / "exchange.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r'^```python title="(.+?)"\n(.*?)^```$', PAGES, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("file", sorted(file.name for file in (DOCS / "examples").glob("*.py")))
def test_the_page_shows_the_example_as_it_is(file: str):
    text = (DOCS / "examples" / file).read_text(encoding="utf-8")
    assert BLOCKS[file] == text, f"copy docs/examples/{file} into its page anew"


def test_every_block_is_an_example():
    more = {
        "estimator.py",
        "media_method.py",
        "prototypes.py",
        "token_method.py",
        "unimodal_labels.py",  # these are methods, too
        "ridge.py",  # of docs/exchange.md
    }
    assert set(BLOCKS) == {*more, *(f"{kind}.py" for kind in KINDS)}
    assert all((DOCS / "examples" / file).is_file() for file in BLOCKS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_row_and_its_section(kind: str):
    source = KINDS[kind]  # type: ignore[index]  # a kind
    assert f"| {kind} | `{source.table}` | `{source.group}` |" in PAGE
    assert f"mmbench check {kind} " in PAGE
    article = "An" if kind[0] in "aeiou" else "A"
    assert f"\n## {article} {kind}\n" in PAGE
