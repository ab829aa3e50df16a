"""What the three sentiment datasets share: one layout, one task, files under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..dataset import Published, Target
from ..locate import FoundByName
from ..pickles.mmsa import LocatedPickle, locate_pickle
from ..pickles.mmsa_layout import Layout

if TYPE_CHECKING:
    from ..media.clip import MediaSet

MMSA_HOMEPAGE = "https://github.com/thuiar/MMSA"
CASP_HOMEPAGE = "https://github.com/zrguo/CASP"
CASP_COUNTS = "counted by third parties in CASP's files, not verified"


class Sentiment(FoundByName):
    """A dataset of spoken utterances with text, audio and vision, and a sentiment score to predict."""

    name: str
    title: str
    target: Target
    homepage: str = MMSA_HOMEPAGE
    #: Family of tasks whose published scripts it follows under the protocol ``as-published``.
    family_as_published: str = "sentiment"
    #: format -> what its publishers state
    published: Mapping[str, Published]
    #: format -> the numbers of samples, steps and features of a full-sized stand-in
    layouts: Mapping[str, Layout]

    @property
    def how_to_get(self) -> str:
        """Where the real data come from."""
        return (
            f"the feature files linked from {MMSA_HOMEPAGE} (section Datasets) or {CASP_HOMEPAGE}, "
            f"saved as {' or '.join(self.patterns)}"
        )

    @property
    def patterns(self) -> tuple[str, ...]:
        """The names that published files have."""
        return (*(layout.file_name for layout in self.layouts.values()),)

    def describe(self, file: Path) -> LocatedPickle:
        """Describes one of the published pickles, whatever its name. Raises DataError."""
        return locate_pickle(self.name, file, self.target)

    def raw(self, folder: Path) -> MediaSet:
        """Lists the published videos and transcripts (:mod:`mmbench.datasets.media.mmsa_raw`). Raises DataError."""
        from ..media.mmsa_raw import read_mmsa_raw

        return read_mmsa_raw(self, folder)

    def synthesize(
        self, folder: Path, *, seed: int = 0, size: str = "small", format: str = "casp"
    ) -> list[Path]:
        """Writes a synthetic stand-in (see :mod:`mmbench.datasets.shared.sentiment_synthetic`) into ``folder``.

        Args:
            folder: where to, usually ``root/<name>``.
            seed: another seed gives other samples of the same kind.
            size: ``"small"`` (500, 120 and 200 samples, few steps) or ``"full"`` (the real numbers of
                samples and steps; for MOSEI that is several GB, in memory as well).
            format: ``"casp"`` (the default: the same widths in all three datasets), ``"mmsa-aligned"``,
                ``"mmsa-unaligned"`` or ``"open"``.

        Returns:
            The files written.

        Raises:
            DataError: unknown size or format, real data in the way, or nowhere to write.
        """
        from .sentiment_synthetic import write_stand_in  # brings numpy: not needed to locate

        return write_stand_in(self.name, self.target, self.layouts, folder, seed, size, format)
