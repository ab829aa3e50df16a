"""Tables of missing modalities that came from outside, kept in a store as ``masks/NAME.parquet``."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...corruptions.families import MASK
from ..core.atomic_files import write_atomic
from ..core.errors import UsageError, nearest
from ..core.strings import single_line
from .names import StoreError, inside, safe_name

_ABOUT = b"mmbench masks"


@dataclass(frozen=True)
class StoredMasks:
    """A table of missing modalities.

    Attributes:
        name: what it is called.
        dataset: whose samples it is about.
        modalities: those that it tells of.
        conditions: name of a condition, empty where the table holds one alone -> its rows.
    """

    name: str
    dataset: str
    modalities: tuple[str, ...]
    conditions: dict[str, MaskRows] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over all that decides what is missing: not over the name, nor the order of rows."""
        digest = hashlib.sha256(json.dumps([self.dataset, self.modalities]).encode())
        for condition, rows in sorted(self.conditions.items()):
            order = np.argsort(rows.sample_id)
            digest.update(json.dumps([condition, rows.sample_id[order].tolist()]).encode())
            digest.update(np.packbits(rows.there[order]).tobytes())
        return digest.hexdigest()

    def label(self, condition: str) -> str:
        """The name of a condition in predictions and tables, with the beginning of the digest."""
        whole = f"{MASK}{self.name}~{self.digest[:8]}"
        return f"{whole}/{condition}" if condition else whole


@dataclass(frozen=True)
class MaskRows:
    """What is there under one condition.

    Attributes:
        sample_id: [rows], str, each once.
        there: [rows, modalities], bool.
    """

    sample_id: np.ndarray
    there: np.ndarray


def write_masks(store: Path, masks: StoredMasks) -> Path:
    """Writes a table into a store.

    Args:
        store: the folder of the results.
        masks: the table.

    Returns:
        The file.

    Raises:
        UsageError: another table of that name is there.
    """
    file = _file(store, masks.name)
    if file.exists() and read_masks(store, masks.name).digest != masks.digest:
        raise UsageError(f"{file}: another table of that name is there: choose another with --name")
    parts = []
    for condition, rows in masks.conditions.items():
        flags = {name: pa.array(rows.there[:, place]) for place, name in enumerate(masks.modalities)}
        head = {
            "condition": pa.array([condition] * len(rows.sample_id)),
            "sample_id": pa.array(rows.sample_id),
        }
        parts.append(pa.table({**head, **flags}))
    about = {"name": masks.name, "dataset": masks.dataset, "modalities": masks.modalities}
    stream = io.BytesIO()
    table = pa.concat_tables(parts).replace_schema_metadata({_ABOUT: json.dumps(about)})
    pq.write_table(table, stream, compression="zstd")
    inside(file.parent).mkdir(parents=True, exist_ok=True)
    write_atomic(file, stream.getvalue())
    return file


def read_masks(store: Path, name: str) -> StoredMasks:
    """Reads a table of a store.

    Args:
        store: the folder of the results.
        name: of the table.

    Raises:
        UsageError: there is none of that name.
        StoreError: the file is not what was written.
    """
    file = _file(store, name)
    if not file.is_file():
        known = sorted(one.stem for one in file.parent.glob("*.parquet"))
        raise UsageError(
            f"no masks {name!r} in {store}: {nearest(name, known)}; mmbench masks import FILE --name {name} brings them"
        )
    try:
        table = pq.read_table(file)
        about = json.loads((table.schema.metadata or {})[_ABOUT])
        modalities = tuple(map(str, about["modalities"]))
        condition = table["condition"].to_numpy().astype(str)
        ids = table["sample_id"].to_numpy().astype(str)
        there = np.stack([table[one].to_numpy().astype(bool) for one in modalities], axis=1)
        names = dict.fromkeys(condition.tolist())
        rows = {one: MaskRows(ids[condition == one], there[condition == one]) for one in names}
        return StoredMasks(name, str(about["dataset"]), modalities, rows)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file}: not a table of masks: {single_line(str(error))}; delete it and import again"
        ) from None


def _file(store: Path, name: str) -> Path:
    return store / "masks" / f"{safe_name(name)}.parquet"
