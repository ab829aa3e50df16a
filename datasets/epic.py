"""EPIC-Kitchens with the domains of MM-SADA: eight verbs in three kitchens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .dataset import Target
from .shared.action import Action

if TYPE_CHECKING:
    from .media.clip import MediaSet


class Epic(Action):
    """EPIC-Kitchens, kitchens D1, D2, D3 of MM-SADA (Munro and Damen, CVPR 2020); classes are verb indices."""

    name = "epic"
    raw_layout = "epic"
    title = "EPIC-Kitchens (MM-SADA)"
    homepage = "https://github.com/jonmun/MM-SADA-code"
    target = Target("classification", classes=tuple(map(str, range(8))), metrics="classification")
    raw_layout = "epic"
    lists = {"d1": (1543, 435), "d2": (2495, 750), "d3": (3897, 974)}  # noqa: RUF012 (never changed)
    #: The source test lists validate (section 1.1).
    rules_as_published = {"roles": "test-validates"}  # noqa: RUF012 (never changed)

    @property
    def raw_domains(self) -> tuple[str, ...]:
        """``D1`` to ``D3``."""
        return tuple(domain.upper() for domain in self.lists)

    def raw(self, folder: Path) -> MediaSet:
        """Lists the published videos, sound and optical flow (:mod:`mmbench.datasets.media.epic`). Raises DataError."""
        from .media.epic import read_epic

        return read_epic(self, folder)
