"""Transcripts of CMU-MOSI and CH-SIMS in English and Chinese, as two datasets of raw media in the open layout.

    python docs/results/texts.py affect-texts.parquet FOLDER

The table is that of MERTools (https://github.com/zeroQiaoba/MERTools): a row for each utterance, with ``corpus``, ``part`` (train,
valid, test), ``id``, ``video``, ``clip``, ``score``, ``english`` and ``chinese``. One of the two languages is the original, the other a translation.
Written are ``FOLDER/texts-mosi`` and ``FOLDER/texts-sims``, which ``mmbench data encode`` reads.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import yaml

#: Corpus -> its title, and the range of its scores.
CORPORA = {
    "mosi": ("CMU-MOSI: transcripts in English, and their translation into Chinese", (-3, 3)),
    "sims": ("CH-SIMS: transcripts in Chinese, and their translation into English", (-1, 1)),
}
LANGUAGES = ("english", "chinese")


def write_texts(table: Path, folder: Path) -> list[Path]:
    """Writes a folder with ``media.yaml`` and ``clips.csv`` for each corpus.

    Args:
        table: the parquet file.
        folder: where to write.

    Returns:
        The folders.
    """
    rows = pd.read_parquet(table).rename(columns={"id": "sample_id", "part": "split", "score": "label"})
    written = []
    for corpus, (title, (low, high)) in CORPORA.items():
        place = folder / f"texts-{corpus}"
        place.mkdir(parents=True, exist_ok=True)
        kept = ["sample_id", "label", "split", "video", "clip", *LANGUAGES]
        rows.loc[rows["corpus"] == corpus, kept].to_csv(place / "clips.csv", index=False)
        about = {
            "title": title,
            "homepage": "https://github.com/zeroQiaoba/MERTools",
            "table": "clips.csv",
            "modalities": dict.fromkeys(LANGUAGES, "text"),
            "task": {"kind": "regression", "range": [low, high], "metrics": corpus},
            "video": "video",
            "clip": "clip",
        }
        (place / "media.yaml").write_text(yaml.safe_dump(about, sort_keys=False), encoding="utf-8")
        written.append(place)
    return written


if __name__ == "__main__":
    write_texts(Path(sys.argv[1]), Path(sys.argv[2]))
