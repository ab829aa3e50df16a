"""What a page leaves out to stay small: rows of its plain HTML, further views of its tables, pictures.

A page of 50 methods on 20 tasks would be ten times as large as one that opens at once. What is shown first stays; what is
left out is named on the page, with the command that writes it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from html import escape

from ..labels import counted
from .views import TableView

#: Bytes that tables as plain HTML, their data and pictures may take together, where the first views alone do not take more;
#: style and script are small.
ALL = 1_930_000
#: Of them the data, but for first views; and the plain HTML, beyond which a table has ``PLAIN_ROWS`` rows in it.
DATA, MARKUP = 750_000, 600_000
PLAIN_ROWS = 25

Views = Mapping[str, Sequence[TableView]]


def fitting_views(
    views: Views, as_json: Callable[[TableView], str], most: int
) -> tuple[dict[str, list[TableView]], dict[str, list[str]]]:
    """The views that a page has room for.

    The first view of every table stays. Then the second of every table is taken, then the third, as long as they fit.

    Args:
        views: table -> its views.
        as_json: the text that a page has of a view.
        most: bytes, in base64.

    Returns:
        Table -> its views, in their order; table -> the labels of those that are left out.
    """
    sizes = {
        (name, place): len(gzip.compress(as_json(view).encode(), 6)) * 4 // 3
        for name, board in views.items()
        for place, view in enumerate(board)
    }
    left = most
    kept: set[tuple[str, int]] = set()
    for key in sorted(sizes, key=lambda key: key[1]):
        if key[1] == 0 or sizes[key] <= left:
            kept.add(key)
            left -= sizes[key]
    chosen = {
        name: [view for place, view in enumerate(board) if (name, place) in kept]
        for name, board in views.items()
    }
    gone = {
        name: [view.label for place, view in enumerate(board) if (name, place) not in kept]
        for name, board in views.items()
    }
    return chosen, gone


def fitting_pictures(sizes: Sequence[int], most: int) -> list[int]:
    """The places of the pictures that a page has room for: the smaller ones may follow where a larger has none.

    Args:
        sizes: bytes of each, in base64.
        most: bytes together.
    """
    kept: list[int] = []
    left = most
    for place, size in enumerate(sizes):
        if size <= left:
            kept.append(place)
            left -= size
    return kept


def left_out(what: str, names: Sequence[str], command: str) -> str:
    """A sentence as HTML on what is left out; empty where nothing is.

    Args:
        what: ``"view"`` or ``"picture"``.
        names: of them.
        command: writes them.
    """
    if not names:
        return ""
    listed = escape(", ".join(names))
    return (
        f'<details class="left-out"><summary>{counted(len(names), what)} left out for the size of the page: '
        f"<code>{escape(command)}</code> writes all</summary><p>{listed}</p></details>"
    )
