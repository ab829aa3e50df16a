"""Writing texts of samples as raw media that ``media/own.py`` reads: a table of clips and its ``media.yaml``."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..atomic_write import write_atomic
from ..dataset import Samples, Target, writing
from ..media.own import FILE_NAME
from ..plain_yaml import plain_yaml_text

_TABLE = "clips.csv"


def write_texts(
    folder: Path,
    splits: Mapping[str, Samples],
    texts: Mapping[str, Sequence[str]],
    target: Target,
    *,
    name: str,
    places: Mapping[str, Sequence[tuple[str, str]]],
) -> list[Path]:
    """Writes the texts of scored samples; what is there is replaced.

    Args:
        folder: where to; it is made.
        splits: split -> samples.
        texts: split -> the text of each; empty where it has none.
        target: a score and its range.
        name: of the set.
        places: split -> video and number of each sample; empty where they are not known.

    Returns:
        The files written, the description last.

    Raises:
        DataError: the folder cannot be written.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    known = ["video_id", "clip_id"] if places else []
    writer.writerow(["sample_id", "split", "label", "domain", "text", *known])
    for split, part in splits.items():
        for row, text in enumerate(texts[split]):
            place = places[split][row] if places else ()
            score = repr(float(part.target[row]))
            writer.writerow([part.sample_id[row], split, score, part.domain[row], text, *place])
    low, high = target.label_range or (0.0, 0.0)
    about = {
        "name": name,
        "table": _TABLE,
        "modalities": {"text": "text"},
        "task": {"kind": target.kind, "range": [low, high], "metrics": target.metrics},
        "split": "split",
        "domain": "domain",
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return [
            write_atomic(folder / _TABLE, table.getvalue().encode()),
            write_atomic(folder / FILE_NAME, plain_yaml_text(about).encode()),
        ]
