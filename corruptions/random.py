"""The stream of random numbers, which ``datasets.stream`` defines for corruptions and methods alike."""

from __future__ import annotations

from ..datasets.stream import Stream

__all__ = ["Stream"]
