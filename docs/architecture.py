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
#: The columns of the picture, from what imports nothing to the command. A room may import from columns to its left.
COLUMNS = (
    ("datasets",),
    ("methods", "corruptions"),
    ("core", "leaderboards"),
    ("store", "data"),
    ("planning",),
    ("search", "features"),
    ("report", "train"),
    ("launch", "exchange", "check"),
    ("slurm", "cli"),
)
#: What lives in a room, in lines that fit.
WORDS = {
    "datasets": ("files to samples,", "media, encoders"),
    "leaderboards": ("metrics, statistics,", "tables, pictures"),
    "methods": ("networks and", "their objectives"),
    "corruptions": ("damage to inputs",),
    "core": ("job, protocol,", "registry"),
    "store": ("results on disk,", "locks"),
    "data": ("tensors of a task",),
    "planning": ("experiment to jobs",),
    "search": ("hyper-parameters",),
    "features": ("raw media to", "features"),
    "report": ("store to tables",),
    "train": ("one job",),
    "launch": ("jobs to workers",),
    "exchange": ("results from", "elsewhere"),
    "check": ("conformance,", "doctor"),
    "slurm": ("job arrays",),
    "cli": ("the command",),
}
ROOMS = tuple(room for column in COLUMNS for room in column)
#: What is reached by its name in a table and is imported when it is used: drawn as a dashed line.
BY_NAME = {"launch": "slurm"}
#: Folders of their own; all other rooms lie in benchmark/.
FOLDERS = ("datasets", "leaderboards", "methods", "corruptions", "slurm")

WIDTH, HEIGHT = 112, 62
STEP_X, STEP_Y = 140, 96
MARGIN, TOP = 14, 40


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
    tallest = max(len(column) for column in COLUMNS)
    corners = {}
    for x, column in enumerate(COLUMNS):
        for y, room in enumerate(column):
            corners[room] = (MARGIN + x * STEP_X, TOP + (y + (tallest - len(column)) / 2) * STEP_Y)
    return corners


def picture() -> str:
    """The SVG.

    Raises:
        ValueError: a room imports from a room that is not to its left.
    """
    order = {room: number for number, column in enumerate(COLUMNS) for room in column}
    arrows = imports()
    wrong = [
        f"{room} -> {to}" for room, direct in arrows.items() for to in direct if order[to] >= order[room]
    ]
    if wrong:
        raise ValueError(f"against the order of rooms: {', '.join(sorted(wrong))}")
    corners = places()
    width = 2 * MARGIN + (len(COLUMNS) - 1) * STEP_X + WIDTH
    height = TOP + 2 * STEP_Y + HEIGHT + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#5c6773"/></marker></defs>',
        f'<text x="{MARGIN}" y="20" font-size="13" fill="#333">An arrow points to what is imported. Dashed: '
        "named in a table, imported when used. Blue: rooms of benchmark/. Grey: folders of their own.</text>",
    ]
    for room in ROOMS:
        for to in sorted(essential(arrows)[room], key=ROOMS.index):
            lines.append(_arrow(corners[room], corners[to]))
    lines += [_dashed(corners[room], corners[to]) for room, to in BY_NAME.items()]
    lines += [_box(room, *corners[room]) for room in ROOMS]
    return "\n".join([*lines, "</svg>", ""])


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """From the left side of a box to the right side of another."""
    x, y = start[0], start[1] + HEIGHT / 2
    to_x, to_y = end[0] + WIDTH, end[1] + HEIGHT / 2
    bend = max(14.0, (x - to_x) / 2)
    curve = f"M{x:g} {y:g} C{x - bend:g} {y:g} {to_x + bend:g} {to_y:g} {to_x + 1:g} {to_y:g}"
    return f'<path d="{curve}" fill="none" stroke="#5c6773" stroke-width="1.3" marker-end="url(#tip)"/>'


def _dashed(start: tuple[float, float], end: tuple[float, float]) -> str:
    """From the right side of a box to the left side of one in the next column."""
    x, y, to_x, to_y = start[0] + WIDTH, start[1] + HEIGHT / 4, end[0], end[1] + HEIGHT / 4
    line = f"M{x:g} {y:g} C{x + 14:g} {y:g} {to_x - 14:g} {to_y:g} {to_x - 1:g} {to_y:g}"
    style = 'stroke-width="1.3" stroke-dasharray="4 3" marker-end="url(#tip)"'
    return f'<path d="{line}" fill="none" stroke="#5c6773" {style}/>'


def _box(room: str, x: float, y: float) -> str:
    fill, stroke = ("#eceff1", "#90a4ae") if room in FOLDERS else ("#e3ecfa", "#5b8def")
    middle = x + WIDTH / 2
    first = y + HEIGHT / 2 - 7 * (len(WORDS[room]) - 1) - 3
    parts = [
        f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="7" fill="{fill}" stroke="{stroke}"/>',
        f'<text x="{middle:g}" y="{first:g}" text-anchor="middle" font-size="14" font-weight="bold" '
        f'fill="#1b2a41">{escape(room)}</text>',
    ]
    parts += [
        f'<text x="{middle:g}" y="{first + 15 * (number + 1):g}" text-anchor="middle" font-size="11.5" '
        f'fill="#333">{escape(line)}</text>'
        for number, line in enumerate(WORDS[room])
    ]
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
