"""A store without its weights, as one file: what is needed to score every prediction again.

``tar xf predictions.tar.xz -C FOLDER`` gives a store: ``mmbench leaderboard --store FOLDER``.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

#: What a table reads of a job.
FILES = ("job.json", "fit.json", "environment.json", "done.json", "predictions.parquet")


def pack(store: Path, file: Path, clean_only: bool = False) -> None:
    """Writes the finished jobs of a store without their weights.

    The predictions on complete data and with modalities missing are there as they were written, with the validation part; those
    under further conditions are not. The marker of each job holds the hashes of the files as they are in the archive.

    Args:
        store: a store.
        file: the ``.tar.xz`` to write; the same store gives the same bytes.
        clean_only: keep the predictions of the complete test part alone.
    """
    with tarfile.open(file, "w:xz", preset=9) as archive:
        for place in sorted((store / "jobs").iterdir()):
            if not (place / "done.json").exists():
                continue
            contents = {name: (place / name).read_bytes() for name in FILES}
            changed = {"environment.json": _without_machine(contents["environment.json"])}
            if clean_only:
                changed["predictions.parquet"] = _clean(contents["predictions.parquet"])
            done = json.loads(contents["done.json"])
            for name, content in changed.items():
                done["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            done["files"] = {name: about for name, about in done["files"].items() if name in FILES}
            contents |= {**changed, "done.json": json.dumps(done, indent=1).encode()}
            for name, content in contents.items():
                entry = tarfile.TarInfo(f"jobs/{place.name}/{name}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))


def _without_machine(environment: bytes) -> bytes:
    """The record of a run without the name of the machine, which is nobody's business."""
    record = json.loads(environment)
    return json.dumps(
        {name: what for name, what in record.items() if name not in ("host", "platform")}
    ).encode()


def _clean(predictions: bytes) -> bytes:
    """The rows of the complete test part of a prediction file."""
    table = pq.read_table(io.BytesIO(predictions))
    kept = table.filter((pc.field("condition") == "clean") & (pc.field("split") == "test"))
    written = io.BytesIO()
    pq.write_table(kept, written, compression="none")
    return written.getvalue()
