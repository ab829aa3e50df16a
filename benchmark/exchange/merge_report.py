"""The outcome of a merge: what was taken, verified and refused, and why."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, get_args

from rich.console import Console
from rich.text import Text

from ..core.strings import single_line
from ..report.console import borderless

Kind = Literal[
    "taken",
    "already there",
    "verified",
    "unverified",
    "differs",
    "conflict",
    "refused",
    "unfinished",
    "ignored",
]
#: The kinds that make the exit code differ from 0.
BAD: tuple[Kind, ...] = ("differs", "conflict", "refused")


@dataclass
class Report:
    """The outcome of a merge: one line (kind, name, reason) for each job, evaluation, row and file."""

    lines: list[tuple[Kind, str, str]] = field(default_factory=list)

    def print(self, out: Console) -> None:
        """One line for each thing and reason, and how many of each kind there are."""
        table = borderless("", "what", "rows", "why", padding=(0, 2, 0, 0))
        lines = Counter(self.lines)
        for kind in get_args(Kind):
            for (_, name, reason), count in [item for item in lines.items() if item[0][0] == kind]:
                colour = "red" if kind in BAD else "green" if kind in ("taken", "verified") else "yellow"
                table.add_row(Text(kind, colour), Text(name), str(count) if count > 1 else "", Text(reason))
        out.print(table)
        counts = Counter(kind for kind, _, _ in self.lines)
        words = ", ".join(f"{counts[kind]} {kind}" for kind in get_args(Kind) if counts[kind])
        out.print(words or "nothing to take", highlight=False)

    def add(self, kind: Kind, name: str, reason: str = "") -> None:
        """Notes one thing. Names from elsewhere are written so that they cannot steer a terminal.

        Args:
            kind: what became of it.
            name: of a job, an evaluation or a file.
            reason: why, in one line; empty where there is nothing to say.
        """
        shown = os.fsencode(name).decode(errors="replace"), single_line(reason)
        name, reason = ("".join(c if c.isprintable() else "?" for c in text) for text in shown)
        self.lines.append((kind, name, reason))

    @property
    def ok(self) -> bool:
        """Whether nothing differs, conflicts or was refused."""
        return not any(kind in BAD for kind, _, _ in self.lines)
