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
MARKDOWN = ("accuracy", "targets", "missing", "robustness", "mechanism", "misd", "calibration", "cost")
NUMBERS = ("summary", "accuracy", "targets", "mechanism")
#: Set -> the metrics that its field reports, the first of which leads, where they are not those that lead by themselves.
METRICS = {
    "physionet": ("auroc_ovr", "auprc_ovr"),
    "completion": ("auroc_ovr", "auprc_ovr"),
    "iemocap": ("accuracy", "f1_weighted"),
}
#: Sets of transcripts, and the languages that are encoded.
ENCODED = {"texts": ("english", "chinese"), "iemocap": ("english",)}
#: Sets whose stored predictions are those on complete test data alone: all would take more than the rest together.
CLEAN_ONLY = ("handwritten", "texts", "dsads", "sensors", "physionet", "completion", "iemocap")
#: The largest file of predictions that is kept, in bytes.
LARGEST = 3_000_000
#: The encoder of transcripts: all-MiniLM-L6-v2 on the hub, or a folder with it.
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"


def call(*words: str | Path) -> int:
    """Prints and runs one call of the command, and returns its exit code."""
    print("$ mmbench", shlex.join(map(str, words)), flush=True)
    return subprocess.run([sys.executable, "-m", "mmbench.benchmark", *map(str, words)]).returncode


def encode_texts(name: str, data: Path, work: Path, encoder: str) -> Path:
    """Encodes the transcripts of a set, in each of its languages with one encoder, and returns the folder of the encoded datasets.

    Args:
        name: of the set.
        data: the folder that holds ``affect-texts.parquet``.
        work: where media, features and their cache are written.
        encoder: a text model of transformers: a name on the hub, or a folder.

    Returns:
        A folder of datasets.

    Raises:
        SystemExit: something could not be encoded.
    """
    places = [HERE / "data" / name]
    if name == "texts":
        places = write_texts(data / "affect-texts.parquet", work / "media")
    for place in places:
        reading = [f"{language}=text:{encoder},pool=mean,max_length=64" for language in ENCODED[name]]
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
    first, *further = METRICS.get(name, ("",))
    lead = ("--metric", first) if first else ()
    call("leaderboard", *chosen, *lead, "--format", "terminal,csv,md", "--out", tables)
    call("findings", *chosen, *lead, "--out", tables)
    for metric in further:  # the mean over targets, which is a table of one metric
        own = work / f"{name}-{metric}"
        call(
            "leaderboard",
            *chosen,
            "--metric",
            metric,
            "--what",
            "targets",
            "--format",
            "csv,md",
            "--out",
            own,
        )
        for file in own.glob("targets.*"):
            (kept / f"targets-{metric}{file.suffix}").write_bytes(file.read_bytes())
    for file in (
        *(f"{table}.md" for table in (*MARKDOWN, "findings")),
        *(f"{table}.csv" for table in NUMBERS),
    ):
        if (tables / file).exists():
            (kept / file).write_bytes((tables / file).read_bytes())
        elif (kept / file).exists():  # a packed store lacks what it is made of
            print(f"{kept / file} stays as it was: {store} does not give it", flush=True)
    if (tables / "missing.csv").exists():  # of one modality nothing is missing
        patterns(tables / "missing.csv").to_csv(kept / "patterns.csv", index=False, float_format="%.5g")
    if (tables / "robustness.csv").exists():
        curve = patterns(tables / "robustness.csv")
        curve = curve[curve["condition"].str.contains("random-frames")]
        if not curve.empty:
            curve.to_csv(kept / "rates.csv", index=False, float_format="%.5g")
    packed = kept / "predictions.tar.xz"
    pack(store, packed, clean_only=name in CLEAN_ONLY)
    if packed.stat().st_size > LARGEST:
        print(f"{packed} would take {packed.stat().st_size} bytes and is not kept", flush=True)
        packed.unlink()
    against(store, asked=frozenset(tasks), lead=first).to_csv(
        kept / "against.csv", index=False, float_format="%.5g"
    )
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
        root = HERE / "data"
        if asked.set in ENCODED:
            root = encode_texts(asked.set, data, asked.work, asked.encoder)
        config = HERE / f"{asked.set}.yaml"
        failed = call(
            "run", "--config", config, "--data-root", root, "--store", store, "--workers", str(asked.workers)
        )
    write_tables(asked.set, store, asked.work)
    write_page()
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
