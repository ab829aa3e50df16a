"""Documentation as the terminal shows it: prose and tables of docstrings fitted to its width."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..core.limits import limits_text
from ..core.method_fields import word
from ..core.method_spec import MethodDescription
from ..report.console import borderless

#: A line of a table in reStructuredText that separates its heading from its rows.
_RULE = re.compile(r"=+( +=+)+ *")


def print_docstring(out: Console, text: str) -> None:
    """Prints a docstring. Paragraphs and list items are wrapped anew, and tables in reStructuredText are laid out anew; what is
    indented stays as it is.

    Args:
        out: where to.
        text: the docstring, without common indentation.
    """
    for number, block in enumerate(re.split(r"\n\s*\n", text.strip("\n"))):
        if number:
            out.print()
        lines = block.split("\n")
        rules = [place for place, line in enumerate(lines) if _RULE.fullmatch(line)]
        if len(rules) == 3:
            _print_lines(out, lines[: rules[0]])
            out.print(_table_of(lines, rules))
            _print_lines(out, lines[rules[2] + 1 :])
        else:
            _print_lines(out, lines)


def _print_lines(out: Console, lines: list[str]) -> None:
    for item in _items(lines):
        hanging = 2 if item.startswith(("* ", "- ")) else 0
        shown = Text(item[hanging:], no_wrap=item.startswith(" "), overflow="fold")
        if hanging:
            mark = Table.grid(padding=0)
            mark.add_column(width=hanging)
            mark.add_column()
            mark.add_row(item[:hanging], shown)
            out.print(mark)
        else:
            out.print(shown, soft_wrap=item.startswith(" "))


def _items(lines: list[str]) -> Iterator[str]:
    """Paragraphs, items of lists with their further lines, and indented lines as they are."""
    item = ""
    for line in lines:
        further = line.startswith("  ") and item.startswith(("* ", "- "))
        if item and (further or not line.startswith((" ", "* ", "- "))) and not item.startswith(" "):
            item += " " + line.strip()
            continue
        if item:
            yield item
        item = line
    if item:
        yield item


def _table_of(lines: list[str], rules: list[int]) -> Table:
    """A table in reStructuredText; a line whose first column is empty goes on with the row above."""
    starts = [match.start() for match in re.finditer("=+", lines[rules[0]])]
    ends = [*starts[1:], None]

    def cells(line: str) -> list[str]:
        return [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]

    rows: list[list[str]] = []
    for line in lines[rules[1] + 1 : rules[2]]:
        found = cells(line)
        if found[0] or not rows:
            rows.append(found)
        else:
            rows[-1] = [f"{one} {more}".strip() for one, more in zip(rows[-1], found, strict=True)]
    table = borderless(*(cells(lines[rules[0] + 1])), padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def print_parameters(out: Console, description: MethodDescription) -> None:
    """Prints a row for each parameter of a method; columns that say nothing of any are left out. Where the terminal is too narrow
    for them, all beside name and default is one column.

    Args:
        out: where to.
        description: of the method.
    """
    told: dict[str, list[str]] = {
        heading: [] for heading in ("parameter", "default", "range", "searched", "as published", "source")
    }
    for item in description.fields:
        search = item.search or {}
        scale = ", logarithmic" if search.get("log") else ""
        values = search.get("choices") or (f"{search['low']} to {search['high']}{scale}" if search else "")
        published = description.published_value(item.name)
        others = ", ".join(word(choice) for choice in item.choices if choice != item.default)
        default = f"{item.default} (or {others})" if others else str(item.default)
        row = (item.name, default, limits_text(item.limits), str(values), published, item.source)
        for column, text in zip(told.values(), row, strict=True):
            column.append(text)
    kept = {heading: column for heading, column in told.items() if any(column)}
    widths = [max(map(cell_len, [heading, *column])) + 2 for heading, column in kept.items()]
    if sum(widths) > out.width:
        said = {
            heading: column for heading, column in kept.items() if heading not in ("parameter", "default")
        }
        marked = {"range": "", "source": ""}
        together = [
            "; ".join(
                f"{marked.get(heading, f'{heading} ')}{text}"
                for heading, text in zip(said, texts, strict=True)
                if text
            )
            for texts in zip(*said.values(), strict=True)
        ]
        kept = {"parameter": told["parameter"], "default": told["default"], "what is known of it": together}
    table = borderless(*kept, padding=(0, 2, 0, 0))
    for row in zip(*kept.values(), strict=True):
        table.add_row(*map(Text, row))
    out.print()
    out.print(table)
    out.print()
