"""MIMIC-IV: in-hospital death from two days of intensive care, in the pickles of FuseMoE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .dataset import DataError, Published, Samples, Target, data_error, writing
from .locate import FoundByName
from .pickles.mimic4_layout import COUNTS, FILE_NAMES, MODALITIES
from .pickles.mmsa import is_synthetic
from .shared.known_files import KnownFiles
from .shared.stand_in import check_replaceable


@dataclass(frozen=True)
class LocatedStays(KnownFiles):
    """The three pickles that were found on disk. See :class:`mmbench.datasets.dataset.Located`."""

    name: str
    files: tuple[Path, ...]
    target: Target
    synthetic: bool
    format: str = "fusemoe"
    modalities: tuple[str, ...] = MODALITIES

    @property
    def group_names(self) -> dict[str, str]:
        """``"group"`` -> what it is."""
        return {"group": "patient"}

    def load(self) -> dict[str, Samples]:
        """Reads and checks every split. Raises DataError."""
        from .pickles.read_mimic4 import read_stays  # brings numpy: not needed to describe

        return read_stays(self.files)


class Mimic4(FoundByName):
    """MIMIC-IV (Johnson et al., Scientific Data 2023) as FuseMoE prepares it (Han et al., NeurIPS 2024).

    Thirty vital signs and laboratory values at irregular times; notes (768), X-rays (1024) and electrocardiograms (256) as
    vectors, each at its time; the last five of a stay. Many stays have no note, no X-ray or no electrocardiogram.
    """

    name = "mimic4"
    title = "MIMIC-IV, 48 hours, in-hospital mortality"
    homepage = "https://physionet.org/content/mimiciv/"
    target = Target("classification", classes=("survived", "died"), metrics="classification")
    patterns = ("train_ihm*_stays.pkl",)
    published: Mapping[str, Published] = {
        "fusemoe": Published(COUNTS, {}, "counted by third parties in FuseMoE's files, not verified")
    }

    @property
    def how_to_get(self) -> str:
        """Where the real data come from."""
        names = ", ".join(FILE_NAMES.values())
        return f"{names}, made by FuseMoE's scripts (github.com/aaronhan223/FuseMoE) of {self.homepage} (credentialed access)"

    def describe(self, file: Path) -> LocatedStays:
        """Describes ``train_ihm..._stays.pkl`` and the files of the other parts beside it. Raises DataError."""
        if not file.name.casefold().startswith("train_"):
            raise data_error(file, "", "is not the training part", "a file called train_..._stays.pkl")
        files = tuple(file.with_name(part + file.name[len("train") :]) for part in ("train", "val", "test"))
        for one in files:
            if not one.is_file():
                raise data_error(file, "", "stands alone", f"{one.name} beside it")
        marks = {is_synthetic(one) for one in files}
        if len(marks) > 1:
            raise data_error(file, "", "some of the three files are a stand-in", "all or none")
        return LocatedStays(self.name, files, self.target, marks.pop())

    def synthesize(
        self, folder: Path, *, seed: int = 0, size: str = "small", format: str = "fusemoe"
    ) -> list[Path]:
        """Writes a synthetic stand-in (see :mod:`mmbench.datasets.shared.mimic4_synthetic`) into ``folder``.

        Args:
            folder: where to, usually ``root/mimic4``.
            seed: another seed gives other stays of the same kind.
            size: ``"small"`` (300, 80 and 100 stays) or ``"full"`` (as many as are published).
            format: ``"fusemoe"``, the published layout.

        Returns:
            The files written.

        Raises:
            DataError: unknown size or format, real data in the way, or nowhere to write.
        """
        from .shared.mimic4_synthetic import SMALL, write_stand_in  # brings numpy: not needed to locate

        if size not in ("small", "full") or format != "fusemoe":
            expected = "expected small or full, fusemoe"
            raise DataError(f"{self.name}: no stand-in of size {size!r} in format {format!r}; {expected}")
        for name in FILE_NAMES.values():
            check_replaceable(folder / name)
        with writing(folder):
            return write_stand_in(folder, seed, COUNTS if size == "full" else SMALL)
