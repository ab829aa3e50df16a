"""The states of a job, and what they are called."""

from __future__ import annotations

from typing import Literal

State = Literal[
    "planned", "queued", "running", "interrupted", "done", "failed", "dead", "cancelled", "pruned"
]
#: All states, in the order in which they are counted and shown.
STATES: tuple[State, ...] = (
    "done",
    "running",
    "queued",
    "interrupted",
    "planned",
    "pruned",
    "failed",
    "dead",
    "cancelled",
)
#: The states of jobs that did not end well and can be tried again. One that is interrupted goes on, and is not among them.
BROKEN: tuple[State, ...] = ("failed", "dead", "cancelled")
#: The states of jobs that are under way.
ACTIVE: tuple[State, ...] = ("queued", "running")
