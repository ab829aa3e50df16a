"""Leaderboards as one HTML file that asks nothing of any network.

The tables stand in the file as plain HTML, so that a reader without scripts, a printer and a search engine see
them; the script takes them over from the data beside them, once, and sorts, filters and explains. All text goes
through ``html.escape`` here and ``textContent`` there. The same tables give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import pandas as pd

from ..labels import MARGIN, REAL, SYNTHETIC, Across, counted, is_tidy
from ..tables.accuracy import data_label
from .files import file_name, write_text
from .notes import notes, title
from .page_budget import ALL, DATA, MARKUP, PLAIN_ROWS, fitting_pictures, fitting_views, left_out
from .page_data import PageData, six_digits
from .summary import BEST, SECOND, Panel
from .summary_view import summary_view
from .text import TIED
from .views import Fact, Facts, PrintedCell, TableView, gone, same_everywhere, views_of

#: Dots an inch of a picture on a page.
PICTURE_DOTS = 110


@dataclass(frozen=True)
class PageTable:
    """A leaderboard as the page is given it.

    Attributes:
        name: its name, such as ``"accuracy"``.
        subject: what its title begins with.
        across: what its columns are, as in ``text.wide``.
        frame: tidy, as ``tables.accuracy`` gives it, or a frame of text such as ``cost.audit`` gives.
        is_shown: whether a condition is shown at first; the others are one click away.
        panels: of a summary, whose cells are those of the terminal; ``frame`` says what data it is of.
    """

    name: str
    subject: str
    across: Across
    frame: pd.DataFrame
    is_shown: Callable[[str], bool] = lambda condition: True
    panels: Sequence[Panel] = ()


@dataclass(frozen=True)
class Picture:
    """A picture: what it is called, and its PNG file."""

    name: str
    png: bytes


def page(
    tables: Sequence[PageTable], pictures: Sequence[Picture], version: str, heading: str = "", date: str = ""
) -> str:
    """The page.

    Args:
        tables: one or more.
        pictures: PNG, embedded.
        version: of mmbench.
        heading: the title; it gets the kind of data behind it. By default ``"mmbench leaderboard"``.
        date: what the page says of when it was made; the clock is not asked.

    Returns:
        HTML with a line feed at its end.

    Raises:
        ValueError: no tables, one without rows, or a picture that is no PNG file.
    """
    if not tables:
        raise ValueError("a page needs a table")
    facts = Facts()
    views = {table.name: _views(table, facts) for table in tables}
    style, script = _part("page.css"), _part("page.js")
    named = _named(tables, heading)
    links = [*(table.name for table in tables), *(["pictures"] if pictures else []), "notes"]
    pack = PageData(facts.all)
    data, gone_views = pack.packed(views), dict.fromkeys(views, ())
    if len(data) > DATA:
        views, gone_views = fitting_views(views, pack.text_of, DATA)
        data = pack.packed(views)
    sections = [_section(table, views[table.name], gone_views[table.name]) for table in tables]
    if _bytes(sections) > MARKUP:
        sections = [
            _section(table, views[table.name], gone_views[table.name], PLAIN_ROWS) for table in tables
        ]
    sections += [_gallery(pictures, ALL - len(data) - _bytes(sections))] if pictures else []
    software = ", ".join(filter(None, [f"mmbench {version}", date]))
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_part("page.html")).substitute(
        policy=policy,
        version=escape(version),
        title=escape(named),
        style=style,
        lead=escape(_lead(facts.all)),
        warning=_warning(tables),
        links=" ".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in links),
        sections="\n".join(sections),
        notes="\n".join(
            f"<li>{escape(note)}</li>"
            for note in _notes([one.frame for one in tables], any(one.panels for one in tables))
        ),
        colophon=escape(
            f"Made by {software} from the predictions of every network; nothing is loaded from elsewhere."
        ),
        data=data,
        script=script,
    )


def _bytes(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def _views(table: PageTable, facts: Facts) -> list[TableView]:
    if table.panels:
        return [summary_view(table.panels, facts)]
    return views_of(table.frame, table.across, table.is_shown, facts)


def write_page(folder: Path, tables: Sequence[PageTable], version: str) -> Path:
    """Writes a page without pictures to a folder, under a name that says so where data are synthetic.

    Args:
        folder: made where it does not exist.
        tables: as of ``page``.
        version: of mmbench, for the colophon.

    Returns:
        Its path.

    Raises:
        ValueError: as ``page``.
        OSError: it cannot be written.
    """
    return write_text(folder / page_name([table.frame for table in tables]), page(tables, (), version))


def page_name(frames: Sequence[pd.DataFrame]) -> str:
    """``"leaderboard.html"``; the name says so where data are synthetic."""
    return file_name(_data_of(frames), "leaderboard", ".html")


def _part(name: str) -> str:
    return files("mmbench.leaderboards.render").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data_of(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.DataFrame({"data": [kind for frame in frames for kind in frame["data"]]})


def _named(tables: Sequence[PageTable], heading: str) -> str:
    label = data_label(_data_of([table.frame for table in tables]))
    return f"{heading or 'mmbench leaderboard'} ({'real data' if label == REAL else label})"


def _lead(facts: Sequence[Fact]) -> str:
    # A row of a comparison is about no single task, set or seeds: it says nothing of them.
    named = [{getattr(fact, name) for fact in facts} - {""} for name in ("method", "task", "modalities")]
    methods, tasks, sets = map(len, named)
    counts = [counted(methods, "method"), counted(tasks, "task"), counted(sets, "set") + " of modalities"]
    seeds = {len(set(fact.seeds.split())) for fact in facts} - {0}
    if seeds:
        counts.append("/".join(map(str, sorted(seeds))) + (" seed each" if seeds == {1} else " seeds each"))
    return " · ".join(counts)


def _warning(tables: Sequence[PageTable]) -> str:
    if data_label(_data_of([table.frame for table in tables])) == REAL:
        return ""
    words = f"Rows with data '{SYNTHETIC}' say nothing about the real dataset."
    return f'<p class="synthetic"><span>{escape(words)}</span></p>'


def _notes(frames: Sequence[pd.DataFrame], summary: bool) -> list[str]:
    """What holds for all tables, each note once; holes are named below their tables.

    Args:
        frames: of the tables.
        summary: whether a summary stands before them.
    """
    judged = [frame for frame in frames if is_tidy(frame)]
    lacking = {f"— {hole}" for frame in judged for hole in gone(frame)}
    said = dict.fromkeys(note for frame in judged for note in notes(frame) if note not in lacking)
    marks = (
        f"Bold: marked best. Underlined: the second mean of three or more. No bold stands where the paired tests do "
        f"not separate the rows; {TIED} where they are shown to be the same within {100 * MARGIN:g} %. Marks compare all rows, also those that a filter hides."
    )
    second = f"Summary: {BEST} best and {SECOND} second by value alone; tests are in the tables below it."
    return [*([second] if summary else []), *said, *([marks] if judged else [])]


def _section(
    table: PageTable, views: Sequence[TableView], gone_views: Sequence[str], most: int | None = None
) -> str:
    """A table with what is said of it: at most so many of its rows; the script shows all."""
    name = escape(table.name)
    text = table.subject if not is_tidy(table.frame) else title(table.frame, table.subject)
    shared = "; ".join(f"{key} {value}" for key, value in same_everywhere(table.frame).items())
    lines = [
        f'<section id="{name}" aria-labelledby="{name}-title">',
        f'<h2 id="{name}-title">{escape(table.subject)}</h2>',
    ]
    lines.append(
        f'<div class="tools script" hidden></div>\n<div class="scroll" tabindex="0" role="region" aria-labelledby="{name}-title">'
    )
    caption = text + (". " + shared if shared else "")
    # The heading names the table: a caption that repeats it says nothing.
    said = f"<caption><span>{escape(caption)}</span></caption>" if caption != table.subject else ""
    lines.append(f'<table data-table="{name}" aria-labelledby="{name}-title">{said}')
    lines.append(_table(views[0], most))
    lines.append("</table></div>")
    if most is not None and len(views[0].rows) > most:
        lines.append(
            f"<noscript><p>The first {most} of {len(views[0].rows)} rows; a browser that runs scripts shows all.</p></noscript>"
        )
    lines.append(left_out("view", gone_views, f"mmbench leaderboard --what {table.name} --format csv"))
    lacking = gone(table.frame)
    if lacking:
        items = "".join(f"<li>{escape(hole)}</li>" for hole in lacking)
        lines.append(
            f'<details class="holes" open><summary>{counted(len(lacking), "hole")} (—)</summary><ul>{items}</ul></details>'
        )
    lines.append("</section>")
    return "\n".join(filter(None, lines))


def _table(view: TableView, most: int | None) -> str:
    heads = [f'<th scope="col">{escape(name)}</th>' for name in view.names]
    heads += [f'<th scope="col" class="number">{escape(column.heading)}</th>' for column in view.columns]
    lines = [f"<thead><tr>{''.join(heads)}</tr></thead>", "<tbody>"]
    for row in view.rows[:most]:
        names = [
            f'<th scope="row">{escape(row.names[0])}</th>',
            *(f"<td>{escape(name)}</td>" for name in row.names[1:]),
        ]
        lines.append(f"<tr>{''.join(names)}{''.join(map(_cell, row.cells))}</tr>")
    return "\n".join([*lines, "</tbody>"])


def _cell(cell: PrintedCell | None) -> str:
    if cell is None:
        return '<td class="number"></td>'
    kinds = " ".join(filter(None, ["number", cell.mark, "hole" if cell.hole else ""]))
    value = "" if cell.mean is None else f' data-value="{six_digits(cell.mean)!r}"'
    return f'<td class="{kinds}"{value}>{escape(cell.text)}</td>'


def _gallery(pictures: Sequence[Picture], most: int) -> str:
    """The pictures, as long as so many bytes hold them."""
    lines = [
        '<section id="pictures" aria-labelledby="pictures-title">',
        '<h2 id="pictures-title">Pictures</h2>',
    ]
    encoded = [base64.b64encode(picture.png).decode() for picture in pictures]
    kept = fitting_pictures([len(content) for content in encoded], most)
    for picture, content in ((pictures[place], encoded[place]) for place in kept):
        name, (width, height) = escape(picture.name), _size(picture.png)
        lines.append(
            f'<figure><div class="scroll" tabindex="0" role="region" aria-label="{name}"><img alt="{name}" '
            f'width="{width}" height="{height}" src="data:image/png;base64,{content}"></div>'
            f"<figcaption>{name}</figcaption></figure>"
        )
    gone_pictures = [picture.name for place, picture in enumerate(pictures) if place not in set(kept)]
    lines.append(left_out("picture", gone_pictures, "mmbench plot"))
    return "\n".join([*filter(None, lines), "</section>"])


def _size(png: bytes) -> tuple[int, int]:
    """Width and height in CSS pixels: pictures are drawn with ``PICTURE_DOTS`` an inch, of which a page has 96.

    The first chunk of a PNG file is IHDR, which begins with both as big-endian integers (PNG 1.2, 11.2.2).
    """
    if png[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("a picture is no PNG file")
    width, height = (int.from_bytes(png[place : place + 4]) for place in (16, 20))
    return round(width * 96 / PICTURE_DOTS), round(height * 96 / PICTURE_DOTS)
