"""A dataset of raw media: clips, each with a stretch of a file for every modality that it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..target import Target

#: What a modality's media are. Decoded: ``frames`` [time, 3, height, width], RGB in 0 to 1, of a video or of one
#: picture; ``flow`` [time, 2, height, width] in 0 to 1, 0.5 is no motion; ``waveform`` [time, channel] in -1 to 1;
#: ``text`` a string.
Medium = Literal["frames", "flow", "waveform", "text"]


@dataclass(frozen=True)
class Piece:
    """A stretch of media in a file.

    Attributes:
        files: one file; two for flow, its horizontal and its vertical part.
        start, stop: seconds from the file's beginning; None is its beginning, or its end.
    """

    files: tuple[Path, ...]
    start: float | None = None
    stop: float | None = None


@dataclass(frozen=True)
class Turn:
    """Where a clip stands in a conversation.

    Attributes:
        conversation: its name.
        order: utterances follow each other as it grows; no two of a conversation are equal.
        speaker: who speaks.
    """

    conversation: str
    order: float
    speaker: str


@dataclass(frozen=True)
class Clip:
    """One sample.

    Attributes:
        sample_id: unique in the set.
        split: ``train``, ``valid`` or ``test``; ``train`` of all clips where the set has no parts.
        domain: empty where the set has none.
        label: a score (regression), or the index of a class.
        media: modality -> a stretch of a file, or a text itself; a modality that the clip lacks is not named.
        video, number: of which longer recording it is the number-th clip: the clip before it is its context.
        turn: where it stands in a conversation; None where the set states none.
        group: what must lie in one part or fold as a whole with it; empty where nothing is said.
    """

    sample_id: str
    split: str
    domain: str
    label: float | int
    media: Mapping[str, Piece | str]
    video: str = ""
    number: int = 0
    turn: Turn | None = None
    group: str = ""


@dataclass(frozen=True)
class Problem:
    """A fault of one clip, or of a file that belongs to none.

    Attributes:
        sample_id: the clip; empty for a file without a label.
        modality: which of its media; empty where it is none.
        file: where; a path or an entry of a list.
        reason: what is wrong, half a sentence.
        published: whether it is a fact of a published list, such as a clip named twice, which nobody can mend.
        remark: whether it is no fault but worth a look, as a clip that stands twice in one split: nothing has to be left out.
        leaks: the sample ids of clips that have to be left out where no clip may lie in two splits: those in training of what
            also validates or is tested, and those in validation of what is also tested.
    """

    sample_id: str
    modality: str
    file: str
    reason: str
    published: bool = False
    remark: bool = False
    leaks: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = " ".join(part for part in (self.sample_id, self.modality) if part)
        return f"{place or 'no clip'}: {self.file}: {self.reason}"


class MediaError(Exception):
    """A stretch of media that cannot be decoded; the message is the reason, half a sentence, without the file."""


@dataclass(frozen=True)
class MediaSet:
    """Clips that were found on disk, not decoded yet.

    Attributes:
        name, title, homepage: as of a dataset.
        modalities: name -> what its media are, in order.
        target: what is predicted.
        clips: in a fixed order.
        problems: what was found while listing: a label without a file, a file without a label, an empty transcript,
            of which the clips are in ``clips`` without that modality; and remarks.
        synthetic: whether the media are a stand-in.
    """

    name: str
    modalities: Mapping[str, Medium]
    target: Target
    clips: tuple[Clip, ...]
    problems: tuple[Problem, ...] = ()
    title: str = ""
    homepage: str = ""
    synthetic: bool = False

    @property
    def faults(self) -> tuple[Problem, ...]:
        """The problems that are more than remarks."""
        return tuple(problem for problem in self.problems if not problem.remark)

    @property
    def leaks(self) -> frozenset[str]:
        """The sample ids of clips that ``without_leaks`` leaves out."""
        return frozenset(name for problem in self.faults for name in problem.leaks)

    def without_leaks(self) -> MediaSet:
        """The set in which no clip lies in two splits. What is tested stays as it is."""
        return replace(self, clips=tuple(clip for clip in self.clips if clip.sample_id not in self.leaks))

    def as_published(self) -> MediaSet:
        """The set in which clips lie in two splits where the published lists have them so: this is a remark then."""
        return replace(
            self, problems=tuple(replace(one, remark=one.remark or bool(one.leaks)) for one in self.problems)
        )


@dataclass(frozen=True)
class FrameView:
    """How frames are taken from a video and brought to the size that an encoder reads.

    Attributes:
        size: height and width in pixels.
        frames: how many are taken; one for pictures. A stretch with fewer repeats its last frame.
        interval: every interval-th frame of the stretch; None spreads ``frames`` evenly over the whole stretch.
        crop: ``center``: the short side is scaled to ``size / crop_share`` and the middle is cut out;
            ``squash``: both sides are scaled.
        crop_share: see ``crop``.
        rate: frames a second that a video of variable rate is sampled at; None: its average rate.
    """

    size: int = 224
    frames: int = 8
    interval: int | None = None
    crop: Literal["center", "squash"] = "center"
    crop_share: float = 0.875
    rate: float | None = None


@dataclass(frozen=True)
class SoundView:
    """How sound is read.

    Attributes:
        rate: samples a second; sound of another rate is resampled.
        seconds: cut to so many from the start of the stretch; None: the whole stretch.
        tile: repeat sound that is shorter than ``seconds`` until it is that long.
        mono: the mean of all channels.
    """

    rate: int = 16_000
    seconds: float | None = None
    tile: bool = False
    mono: bool = True


@dataclass(frozen=True)
class TextView:
    """How a text is read: as it stands, or in lower case."""

    lower: bool = False


View = FrameView | SoundView | TextView
