"""Human-Animal-Cartoon: seven actions done by people, animals and cartoon figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .dataset import Target
from .shared.action import Action

if TYPE_CHECKING:
    from .media.clip import MediaSet


class Hac(Action):
    """HAC (Dong et al., NeurIPS 2023, SimMMDG); classes are the indices of its lists."""

    name = "hac"
    raw_layout = "hac"
    title = "Human-Animal-Cartoon"
    homepage = "https://github.com/donghao51/SimMMDG"
    target = Target("classification", classes=tuple(map(str, range(7))), metrics="classification")
    raw_layout = "hac"
    lists = {"human": (1111, 276), "animal": (730, 176), "cartoon": (870, 218)}  # noqa: RUF012 (never changed)
    #: The source test lists validate, and both lists of the target are tested (section 1.1).
    rules_as_published = {"roles": "test-validates-whole-target"}  # noqa: RUF012 (never changed)

    def raw(self, folder: Path) -> MediaSet:
        """Lists the published videos, sound and optical flow (:mod:`mmbench.datasets.media.hac`). Raises DataError."""
        from .media.hac import read_hac

        return read_hac(self, folder)
