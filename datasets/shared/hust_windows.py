"""From recordings of the HUST motor, or MMDG-Bench's files of windows, to samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import samples as make
from ..dataset import SPLITS, SYNTHETIC_MARK, DataError, Samples, data_error
from .hust_names import DOMAINS, MAT_FILES, MODALITIES, SPEEDS, SPLIT_RULES, STATES, recording_name

WINDOW = 1024  # points of a sample
LENGTH = 262_144  # points of a published recording
WINDOWS = 1000  # that are cut from one; shorter recordings give fewer in proportion
SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}
DRAW_SEED, VALIDATION_SEED = 42, 8  # of MMDG-Bench's preparation and training scripts
_COLUMNS = 5  # time, three axes of vibration, sound
_HEADER = 200  # lines in which the numbers begin


@dataclass(frozen=True)
class Recording:
    """One state at one speed.

    Attributes:
        file: where it comes from, for messages.
        vibration: [points], the norm of the three axes.
        acoustic: [points].
    """

    file: Path
    vibration: np.ndarray
    acoustic: np.ndarray

    def __len__(self) -> int:
        return len(self.vibration)


#: (speed, state), both as indices -> recording
Recordings = Mapping[tuple[int, int], Recording]


@dataclass(frozen=True)
class Cut:
    """Windows of one recording for one split.

    Attributes:
        split: ``"train"``, ``"valid"`` or ``"test"``.
        speed, state: indices.
        names: [windows], where each window comes from, unique within speed and state.
        vibration, acoustic: [windows, points].
    """

    split: str
    speed: int
    state: int
    names: list[str]
    vibration: np.ndarray
    acoustic: np.ndarray


def read_recordings(folder: Path) -> tuple[dict[tuple[int, int], Recording], bool]:
    """Reads the 24 recordings of a folder.

    Returns:
        (speed, state) -> recording, and whether they are a stand-in.

    Raises:
        DataError: one is missing or faulty, or some are a stand-in and some are not.
    """
    places = {
        (speed, state): folder / recording_name(STATES[state], SPEEDS[speed])
        for speed in range(len(SPEEDS))
        for state in range(len(STATES))
    }
    missing = [file.name for file in places.values() if not file.is_file()]
    if missing:
        words = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise data_error(folder, "", f"no {words}", f"the {len(places)} recordings")
    read = {key: read_recording(file) for key, file in places.items()}
    marks = {synthetic for _, synthetic in read.values()}
    if len(marks) > 1:
        raise data_error(folder, "", "some recordings are a stand-in and some are not", "one kind")
    return {key: recording for key, (recording, _) in read.items()}, marks.pop()


def read_recording(file: Path) -> tuple[Recording, bool]:
    """Reads a text file: some lines of header, then five numbers a line.

    Returns:
        The recording, and whether the header says *synthetic*.

    Raises:
        DataError: no numbers, other numbers of columns, or values that are not finite.
    """
    import pandas as pd

    expected = f"lines of {_COLUMNS} numbers after the header"
    try:
        with file.open(encoding="latin-1") as stream:  # the header may be in any encoding
            head = [line for line, _ in zip(stream, range(_HEADER), strict=False)]
        start = next((row for row, line in enumerate(head) if _is_numbers(line)), None)
        if start is None:
            raise data_error(file, "", f"no data in its first {_HEADER} lines", expected)
        frame = pd.read_csv(
            file, sep=r"\s+", header=None, skiprows=start, encoding="latin-1", dtype=np.float64
        )
    except OSError as error:
        raise data_error(file, "", f"cannot be read ({error.strerror})", "a readable file") from None
    except ValueError as error:  # also what pandas says of lines of unequal length
        raise data_error(file, "", f"not a table of numbers ({error})", expected) from None
    table = frame.to_numpy()
    if table.shape[1] != _COLUMNS or not np.isfinite(table).all():
        raise data_error(file, "", "lines with missing or infinite numbers", expected)
    synthetic = any(SYNTHETIC_MARK in line for line in head[:start])
    return Recording(file, np.linalg.norm(table[:, 1:4], axis=1), table[:, 4]), synthetic


def _is_numbers(line: str) -> bool:
    parts = line.split()
    try:
        return len([float(part) for part in parts]) == _COLUMNS
    except ValueError:
        return False


def windows(recordings: Recordings, rule: str = "fair") -> dict[str, Samples]:
    """The samples of each split: see ``Hust.prepare``.

    Args:
        recordings: all 24.
        rule: ``"fair"`` or ``"as-published"``.

    Returns:
        Split -> samples.

    Raises:
        DataError: an unknown rule, or a recording is too short.
    """
    if rule == "fair":
        return assemble_samples(fair_cuts(recordings))
    if rule == "as-published":
        return assemble_samples(split_off_validation(draw_windows(recordings)))
    raise DataError(f"hust: no split {rule!r}; expected {' or '.join(SPLIT_RULES)}")


def count_of(recording: Recording) -> int:
    """How many windows a recording gives: 1000 for a published one."""
    return min(WINDOWS, round(WINDOWS * len(recording) / LENGTH))


def fair_cuts(recordings: Recordings) -> Iterable[Cut]:
    """Each recording is split by time first: no point is in windows of two splits."""
    for (speed, state), recording in recordings.items():
        ends = np.round(np.cumsum([0, *SHARES.values()]) * len(recording)).astype(int)
        for place, (split, share) in enumerate(SHARES.items()):
            first, last = ends[place], ends[place + 1] - WINDOW
            count = min(round(share * count_of(recording)), last - first + 1)
            if count < 1:
                raise data_error(
                    recording.file, "", f"{len(recording)} points", f"so many that {share:.0%} hold a window"
                )
            starts = np.round(np.linspace(first, last, count)).astype(int)
            yield _cut_windows(split, speed, state, recording, starts)


def draw_windows(recordings: Recordings) -> list[Cut]:
    """MMDG-Bench's draw: of each recording distinct random starts, the first 80 % train, the others test.

    One generator for all recordings, state by state within a speed.
    """
    draw = np.random.default_rng(DRAW_SEED)
    cuts = []
    for (speed, state), recording in sorted(recordings.items()):
        places, count = len(recording) - WINDOW + 1, count_of(recording)
        if not 5 <= count <= places:
            raise data_error(recording.file, "", f"{len(recording)} points", "enough for five windows")
        starts = draw.choice(places, size=count, replace=False)
        draw.shuffle(starts)
        trained = round(0.8 * count)
        cuts.append(_cut_windows("train", speed, state, recording, starts[:trained]))
        cuts.append(_cut_windows("test", speed, state, recording, starts[trained:]))
    return cuts


def split_off_validation(cuts: Iterable[Cut]) -> Iterable[Cut]:
    """A quarter of the training windows (200 of 800) of each speed and state becomes validation.

    The generator starts anew at every speed, so that the draw is MMDG-Bench's for a single source, and a speed
    keeps its own whatever the other sources are.
    """
    draws = {speed: np.random.RandomState(VALIDATION_SEED) for speed in range(len(SPEEDS))}
    for cut in sorted(cuts, key=lambda cut: (cut.speed, cut.state)):
        if cut.split != "train":
            yield cut
            continue
        rows = np.arange(len(cut.names))
        draws[cut.speed].shuffle(rows)
        quarter = len(rows) // 4
        for split, chosen in (("train", rows[quarter:]), ("valid", rows[:quarter])):
            names = [cut.names[row] for row in chosen]
            yield Cut(split, cut.speed, cut.state, names, cut.vibration[chosen], cut.acoustic[chosen])


def _cut_windows(split: str, speed: int, state: int, recording: Recording, starts: np.ndarray) -> Cut:
    points = starts[:, None] + np.arange(WINDOW)
    names = [str(start) for start in starts]
    return Cut(split, speed, state, names, recording.vibration[points], recording.acoustic[points])


def assemble_samples(cuts: Iterable[Cut]) -> dict[str, Samples]:
    """Samples from windows: each scaled to 0..1, a constant one to 0."""
    by_split: dict[str, list[Cut]] = {split: [] for split in SPLITS}
    for cut in cuts:
        by_split[cut.split].append(cut)
    splits = {}
    for split, parts in by_split.items():
        count = sum(len(cut.names) for cut in parts)
        mask = dict.fromkeys(MODALITIES, np.ones((count, WINDOW), dtype=bool))
        features = {
            name: np.concatenate([scale_windows(getattr(cut, name)) for cut in parts])[:, :, None]
            for name in MODALITIES
        }
        splits[split] = Samples(
            features=features,
            mask=mask,
            present=make.present(mask),
            target=np.concatenate([np.full(len(cut.names), cut.state, dtype=np.int64) for cut in parts]),
            sample_id=np.array(
                [f"{STATES[cut.state]}_{DOMAINS[cut.speed]}@{name}" for cut in parts for name in cut.names]
            ),
            domain=np.concatenate([np.full(len(cut.names), DOMAINS[cut.speed]) for cut in parts]),
            previous=np.full(count, -1, dtype=np.int64),
        )
    return splits


def scale_windows(wave: np.ndarray) -> np.ndarray:
    """Windows [windows, points], each from 0 at its lowest to 1 at its highest point; float32."""
    low, high = wave.min(axis=1, keepdims=True), wave.max(axis=1, keepdims=True)
    span = np.where(high > low, high - low, 1.0)
    return ((wave - low) / span).astype(np.float32)


def mat_variables(cuts: Sequence[Cut]) -> dict[str, dict[str, np.ndarray]]:
    """File name -> variable -> array [points, windows], float64: states one after the other in each speed."""
    variables: dict[str, dict[str, np.ndarray]] = {}
    for file, modality in zip(MAT_FILES, MODALITIES, strict=True):
        variables[file] = {
            f"load{speed + 1}_{split}": np.concatenate(
                [getattr(cut, modality) for cut in cuts if (cut.speed, cut.split) == (speed, split)]
            ).T
            for speed in range(len(SPEEDS))
            for split in ("train", "test")
        }
    return variables


def read_mat(files: Sequence[Path]) -> dict[str, Samples]:
    """The samples of ``Motor_Vib.mat`` and ``Motor_Aud.mat``; validation is drawn as MMDG-Bench's scripts do.

    Raises:
        DataError: a file is broken, a variable is missing, or shapes do not fit.
    """
    vibration, acoustic = (_variables(file) for file in files)
    cuts = []
    for speed in range(len(SPEEDS)):
        for split in ("train", "test"):
            key = f"load{speed + 1}_{split}"
            waves = [
                _matrix(content, key, file)
                for content, file in zip((vibration, acoustic), files, strict=True)
            ]
            if waves[0].shape != waves[1].shape:
                raise data_error(
                    files[1], key, f"{len(waves[1])} windows", f"{len(waves[0])}, as in {files[0].name}"
                )
            each = len(waves[0]) // len(STATES)
            for state in range(len(STATES)):
                rows = slice(state * each, (state + 1) * each)
                names = [f"{split}-{number}" for number in range(each)]
                cuts.append(Cut(split, speed, state, names, waves[0][rows], waves[1][rows]))
    return assemble_samples(split_off_validation(cuts))


def _variables(file: Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat

    try:
        return loadmat(file)
    # a broken file fails in many ways: struct, zlib, value, index
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise data_error(file, "", f"cannot be read ({reason})", "a MATLAB file, version 5") from None


def _matrix(content: Mapping[str, np.ndarray], key: str, file: Path) -> np.ndarray:
    """Windows [windows, points] of a variable."""
    if key not in content:
        known = ", ".join(name for name in content if not name.startswith("__"))
        raise data_error(file, key, "no such variable", f"one beside {known}" if known else "some")
    wave = make.numbers(content[key], file, key).astype(np.float64)
    shape = "x".join(map(str, wave.shape))
    if (
        wave.ndim != 2
        or wave.shape[0] != WINDOW
        or wave.shape[1] % len(STATES)
        or wave.shape[1] < 4 * len(STATES)
    ):
        raise data_error(file, key, f"shape {shape}", f"{WINDOW} points x windows of {len(STATES)} states")
    if not np.isfinite(wave).all():
        raise data_error(file, key, "values that are not finite", "finite numbers")
    return wave.T
