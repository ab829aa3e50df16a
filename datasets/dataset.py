"""What a dataset is to the harness: how its files are found, read, described, and imitated. No torch here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .target import Target as Target  # a public name of this module

if TYPE_CHECKING:
    import numpy as np

    from .media.clip import MediaSet

SPLITS = ("train", "valid", "test")
#: Which samples validate where no validation split is published: a share, drawn by a generator of this seed.
VALIDATION_SHARE, VALIDATION_SEED = 0.2, 8
#: What a ``dataset.yaml`` says of conversations.
CONVERSATION_KEYS = ("id", "order", "speaker")
#: What stands for the speaker where data do not say who speaks, and what each is then called.
NO_SPEAKER, SOMEBODY = "none", "somebody"
#: What reads a modality: a transformer over its steps, or a convolutional network over a waveform's window.
ENCODERS = ("sequence", "cnn1d")
SYNTHETIC_MARK = "mmbench synthetic stand-in"
#: The file that says so in a folder of raw media.
SYNTHETIC_FILE = "SYNTHETIC"


class DataError(Exception):
    """Data that is not there or not as it should be. The message is one line: file, key, what is wrong,
    what was expected."""


def data_error(file: Path | str, key: str, wrong: str, expected: str) -> DataError:
    """A DataError whose message is one line.

    Args:
        file: what is at fault.
        key: the split, array or entry in it; empty where the whole file is meant.
        wrong: what is wrong.
        expected: what should be there.
    """
    text = f"{file}: {key}: {wrong}; expected {expected}" if key else f"{file}: {wrong}; expected {expected}"
    return DataError(" ".join(text.split()))


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What is written within goes into a folder. Raises DataError: the system refuses to."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror or error})") from None


class DataNotFound(DataError):  # noqa: N818 (what happened, as in FileNotFoundError)
    """No file of the dataset was found. The message says where it was looked for and what to do."""


@dataclass(frozen=True)
class Utterances:
    """Where samples stand in conversations. A conversation lies in one split as a whole.

    Attributes:
        conversation: [samples], str, its name, unique in the dataset.
        order: [samples], float64, finite; utterances follow each other as it grows, and no two of a conversation are
            equal.
        speaker: [samples], str, who speaks; not empty.
    """

    conversation: np.ndarray
    order: np.ndarray
    speaker: np.ndarray

    def take(self, rows: np.ndarray) -> Utterances:
        """Those of the samples at ``rows``, int64 [n]."""
        return Utterances(self.conversation[rows], self.order[rows], self.speaker[rows])


@dataclass(frozen=True)
class Samples:
    """The samples of one split, in memory.

    Attributes:
        features: modality -> [samples, time, feature], float16 or float32, finite.
        mask: modality -> [samples, time], bool, true at steps that hold data and not padding.
        present: modality -> [samples], bool; false where a sample has no valid step of the modality, or no entry of it
            was observed.
        target: [samples], float32 (regression) or int64 class index (classification); [samples, classes], float32, 1 where
            a sample has a label and 0 where not (multi-label).
        sample_id: [samples], str, unique in the dataset.
        domain: [samples], str.
        previous: [samples], int64, the row of the previous utterance of the same video in this split, or -1.
        group: [samples], str, what should lie in one split as a whole, such as a person; None where nothing is said.
        observed: modality -> [samples, time, feature], bool, of modalities that are partly observed alone: which entries
            of the valid steps were measured. Features are 0 at all others.
        time: modality -> [samples, time], float32, seconds, of modalities whose times are stated alone: when each step
            was. Finite, never running back within a sample, and 0 at steps that are not valid.
        utterances: where the samples stand in conversations; None where they are not of conversations.
        unimodal_target: modality -> [samples], the label by this modality alone, as ``target``; empty without such.
        tokens: modality -> [samples, 3, positions], int32, from 0, of texts whose token ids are stated alone: ids, attention
            mask, segments. Where positions are as many as steps, the features of a step are those of its token.
    """

    features: Mapping[str, np.ndarray]
    mask: Mapping[str, np.ndarray]
    present: Mapping[str, np.ndarray]
    target: np.ndarray
    sample_id: np.ndarray
    domain: np.ndarray
    previous: np.ndarray
    group: np.ndarray | None = None
    observed: Mapping[str, np.ndarray] = field(default_factory=dict)
    time: Mapping[str, np.ndarray] = field(default_factory=dict)
    utterances: Utterances | None = None
    unimodal_target: Mapping[str, np.ndarray] = field(default_factory=dict)
    tokens: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.target)

    def observed_entries(self, modality: str) -> np.ndarray:
        """[samples, time, feature], bool: the entries of a modality that are data. Of one that is not partly observed these
        are all entries of valid steps."""
        valid = self.mask[modality][..., None]
        if modality in self.observed:
            return self.observed[modality] & valid
        return valid.repeat(self.features[modality].shape[2], axis=2)


class Located(Protocol):
    """A dataset that was found on disk, described without reading its arrays.

    One whose samples have ``utterances`` says so by an attribute ``has_conversations``, which is optional.
    A property ``group_names`` is optional: ``"group"`` and ``"domain"`` -> what the dataset calls them, such as ``"video"``,
    by which name they keep samples in one fold of a cross-validation.
    """

    @property
    def name(self) -> str:
        """The dataset's name."""
        ...

    @property
    def format(self) -> str:
        """How it is stored: ``"open"``, ``"mmsa-aligned"``, ``"mmsa-unaligned"``, ``"casp"``."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file whose content matters, in a fixed order."""
        ...

    @property
    def modalities(self) -> tuple[str, ...]:
        """Their names, in the dataset's order."""
        ...

    @property
    def target(self) -> Target:
        """What is predicted."""
        ...

    @property
    def encoders(self) -> Mapping[str, str]:
        """Modality -> one of ``ENCODERS``, where it is not ``"sequence"``."""
        ...

    @property
    def synthetic(self) -> bool:
        """Whether this is a stand-in that mmbench generated."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 (hex) over all that decides what ``load`` returns: file contents and description, but not
        the place where they lie."""
        ...

    def load(self) -> dict[str, Samples]:
        """Reads and checks every split: ``train``, ``valid``, ``test``. Raises DataError."""
        ...


@dataclass(frozen=True)
class Published:
    """What the publishers of a dataset state, to verify a copy against.

    Attributes:
        counts: split -> number of samples.
        sha256: file name -> SHA-256 (hex) or its first digits, where only those are known.
        source: where the figures come from.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


class Dataset(Protocol):
    """A dataset that the harness knows by name. It is made without arguments and reads nothing then.

    Two class attributes are optional and matter under the protocol ``as-published`` alone: ``family_as_published``
    (``"sentiment"``, ``"hust"`` or ``"action"``), the family of tasks whose published scripts it follows, and
    ``rules_as_published``, the fields of the protocol that its published lists decide.
    """

    @property
    def name(self) -> str:
        """The short name, as in ``--datasets``."""
        ...

    @property
    def title(self) -> str:
        """The name in full."""
        ...

    @property
    def homepage(self) -> str:
        """An address."""
        ...

    @property
    def how_to_get(self) -> str:
        """Where the real data come from, half a sentence."""
        ...

    @property
    def target(self) -> Target:
        """What is predicted, in the published files."""
        ...

    @property
    def patterns(self) -> tuple[str, ...]:
        """The names of the published files, in lower case, ``*`` for any letters."""
        ...

    @property
    def published(self) -> Mapping[str, Published]:
        """Format -> what the publishers state."""
        ...

    def describe(self, file: Path) -> Located:
        """Describes one of the published files. Raises DataError."""
        ...

    def locate(self, root: Path, given: Path | None = None) -> Located:
        """Finds the dataset on disk, without reading its samples.

        Args:
            root: the folder of all datasets.
            given: a file or folder to use instead of one below ``root``.

        Raises:
            DataNotFound: nothing is there.
            DataError: what is there is wrong.
        """
        ...

    def synthesize(
        self, folder: Path, *, seed: int = 0, size: str = "small", format: str = "casp"
    ) -> list[Path]:
        """Writes a synthetic stand-in.

        Args:
            folder: where to, usually ``root/<name>``.
            seed: another seed gives other samples of the same kind.
            size: ``"small"``, or ``"full"`` for as many samples as are published.
            format: one of the formats in which the dataset can be read.

        Returns:
            The files written.

        Raises:
            DataError: unknown size or format, real data in the way, or nowhere to write.
        """
        ...


@runtime_checkable
class RawDataset(Protocol):
    """What a dataset offers beside the rest, where the layout of its raw media is known."""

    def raw(self, folder: Path) -> MediaSet:
        """Lists the clips that lie in ``folder``, as they were published. Nothing is decoded. Raises DataError."""
        ...
