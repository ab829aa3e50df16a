"""PhysioNet 2012: two days of an intensive-care stay, and whether the patient died in hospital."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .dataset import SYNTHETIC_FILE, DataError, Published, Samples, Target, data_error, writing
from .locate import FoundByName
from .shared.icu_names import MODALITIES, SPLIT_RULE
from .shared.known_files import KnownFiles

_OUTCOMES = "outcomes-"


@dataclass(frozen=True)
class LocatedStays(KnownFiles):
    """The text files of a set that were found on disk. See :class:`mmbench.datasets.dataset.Located`."""

    name: str
    outcomes: Path
    folder: Path
    target: Target
    synthetic: bool
    format: str = "txt"
    modalities: tuple[str, ...] = MODALITIES

    @property
    def files(self) -> tuple[Path, ...]:
        """The outcomes, and the file of every stay. Raises DataError."""
        from .shared.icu_stays import stay_files

        return (self.outcomes, *stay_files(self.folder))

    @property
    def group_names(self) -> dict[str, str]:
        """``"domain"`` -> what it is."""
        return {"domain": "unit"}

    @property
    def drawn_validation(self) -> str:
        """How the parts are drawn."""
        return SPLIT_RULE

    def load(self) -> dict[str, Samples]:
        """Reads and checks every split. Raises DataError."""
        from .shared.icu_stays import read_stays  # brings numpy: not needed to describe

        return read_stays(self.outcomes, self.folder)


class Physionet2012(FoundByName):
    """The PhysioNet / Computing in Cardiology Challenge 2012 (Silva et al., CinC 2012): 4,000 stays a set.

    Vital signs (15) and laboratory values (22) have a step for each minute at which one of them was measured, with its time;
    what describes a patient (age, gender, height, weight) is a modality of one step. Domains are the four types of unit.
    """

    name = "physionet2012"
    title = "PhysioNet/CinC Challenge 2012"
    homepage = "https://physionet.org/content/challenge-2012/1.0.0/"
    target = Target("classification", classes=("survived", "died"), metrics="classification")
    patterns = ("outcomes-a.txt",)
    published: Mapping[str, Published] = {
        "txt": Published(
            {"train": 2402, "valid": 798, "test": 800},
            {},
            "4,000 stays of set a, divided by mmbench's rule",
        )
    }

    @property
    def how_to_get(self) -> str:
        """Where the real data come from."""
        return f"set-a and Outcomes-a.txt from {self.homepage}, unpacked beside each other"

    def describe(self, file: Path) -> LocatedStays:
        """Describes ``Outcomes-a.txt`` (or that of set b or c) and the folder ``set-a`` beside it. Raises DataError."""
        name = file.name.casefold()
        if not (name.startswith(_OUTCOMES) and name.endswith(".txt")):
            raise data_error(
                file, "", "is no file of outcomes", "Outcomes-a.txt, Outcomes-b.txt or Outcomes-c.txt"
            )
        wanted = f"set-{name[len(_OUTCOMES) : -len('.txt')]}"
        folders = [one for one in file.parent.iterdir() if one.name.casefold() == wanted and one.is_dir()]
        if not folders:
            raise data_error(file, "", "stands alone", f"the folder {wanted} of the stays beside it")
        synthetic = (file.parent / SYNTHETIC_FILE).is_file()
        return LocatedStays(self.name, file, folders[0], self.target, synthetic)

    def synthesize(
        self, folder: Path, *, seed: int = 0, size: str = "small", format: str = "txt"
    ) -> list[Path]:
        """Writes a synthetic stand-in (see :mod:`mmbench.datasets.shared.icu_synthetic`) into ``folder``.

        Args:
            folder: where to, usually ``root/physionet2012``.
            seed: another seed gives other stays of the same kind.
            size: ``"small"`` (400 stays) or ``"full"`` (4,000, as published).
            format: ``"txt"``, the published layout.

        Returns:
            The file that says so, the outcomes, and the folder of the stays.

        Raises:
            DataError: unknown size or format, real data in the way, or nowhere to write.
        """
        from .shared.icu_synthetic import COUNTS, write_stand_in  # brings numpy: not needed to locate

        if size not in COUNTS or format != "txt":
            raise DataError(
                f"{self.name}: no stand-in of size {size!r} in format {format!r}; expected small or full, txt"
            )
        outcomes = folder / "Outcomes-a.txt"
        if outcomes.exists() and not (folder / SYNTHETIC_FILE).is_file():
            raise data_error(outcomes, "", "is there and is no stand-in", "nothing, or a stand-in to replace")
        with writing(folder):
            return write_stand_in(folder, seed, COUNTS[size])
