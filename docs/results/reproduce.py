"""Makes the reference results of a set again: trains what is missing, and writes its tables, findings and predictions.

    python docs/results/reproduce.py SET --data FOLDER [--work FOLDER] [--workers N] [--encoder MODEL] [--keep]

``make results-SET RESULTS_DATA=FOLDER`` does the same. A set is one of the ``.yaml`` files beside this one; docs/results/index.md says which
files FOLDER has to hold. All that is run is the command ``mmbench``, and each call is printed. Interrupted, call it again.
``--keep`` trains nothing: tables are made of what the store in the working folder holds.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from against import against
from mmbench.benchmark.planning.experiment import Experiment
from pack import pack
from page import write_page
from texts import write_texts

HERE = Path(__file__).parent
SETS = sorted(path.stem for path in HERE.glob("*.yaml"))
#: Tables that are kept beside the page, and those whose numbers are.
MARKDOWN = ("accuracy", "missing", "robustness", "mechanism", "misd", "calibration", "cost")
NUMBERS = ("summary", "accuracy", "mechanism")
#: Sets whose stored predictions are those on complete test data alone: all would take more than the rest together.
CLEAN_ONLY = ("handwritten", "texts", "dsads")
#: The encoder of transcripts: all-MiniLM-L6-v2 on the hub, or a folder with it.
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


def call(*words: str | Path) -> int:
    """Prints and runs one call of the command, and returns its exit code."""
    print("$ mmbench", shlex.join(map(str, words)), flush=True)
    return subprocess.run([sys.executable, "-m", "mmbench.benchmark", *map(str, words)]).returncode


def encode_texts(data: Path, work: Path, encoder: str) -> Path:
    """Encodes the transcripts in both languages with one encoder, and returns the folder of the encoded datasets.

    Args:
        data: the folder that holds ``affect-texts.parquet``.
        work: where media, features and their cache are written.
        encoder: a text model of transformers: a name on the hub, or a folder.

    Returns:
        A folder of datasets.

    Raises:
        SystemExit: something could not be encoded.
    """
    for place in write_texts(data / "affect-texts.parquet", work / "media"):
        reading = [
            f"{language}=text:{encoder},pool=mean,max_length=64" for language in ("english", "chinese")
        ]
        to = ("--from", place, "--to", work / "data" / place.name, "--cache", work / "cache")
        if call("data", "encode", place.name, *(word for one in reading for word in ("--encoder", one)), *to):
            raise SystemExit(f"{place.name} could not be encoded")
    return work / "data"


def write_tables(name: str, store: Path, work: Path) -> None:
    """Writes what is kept of a store into the folder of its set.

    Args:
        name: of the set.
        store: where its jobs are.
        work: where all tables are written.
    """
    tables, kept = work / f"{name}-tables", HERE / name
    kept.mkdir(exist_ok=True)
    tasks = Experiment.load(HERE / f"{name}.yaml").datasets
    chosen = (
        "--store",
        store,
        "--tasks",
        ",".join(tasks),
    )  # without those that are trained for an upper bound
    call("leaderboard", *chosen, "--format", "terminal,csv,md", "--out", tables)
    call("findings", *chosen, "--out", tables)
    for file in (
        *(f"{table}.md" for table in (*MARKDOWN, "findings")),
        *(f"{table}.csv" for table in NUMBERS),
    ):
        if (tables / file).exists():
            (kept / file).write_bytes((tables / file).read_bytes())
        elif (kept / file).exists():  # a packed store lacks what it is made of
            print(f"{kept / file} stays as it was: {store} does not give it", flush=True)
    patterns(tables / "missing.csv").to_csv(kept / "patterns.csv", index=False, float_format="%.5g")
    if (tables / "robustness.csv").exists():
        curve = patterns(tables / "robustness.csv")
        curve = curve[curve["condition"].str.contains("random-frames")]
        if not curve.empty:
            curve.to_csv(kept / "rates.csv", index=False, float_format="%.5g")
    pack(store, kept / "predictions.tar.xz", clean_only=name in CLEAN_ONLY)
    against(store, asked=frozenset(tasks)).to_csv(kept / "against.csv", index=False, float_format="%.5g")
    times = pd.DataFrame(job_times(store))
    times.groupby("method", sort=False).agg(jobs=("seconds", "size"), seconds=("seconds", "sum")).round(
        1
    ).to_csv(kept / "time.csv")


def patterns(file: Path) -> pd.DataFrame:
    """The main metric under each condition of a table, such as a pattern of missing modalities, and what is lost against complete data.

    Args:
        file: a missing.csv or robustness.csv.
    """
    frame = pd.read_csv(file)
    columns = ["method", "condition", "unit", "mean", "low", "high", "drop", "drop_low", "drop_high"]
    return frame.loc[frame["metric"] == frame["metric"].iloc[0], columns]


def job_times(store: Path) -> list[dict[str, str | float]]:
    """The method of each finished job, and the seconds that it took: reading, training, predicting."""
    found: list[dict[str, str | float]] = []
    for place in sorted((store / "jobs").iterdir()):
        if (place / "done.json").exists():
            job = json.loads((place / "job.json").read_text())
            spent = json.loads((place / "environment.json").read_text())["seconds"]
            found.append({"method": job["label"], "seconds": sum(spent.values())})
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Reads the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--data", default=os.environ.get("RESULTS_DATA"), help="the folder of the real data")
    parser.add_argument("--work", type=Path, default=Path("results"), help="stores, features and all tables")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--encoder", default=os.environ.get("RESULTS_ENCODER", ENCODER), help="of the transcripts"
    )
    parser.add_argument("--keep", action="store_true", help="train nothing")
    asked = parser.parse_args(words)
    store = asked.work / "stores" / asked.set
    failed = 0
    if not asked.keep:
        if not asked.data:
            parser.error(
                "name the folder of the real data: --data FOLDER, or make results-SET RESULTS_DATA=FOLDER"
            )
        data = Path(asked.data).resolve()
        os.environ["RESULTS_DATA"] = str(data)  # the descriptions name files by it
        root = encode_texts(data, asked.work, asked.encoder) if asked.set == "texts" else HERE / "data"
        config = HERE / f"{asked.set}.yaml"
        failed = call(
            "run", "--config", config, "--data-root", root, "--store", store, "--workers", str(asked.workers)
        )
    write_tables(asked.set, store, asked.work)
    write_page()
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
