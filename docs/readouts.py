"""Readouts of one language model on a part of CMU-MOSI's transcripts and scores.

    python docs/readouts.py affect-texts.parquet FOLDER MODEL [--minilm MODEL] [--train N] [--valid N] [--test N]

Writes ``FOLDER/data/transcripts``, utterances drawn from each part of the table of MERTools (https://github.com/zeroQiaoba/MERTools), and
``FOLDER/readouts.yaml``, the experiment: the same prompt, adapters, seed and epochs for every readout of MODEL, a folder or GGUF file. What
to run is printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import yaml

QUESTION = "Overall the sentiment of this on a scale from -3 to 3 is"
#: What differs between the rows; all have the model, the prompt and the training in common.
READOUTS = (
    "readout=zero_shot",
    "readout=discriminative",
    "readout=generative",
    "lora=false",
    "readout=expected",
)


def write_transcripts(table: Path, folder: Path, counts: dict[str, int]) -> None:
    """Writes a part of the transcripts and scores in the open layout of raw media.

    Args:
        table: the parquet file.
        folder: where ``clips.csv`` and ``media.yaml`` are written.
        counts: utterances of each part (train, valid, test), drawn evenly.
    """
    rows = pd.read_parquet(table)
    rows = rows.loc[rows["corpus"] == "mosi"]
    rows = rows.rename(columns={"id": "sample_id", "part": "split", "score": "label"})
    drawn = [rows.loc[rows["split"] == part].sample(count, random_state=0) for part, count in counts.items()]
    clips = pd.concat(drawn).loc[:, ["sample_id", "label", "split", "video", "clip", "english"]]
    clips = clips.assign(english=[text.lower() for text in clips["english"]])
    folder.mkdir(parents=True, exist_ok=True)
    clips.to_csv(folder / "clips.csv", index=False)
    about = {
        "title": f"CMU-MOSI: transcripts of {len(clips)} utterances",
        "table": "clips.csv",
        "modalities": {"text": {"medium": "text", "column": "english"}},
        "task": {"kind": "regression", "range": [-3, 3], "metrics": "mosi"},
        "video": "video",
        "clip": "clip",
    }
    (folder / "media.yaml").write_text(yaml.safe_dump(about, sort_keys=False), encoding="utf-8")


def experiment(model: str, weights: str) -> dict[str, object]:
    """The experiment.

    Args:
        model: of the readouts.
        weights: how it is held.
    """
    common = f"model={model},weights={weights},chat=false,question={QUESTION}"
    return {
        "methods": ["majority", "erm", *(f"lmm({common},{one})" for one in READOUTS)],
        "datasets": ["transcripts"],
        "seeds": [0],
        "diagnostics": True,
        "measure": True,
        "protocol": {"epochs": 3, "batch_size": 8, "warmup": 0.05},
    }


def main() -> None:
    """Writes data and experiment."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model")
    parser.add_argument("--weights", default="float32")
    parser.add_argument("--minilm", default="sentence-transformers/all-MiniLM-L6-v2")
    for part, count in {"train": 256, "valid": 64, "test": 128}.items():
        parser.add_argument(f"--{part}", type=int, default=count)
    asked = parser.parse_args()
    counts = {part: getattr(asked, part) for part in ("train", "valid", "test")}
    data, file = asked.folder / "data", asked.folder / "readouts.yaml"
    write_transcripts(asked.table, data / "transcripts", counts)
    file.write_text(yaml.safe_dump(experiment(asked.model, asked.weights), sort_keys=False, width=1000))
    print(f"mmbench data encode transcripts --data-root {data} --encoder text=text:{asked.minilm}")
    print(f"mmbench run --config {file} --data-root {data} --store {asked.folder / 'runs'} --workers 1")


if __name__ == "__main__":
    main()
