"""Documentation and lists as the terminal shows them."""

from __future__ import annotations

import io

import pytest
from mmbench.benchmark.cli.documentation import print_docstring, print_parameters
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.registry import find
from mmbench.benchmark.report.console import SafeConsole

from ..conftest import Call

TEXT = """First line of a paragraph
that goes on.

* one item, which is
  longer than a line
* another

=====  =======
field  meaning
=====  =======
``a``  first
       and more
``b``  second
=====  =======

    code = as_it_is
"""


def printed(width: int) -> tuple[SafeConsole, io.StringIO]:
    file = io.StringIO()
    return SafeConsole(file=file, width=width), file


def test_paragraphs_items_and_tables_are_laid_out_anew() -> None:
    out, file = printed(60)
    print_docstring(out, TEXT)
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert lines == [
        "First line of a paragraph that goes on.",
        "",
        "* one item, which is longer than a line",
        "* another",
        "",
        "field  meaning",
        "``a``  first and more",
        "``b``  second",
        "",
        "    code = as_it_is",
    ]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_parameters_fit_and_say_their_ranges(width: int) -> None:
    out, file = printed(width)
    print_parameters(out, describe(find("method", "ebmc")))
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert ("what is known of it" in text) == (width < 200)
    assert "above 0" in text


def test_methods_are_listed_family_by_family_in_a_line_each(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = call("list", "methods")[1].splitlines()
    assert lines[0] == "baseline (1)"
    assert all(len(line) <= 80 for line in lines)
    start = next(place for place, line in enumerate(lines) if line.startswith("missing ("))
    assert lines[start + 1].startswith("  ebmc ")
    assert lines[-1].startswith(f"{sum(line.startswith('  ') for line in lines)} methods; mmbench show NAME")
