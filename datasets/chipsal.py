"""CHiPSAL 2026: memes in Nepali (NeMeme), judged for hate (subtask A) or for sentiment (subtask B)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .dataset import DataError, Located, Published, Target, data_error
from .layout.description import FILE_NAME
from .locate import FoundByName
from .shared.stand_in import check_replaceable, clear_for_stand_in

if TYPE_CHECKING:
    from .media.clip import MediaSet

#: Memes of a stand-in; as many as third parties count in the released list of subtask B.
SIZES = {"small": 240, "full": 1061}


class Chipsal(FoundByName):
    """Memes with the text that stands on them, hateful or not; a list of labels and a folder of images.

    The list states no parts: folds are the protocol (``--folds 5``). Reading: :mod:`mmbench.datasets.media.chipsal`.
    """

    name = "chipsal"
    title = "CHiPSAL 2026 (NeMeme), subtask A: hate in Nepali memes"
    homepage = "https://arxiv.org/abs/2604.14218"
    target = Target("classification", classes=("non-hate", "hate"), metrics="classification")
    patterns: tuple[str, ...] = ()
    published: Mapping[str, Published] = {}

    @property
    def how_to_get(self) -> str:
        """Where the real data come from."""
        return (
            "the list (index, text, label) and the images from the organisers of CHiPSAL 2026, made features by `mmbench data "
            f"encode {self.name}`"
        )

    def raw(self, folder: Path) -> MediaSet:
        """Lists the memes (:mod:`mmbench.datasets.media.chipsal`). Raises DataError."""
        from .media.chipsal import read_chipsal

        return read_chipsal(self, folder)

    def describe(self, file: Path) -> Located:
        """No file but a description is known. Raises DataError."""
        raise data_error(file, "", "no features are published", f"a {FILE_NAME}")

    def synthesize(
        self, folder: Path, *, seed: int = 0, size: str = "small", format: str = "open"
    ) -> list[Path]:
        """Writes a synthetic stand-in into ``folder``.

        Args:
            folder: where to, usually ``root/<name>``.
            seed: another seed gives other memes of the same kind.
            size: ``"small"`` (240 memes) or ``"full"`` (1,061).
            format: ``"open"``: features as wide as those of CLIP and BGE-M3, or ``"raw"``: a list and drawn pictures in the
                released layout, which needs a font with Devanagari (see :mod:`mmbench.datasets.media.memes_synthetic`).

        Returns:
            The files written.

        Raises:
            DataError: unknown size or format, no font, real data in the way, or nowhere to write.
        """
        if size not in SIZES or format not in ("open", "raw"):
            expected = "expected small or full, open or raw"
            raise DataError(f"{self.name}: no stand-in of size {size!r} in format {format!r}; {expected}")
        from .shared.memes import plan_memes  # brings numpy: not needed to locate

        memes = plan_memes(SIZES[size], len(self.target.classes), seed)
        if format == "raw":
            from .media.memes_synthetic import fonts, write_memes  # brings Pillow

            found = fonts()
            return write_memes(clear_for_stand_in(folder), memes, found, self.name, seed)
        from .layout.write import write_open_layout
        from .shared.memes import features_of

        file = folder / FILE_NAME
        check_replaceable(file)
        samples = {"train": features_of(memes, seed)}
        title = f"{self.title} (mmbench synthetic stand-in)"
        return write_open_layout(
            folder, samples, self.target, name=self.name, title=title, synthetic=True, overwrite=True
        )


class ChipsalSentiment(Chipsal):
    """The same kind of memes, each negative, neutral or positive."""

    name = "chipsal_sentiment"
    title = "CHiPSAL 2026 (NeMeme), subtask B: sentiment of Nepali memes"
    target = Target("classification", classes=("negative", "neutral", "positive"), metrics="classification")
