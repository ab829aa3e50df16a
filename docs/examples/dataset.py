"""Gestures: a dataset of wearable sensors that is published as one CSV table, a row for every time step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from mmbench.datasets import samples as checked
from mmbench.datasets.dataset import (
    SPLITS,
    SYNTHETIC_FILE,
    DataError,
    Located,
    Published,
    Samples,
    Target,
    data_error,
)
from mmbench.datasets.fingerprint import fingerprint
from mmbench.datasets.locate import locate

DATASETS = {"gestures": "Gestures"}

TARGET = Target("classification", classes=("wave", "circle", "push"), metrics="classification")
#: Modality -> its columns in the table.
MODALITIES = {"accelerometer": ("ax", "ay", "az"), "gyroscope": ("gx", "gy", "gz")}
COLUMNS = ("sample", "split", "person", "gesture", *(name for names in MODALITIES.values() for name in names))
#: size -> split -> samples of a stand-in.
SIZES = {
    "small": {"train": 90, "valid": 30, "test": 45},
    "full": {"train": 900, "valid": 300, "test": 450},
}
STEPS = 20


class Gestures:
    """Three gestures of three people, as told by an accelerometer and a gyroscope; the domains are the people."""

    name = "gestures"
    title = "Gestures (an example)"
    homepage = "https://example.org/gestures"
    how_to_get = "gestures.csv from its homepage"
    target = TARGET
    patterns = ("gestures.csv",)  # the names of the published files
    published: Mapping[str, Published] = {}  # format -> counts and hashes, for mmbench data verify

    def describe(self, file: Path) -> Located:
        """Describes the published file. Nothing is read yet."""
        return Recordings(file)

    def locate(self, root: Path, given: Path | None = None) -> Located:
        """Finds the dataset below ``root``, or at the file or folder ``given``. Raises DataError."""
        return locate(self.name, root, given, self)

    def synthesize(
        self, folder: Path, *, seed: int = 0, size: str = "small", format: str = "csv"
    ) -> list[Path]:
        """Writes a stand-in: the same file, whose gestures are told by the frequency of the movement."""
        if size not in SIZES or format != "csv":
            raise DataError(f"gestures: no stand-in of size {size!r} in format {format!r}; expected csv")
        file, mark = folder / "gestures.csv", folder / SYNTHETIC_FILE
        if file.exists() and not mark.exists():
            raise data_error(file, "", "is there and is no stand-in", "nothing, or a stand-in to replace")
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
        _stand_in(seed, SIZES[size]).to_csv(file, index=False, float_format="%.5f")
        return [file, mark]


@dataclass(frozen=True)
class Recordings:
    """The table, found on disk."""

    file: Path
    name: str = "gestures"
    format: str = "csv"
    modalities: tuple[str, ...] = tuple(MODALITIES)
    target: Target = TARGET

    @property
    def files(self) -> tuple[Path, ...]:
        """The table."""
        return (self.file,)

    @property
    def encoders(self) -> Mapping[str, str]:
        """Every modality is read as a sequence."""
        return {}

    @property
    def synthetic(self) -> bool:
        """Whether a stand-in was written here."""
        return (self.file.parent / SYNTHETIC_FILE).exists()

    def fingerprint(self) -> str:
        """The content of the table, and whether it is a stand-in; not where it lies."""
        return fingerprint(["gestures", self.synthetic], self.files)

    def load(self) -> dict[str, Samples]:
        """Reads and checks every split. Raises DataError."""
        try:
            table = pd.read_csv(self.file, dtype={"sample": str, "person": str})
        except (OSError, ValueError) as error:
            raise data_error(self.file, "", f"cannot be read ({error})", "a CSV table") from None
        missing = [name for name in COLUMNS if name not in table]
        if missing:
            raise data_error(self.file, missing[0], "no such column", ", ".join(COLUMNS))
        splits = {split: self._samples(table.loc[table["split"] == split], split) for split in SPLITS}
        checked.check_splits(splits, self.file)
        return splits

    def _samples(self, table: pd.DataFrame, split: str) -> Samples:
        groups = list(table.groupby("sample", sort=False))
        if not groups:
            raise data_error(self.file, split, "no samples", "at least one")
        lengths = np.array([len(rows) for _, rows in groups])
        mask = np.arange(lengths.max()) < lengths[:, None]
        features = {}
        for name, columns in MODALITIES.items():
            values = np.zeros((*mask.shape, len(columns)), np.float32)
            values[mask] = np.concatenate([rows[list(columns)].to_numpy() for _, rows in groups])
            features[name] = checked.features(values, self.file, f"{split}/{name}")
        first = [rows.iloc[0] for _, rows in groups]
        return Samples(
            features=features,
            mask=dict.fromkeys(features, mask),
            present=checked.present(dict.fromkeys(features, mask)),
            target=checked.labels([row["gesture"] for row in first], TARGET, self.file, f"{split}/gesture"),
            sample_id=np.array([str(name) for name, _ in groups]),
            domain=np.array([row["person"] for row in first]),
            previous=np.full(len(groups), -1),
        )


def _stand_in(seed: int, counts: Mapping[str, int]) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    tables = []
    for split, count in counts.items():
        for number in range(count):
            label, person = number % len(TARGET.classes), number // len(TARGET.classes) % 3
            time = np.arange(draw.integers(STEPS // 2, STEPS + 1))
            rows = {"sample": f"{split}-{number}", "split": split, "person": f"p{person + 1}"}
            table = pd.DataFrame({"gesture": TARGET.classes[label], **rows}, index=time)
            for place, column in enumerate(COLUMNS[4:]):
                wave = np.sin(time * (0.3 + 0.4 * label) + place) * (1 + 0.3 * person)
                table[column] = wave + draw.normal(0, 0.3, len(time))
            tables.append(table)
    return pd.concat(tables)
