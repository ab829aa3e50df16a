"""Draws docs/architecture.svg: the rooms of the code and what they import, read from the code.

Run by ``make pictures``. An arrow that follows from others is left out, so that the picture can be read: where A imports
B, and B imports C, no arrow leads from A to C.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"
#: The rows of the picture, from what imports nothing to the command. A room may import from the rows above its own.
ROWS = (
    ("datasets",),
    ("methods", "corruptions", "regimes"),
    ("core", "leaderboards"),
    ("store", "data"),
    ("planning",),
    ("search", "features"),
    ("report", "train"),
    ("launch", "exchange", "check", "segmentation"),
    ("slurm", "cli"),
)
#: What lives in a room.
WORDS = {
    "datasets": "files to samples",
    "leaderboards": "metrics, tables",
    "methods": "networks, objectives",
    "corruptions": "damage to inputs",
    "regimes": "segmenters",
    "core": "job, protocol, registry",
    "store": "results on disk, locks",
    "data": "tensors of a task",
    "planning": "an experiment to jobs",
    "search": "hyper-parameters",
    "features": "raw media to features",
    "report": "a store to tables",
    "train": "one job",
    "launch": "jobs to workers",
    "exchange": "results from elsewhere",
    "check": "conformance, doctor",
    "segmentation": "jobs of segmenters",
    "slurm": "job arrays",
    "cli": "the command",
}
ROOMS = tuple(room for row in ROWS for room in row)
#: What is reached by its name in a table and is imported when it is used: drawn as a dashed line.
BY_NAME = {"launch": "slurm"}
#: Folders of their own; all other rooms lie in benchmark/.
FOLDERS = ("datasets", "leaderboards", "methods", "corruptions", "regimes", "slurm")

WIDTH, HEIGHT = 150, 50
STEP_X, STEP_Y = 200, 92
MARGIN, TOP = 14, 48


def room_of(parts: tuple[str, ...]) -> str | None:
    """The room of a module, by the parts of its name within mmbench; None for what is no room."""
    if parts and parts[0] in FOLDERS:
        return parts[0]
    if len(parts) > 1 and parts[0] == "benchmark" and parts[1] in ROOMS:
        return parts[1]
    return None


def imported(file: Path) -> set[str]:
    """The rooms from which a file imports, imports within functions included."""
    package = file.relative_to(ROOT).parent.parts
    rooms: set[str | None] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = (*base, *(node.module.split(".") if node.module else ()))
            rooms |= {room_of((*module, alias.name)) for alias in node.names}
    return {room for room in rooms if room}


def imports() -> dict[str, set[str]]:
    """Room -> the rooms from which its files import. Itself is left out, and what is reached by name."""
    arrows: dict[str, set[str]] = {room: set() for room in ROOMS}
    for room in ROOMS:
        folder = ROOT / room if room in FOLDERS else ROOT / "benchmark" / room
        for file in sorted(folder.rglob("*.py")):
            arrows[room] |= imported(file) - {room, *BY_NAME.values()}
    return arrows


def essential(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The arrows that do not follow from others.

    Args:
        arrows: room -> the rooms that it imports from.

    Returns:
        The same without arrows from A to C where there is a longer way from A to C.
    """

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for room in arrows[waiting.pop()] - seen:
                seen.add(room)
                waiting.append(room)
        return seen

    return {
        room: {to for to in direct if not any(to in reached(other) for other in direct - {to})}
        for room, direct in arrows.items()
    }


def places() -> dict[str, tuple[float, float]]:
    """Room -> the upper left corner of its box."""
    widest = max(len(row) for row in ROWS)
    corners = {}
    for y, row in enumerate(ROWS):
        for x, room in enumerate(row):
            corners[room] = (MARGIN + (x + (widest - len(row)) / 2) * STEP_X, TOP + y * STEP_Y)
    return corners


def picture() -> str:
    """The SVG.

    Raises:
        ValueError: a room imports from a room that is not above it.
    """
    order = {room: number for number, row in enumerate(ROWS) for room in row}
    arrows = imports()
    wrong = [
        f"{room} -> {to}" for room, direct in arrows.items() for to in direct if order[to] >= order[room]
    ]
    if wrong:
        raise ValueError(f"against the order of rooms: {', '.join(sorted(wrong))}")
    corners = places()
    width = 2 * MARGIN + (max(map(len, ROWS)) - 1) * STEP_X + WIDTH
    height = TOP + (len(ROWS) - 1) * STEP_Y + HEIGHT + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#5c6773"/></marker></defs>',
        f'<text x="{MARGIN}" y="18" font-size="12.5" fill="#333">An arrow points to what is imported; dashed: named in a table, '
        "imported when used.</text>",
        f'<text x="{MARGIN}" y="35" font-size="12.5" fill="#333">Blue: rooms of benchmark/. Grey: folders of their own.</text>',
    ]
    for room in ROOMS:
        for to in sorted(essential(arrows)[room], key=ROOMS.index):
            arrow = _arrow if order[room] - order[to] == 1 else _long_arrow
            lines.append(arrow(corners[room], corners[to]))
    lines += [_dashed(corners[room], corners[to]) for room, to in BY_NAME.items()]
    lines += [_box(room, *corners[room]) for room in ROOMS]
    return "\n".join([*lines, "</svg>", ""])


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """From the upper side of a box to the lower side of one above it."""
    x, y, to_x, to_y = start[0] + WIDTH / 2, start[1], end[0] + WIDTH / 2, end[1] + HEIGHT
    bend = max(14.0, (y - to_y) / 2)
    curve = f"M{x:g} {y:g} C{x:g} {y - bend:g} {to_x:g} {to_y + bend:g} {to_x:g} {to_y + 1:g}"
    return f'<path d="{curve}" {_LINE}/>'


def _long_arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Over rows between: straight up in the column of the box that is further right, round the boxes of those rows."""
    if start[0] > end[0]:
        x, y = start[0] + WIDTH / 2, start[1]
        to_x, to_y = end[0] + WIDTH, end[1] + 0.7 * HEIGHT
        turn = to_y + HEIGHT
        path = f"M{x:g} {y:g} L{x:g} {turn:g} C{x:g} {to_y:g} {x:g} {to_y:g} {to_x + 1:g} {to_y:g}"
    else:
        x, y = start[0] + WIDTH, start[1] + 0.3 * HEIGHT
        to_x, to_y = end[0] + WIDTH / 2, end[1] + HEIGHT
        turn = y - HEIGHT
        path = f"M{x:g} {y:g} C{to_x:g} {y:g} {to_x:g} {y:g} {to_x:g} {turn:g} L{to_x:g} {to_y + 1:g}"
    return f'<path d="{path}" {_LINE}/>'


def _dashed(start: tuple[float, float], end: tuple[float, float]) -> str:
    """From the lower side of a box to the upper side of one in the next row, beside the arrow back."""
    x, y, to_x, to_y = start[0] + WIDTH / 4, start[1] + HEIGHT, end[0] + WIDTH / 4, end[1]
    curve = f"M{x:g} {y:g} C{x:g} {y + 18:g} {to_x:g} {to_y - 18:g} {to_x:g} {to_y - 1:g}"
    return f'<path d="{curve}" stroke-dasharray="4 3" {_LINE}/>'


_LINE = 'fill="none" stroke="#5c6773" stroke-width="1.3" marker-end="url(#tip)"'


def _box(room: str, x: float, y: float) -> str:
    fill, stroke = ("#eceff1", "#90a4ae") if room in FOLDERS else ("#e3ecfa", "#5b8def")
    middle = x + WIDTH / 2
    first = y + HEIGHT / 2 - 3
    parts = [
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="7" fill="{fill}" stroke="{stroke}"/>',
        f'<text x="{middle:g}" y="{first:g}" text-anchor="middle" font-size="14" font-weight="bold" '
        f'fill="#1b2a41">{escape(room)}</text>',
    ]
    parts.append(
        f'<text x="{middle:g}" y="{first + 17:g}" text-anchor="middle" font-size="11.5" fill="#333">'
        f"{escape(WORDS[room])}</text>"
    )
    return "\n".join(parts)


def main() -> int:
    """Writes the picture."""
    try:
        drawn = picture()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    PICTURE.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
