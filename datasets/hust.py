"""HUST motor faults: vibration and sound of a motor in six states of health at four speeds.

Three forms are known: the 24 recordings as published (text; ``mmbench data prepare hust`` cuts them into windows),
the two files of windows that MMDG-Bench (arXiv 2605.06643) makes of them (``Motor_Vib.mat``, ``Motor_Aud.mat``), and
the open layout that ``prepare`` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .dataset import Published, Samples, Target, data_error, writing
from .layout.description import FILE_NAME
from .locate import FoundByName
from .pickles.mmsa import is_synthetic
from .shared.hust_names import ENCODERS, MAT_FILES, MODALITIES, STATES, recording_name
from .shared.known_files import KnownFiles
from .shared.stand_in import check_replaceable

#: Windows of a recording: 600 train, 200 validate, 200 test, of six states at four speeds.
_COUNTS = {"train": 600 * 24, "valid": 200 * 24, "test": 200 * 24}
_SOURCE = "arithmetic of MMDG-Bench's preparation"


@dataclass(frozen=True)
class LocatedWindows(KnownFiles):
    """The two files of windows that were found on disk. See :class:`mmbench.datasets.dataset.Located`."""

    name: str
    files: tuple[Path, ...]
    target: Target
    synthetic: bool
    format: str = "mat"
    modalities: tuple[str, ...] = MODALITIES

    @property
    def encoders(self) -> dict[str, str]:
        """Both are waveforms."""
        return dict(ENCODERS)

    def load(self) -> dict[str, Samples]:
        """Reads and checks every split. Raises DataError."""
        from .shared.hust_windows import read_mat  # brings numpy: not needed to describe

        return read_mat(self.files)


class Hust(FoundByName):
    """HUST motor: bearing fault, bowed rotor, broken bars, misalignment, unbalance or health, from waveforms.

    Domains are the speeds 5hz, 10hz, 20hz, 30hz. A sample is a window of 1024 points (40 ms at 25.6 kHz) of both
    modalities: the norm of the three axes of vibration, and sound, each scaled to 0..1 within the window.
    """

    name = "hust"
    title = "HUST motor multimodal fault diagnosis"
    homepage = "https://github.com/CHAOZHAO-1/HUSTmotor-multi-modal-dataset"
    target = Target(
        "classification", classes=tuple(state.lower() for state in STATES), metrics="classification"
    )
    #: Family of tasks whose published scripts it follows under the protocol ``as-published``.
    family_as_published = "hust"
    patterns = (MAT_FILES[0].lower(),)
    published: Mapping[str, Published] = {
        "mat": Published(_COUNTS, {}, _SOURCE),
        "open": Published(_COUNTS, {}, _SOURCE),
    }

    @property
    def how_to_get(self) -> str:
        """Where the real data come from."""
        return (
            f"the 24 recordings {recording_name('H', 5)} to {recording_name('UNBAL', 30)} from {self.homepage}, "
            f"cut into windows by 'mmbench data prepare hust --from FOLDER', or {' and '.join(MAT_FILES)}"
        )

    def describe(self, file: Path) -> LocatedWindows:
        """Describes ``Motor_Vib.mat`` and the file of sound beside it. Raises DataError."""
        files = {entry.name.casefold(): entry for entry in file.parent.iterdir()}
        sound = files.get(MAT_FILES[1].casefold())
        if sound is None:
            raise data_error(file, "", "stands alone", f"{MAT_FILES[1]} beside it")
        marks = {is_synthetic(one) for one in (file, sound)}
        if len(marks) > 1:
            raise data_error(file, "", f"one of it and {sound.name} is a stand-in", "both or none")
        return LocatedWindows(self.name, (file, sound), self.target, marks.pop())

    def prepare(self, raw: Path, folder: Path, *, rule: str = "fair", overwrite: bool = False) -> list[Path]:
        """Cuts the recordings in ``raw`` into windows and writes them to ``folder`` in the open layout.

        Args:
            raw: the folder of the 24 text files.
            folder: where to.
            rule: ``"fair"``: train is the first 60 % of each recording, validation the next 20 %, test the rest,
                windows evenly spaced within each. ``"as-published"``: MMDG-Bench's random starts, so that almost
                every validation and test window shares points with training windows of its recording.
            overwrite: replace a dataset that is there.

        Returns:
            The files written, the description first.

        Raises:
            DataError: a recording is missing or faulty, or the folder holds a dataset.
        """
        from .layout.write import write_open_layout
        from .shared.hust_windows import read_recordings, windows

        if (folder / FILE_NAME).exists() and not overwrite:
            raise data_error(folder / FILE_NAME, "", "is there already", "--overwrite, or another folder")
        recordings, synthetic = read_recordings(raw)
        return write_open_layout(
            folder,
            windows(recordings, rule),
            self.target,
            name=self.name,
            title=f"{self.title}, {rule} split",
            homepage=self.homepage,
            synthetic=synthetic,
            encoders=ENCODERS,
            overwrite=overwrite,
        )

    def synthesize(
        self, folder: Path, *, seed: int = 0, size: str = "small", format: str = "open"
    ) -> list[Path]:
        """Writes a synthetic stand-in (see :mod:`mmbench.datasets.shared.hust_synthetic`) into ``folder``.

        Args:
            folder: where to, usually ``root/hust``.
            seed: another seed gives other recordings of the same kind.
            size: ``"small"`` (recordings of 1 s) or ``"full"`` (of 10.24 s, 1000 windows each, as published).
            format: ``"open"`` (the default: windows, fair split), ``"txt"`` (the 24 recordings) or ``"mat"`` (the
                two files of MMDG-Bench).

        Returns:
            The files written.

        Raises:
            DataError: unknown size or format, real data in the way, or nowhere to write.
        """
        from .shared.hust_synthetic import write_stand_in  # brings numpy: not needed to locate

        file = folder / {"open": FILE_NAME, "mat": MAT_FILES[0]}.get(format, recording_name("H", 5))
        check_replaceable(file)
        with writing(folder):
            return write_stand_in(folder, self.target, seed, size, format)
