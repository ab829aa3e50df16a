"""The states of a job, and what they are called."""

from __future__ import annotations

from typing import Literal

State = Literal["planned", "queued", "running", "done", "failed", "dead", "cancelled", "pruned"]
#: All states, in the order in which they are counted and shown.
STATES: tuple[State, ...] = ("done", "running", "queued", "planned", "pruned", "failed", "dead", "cancelled")
#: The states of jobs that did not end well and can be tried again.
BROKEN: tuple[State, ...] = ("failed", "dead", "cancelled")
#: The states of jobs that are under way.
ACTIVE: tuple[State, ...] = ("queued", "running")
