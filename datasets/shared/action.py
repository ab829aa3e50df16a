"""What the two action-recognition datasets share: features of video, audio and optical flow in the open layout.

The published data are videos. The backbones of MMDG-Bench (arXiv 2605.06643) make one vector of each modality of a
clip: 2304, 512 and 2048 wide. Whoever has such features describes them in a ``dataset.yaml`` with a ``domain``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ..dataset import SYNTHETIC_FILE, SYNTHETIC_MARK, DataError, Located, Published, Target, data_error
from ..layout.description import FILE_NAME
from ..locate import FoundByName
from .action_widths import WIDTHS
from .stand_in import check_replaceable, clear_for_stand_in

SMALL = {"train": 160, "valid": 48, "test": 80}  # clips of a domain
SMALL_RAW = {"train": 42, "test": 21}  # the same of raw media, in the published lists
_VALID_SHARE = 0.2  # of a published training list: no validation list is published


class Action(FoundByName):
    """Clips of actions in three domains, as features of video, audio and optical flow."""

    name: str
    title: str
    homepage: str
    target: Target
    #: domain -> clips of the published training and test list
    lists: Mapping[str, tuple[int, int]]
    patterns: tuple[str, ...] = ()
    published: Mapping[str, Published] = {}
    #: Family of tasks whose published scripts it follows under the protocol ``as-published``.
    family_as_published: str = "action"
    #: Fields of the protocol ``as-published`` that the dataset's published lists decide.
    rules_as_published: Mapping[str, str] = {}
    #: The layout that a stand-in of the raw media is written in.
    raw_layout: Literal["hac", "epic"]

    @property
    def raw_domains(self) -> tuple[str, ...]:
        """The domains, as the names of files and folders of the raw media spell them."""
        return tuple(self.lists)

    @property
    def how_to_get(self) -> str:
        """Where the real data come from."""
        widths = ", ".join(f"{modality} {width}" for modality, width in WIDTHS.items())
        return f"features ({widths}) of the videos from {self.homepage}, described in a {FILE_NAME} with a domain"

    def describe(self, file: Path) -> Located:
        """No file but a description is known. Raises DataError."""
        raise data_error(file, "", "no features are published", f"a {FILE_NAME}")

    def synthesize(
        self, folder: Path, *, seed: int = 0, size: str = "small", format: str = "open"
    ) -> list[Path]:
        """Writes a synthetic stand-in (see :mod:`mmbench.datasets.shared.action_synthetic`) into ``folder``.

        Args:
            folder: where to, usually ``root/<name>``.
            seed: another seed gives other clips of the same kind.
            size: ``"small"`` (160, 48 and 80 clips a domain) or ``"full"`` (the published lists, a fifth of each
                training list as validation).
            format: ``"open"``: features; or ``"raw"``: videos, sound and lists in the published layout (see
                :mod:`mmbench.datasets.media.synthetic`), 42 and 21 clips a domain.

        Returns:
            The files written, the description first.

        Raises:
            DataError: unknown size or format, real data in the way, or nowhere to write.
        """
        if format == "raw" and size == "small":
            return self._write_raw(folder, seed)
        from ..layout.write import write_open_layout
        from .action_synthetic import generate  # brings numpy: not needed to locate

        if size not in ("small", "full") or format != "open":
            raise DataError(
                f"{self.name}: no stand-in of size {size!r} in format {format!r}; expected small or full, "
                "open; or small, raw"
            )
        file = folder / FILE_NAME
        check_replaceable(file)
        counts = dict.fromkeys(self.lists, SMALL)
        if size == "full":
            counts = {domain: _split_counts(*clips) for domain, clips in self.lists.items()}
        title = f"{self.name} ({SYNTHETIC_MARK})"
        splits = generate(self.name, len(self.target.classes), counts, seed)
        return write_open_layout(
            folder, splits, self.target, name=self.name, title=title, synthetic=True, overwrite=True
        )

    def _write_raw(self, folder: Path, seed: int) -> list[Path]:
        from ..media.synthetic import write_action  # brings PyAV

        clear_for_stand_in(folder)
        write_action(folder, self.raw_layout, self.raw_domains, len(self.target.classes), SMALL_RAW, seed)
        return [folder / SYNTHETIC_FILE]


def _split_counts(train: int, test: int) -> dict[str, int]:
    valid = round(_VALID_SHARE * train)
    return {"train": train - valid, "valid": valid, "test": test}
