"""The file of a table of a block: its frame and the same as CSV, behind a hash, and how those of several blocks are joined."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ...leaderboards.render import csv_files
from ..core.atomic_files import write_atomic

#: In the file of a table of a block: the results that it is of; why it has no rows; its rows as CSV.
_SIGNATURE, _NOTHING, _CSV = b"mmbench-signature", b"mmbench-nothing", b"mmbench-csv"
#: How many bytes of a file are its hash.
_HASH_BYTES = 32


def join_frames(files: Sequence[Path]) -> pd.DataFrame:
    """The frame of a table from those of its blocks. A text column that a block does not know is empty there."""
    tables = [_read(file) for file in files]
    together = pa.concat_tables(
        [table.replace_schema_metadata({b"pandas": table.schema.metadata[b"pandas"]}) for table in tables],
        promote_options="default",
    )
    frame = together.to_pandas()
    lacking = [name for name in frame if any(name not in table.schema.names for table in tables)]
    return frame.assign(**{name: frame[name].astype("str").fillna("") for name in lacking})


@dataclass(frozen=True)
class CsvFile:
    """The CSV file of a table, in compressed pieces: those of its blocks."""

    columns: tuple[str, ...]
    pieces: tuple[bytes, ...]

    def parts(self) -> Iterator[bytes]:
        """Its content, piece by piece."""
        yield csv_files.csv_header(self.columns)
        for piece in self.pieces:
            yield pa.CompressedInputStream(pa.py_buffer(piece), "zstd").read()


def csv_file(files: Sequence[Path]) -> CsvFile | None:
    """The CSV file of a table; None where its blocks have other columns than each other."""
    schemas = [_schema(file) for file in files]
    columns = tuple(schemas[0].names)
    if any(tuple(schema.names) != columns for schema in schemas):
        return None
    return CsvFile(columns, tuple((schema.metadata or {})[_CSV] for schema in schemas))


def pack(rows: pd.DataFrame | str, signature: str) -> bytes:
    """A table as a file: its SHA-256, its frame, and in the metadata what it is of and the same as CSV, to be joined
    quickly.

    Args:
        rows: the frame, or why there is none.
        signature: of the results that it is made of.
    """
    frame = pd.DataFrame() if isinstance(rows, str) else rows
    table = pa.Table.from_pandas(frame, preserve_index=False)
    stream = pa.BufferOutputStream()
    with pa.CompressedOutputStream(stream, "zstd") as packing:
        packing.write(b"" if isinstance(rows, str) else csv_files.csv_rows(table))
    about = {
        _SIGNATURE: signature.encode(),
        _NOTHING: rows.encode() if isinstance(rows, str) else b"",
        _CSV: stream.getvalue().to_pybytes(),
    }
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **about})
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    content = sink.getvalue().to_pybytes()
    return hashlib.sha256(content).digest() + content


def write_block(file: Path, content: bytes) -> Path:
    """Writes without waiting for the disk: a file that is cut short is seen as such and made again.

    Args:
        file: where to; its folder is made.
        content: as of ``pack``.

    Returns:
        The file.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    return write_atomic(file, content, durable=False)


def why_empty(file: Path, signature: str) -> str | None:
    """Why a kept table has no rows.

    Args:
        file: of the table.
        signature: of the results that it should be made of.

    Returns:
        Empty where it has some; None where it is not kept or of other results.
    """
    try:
        about = _schema(file).metadata or {}
    except (OSError, pa.ArrowException):  # damaged, or of a version that stored no hash
        return None
    if about.get(_SIGNATURE) != signature.encode():
        return None
    return about.get(_NOTHING, b"").decode()


def _schema(file: Path) -> pa.Schema:
    return pa.ipc.open_file(_verified(file)).schema


def _read(file: Path) -> pa.Table:
    return pa.ipc.open_file(_verified(file)).read_all()


def _verified(file: Path) -> memoryview:
    """The content of a stored table without its hash. Raises OSError where the content is not that of the hash."""
    content = memoryview(file.read_bytes())
    digest, rest = content[:_HASH_BYTES], content[_HASH_BYTES:]
    if hashlib.sha256(rest).digest() != digest:
        raise OSError(f"{file}: damaged")
    return rest
