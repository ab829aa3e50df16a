"""How long an ensemble of a hundred networks takes, beside scoring the networks.

    python tests/speed/ensembles.py

The predictions are planted: 100 seeds of one method on 686 test and 229 validation samples of six classes, clean and with each
of seven patterns missing, in files as a store has them. Timed is processor time: the table of ensembles, in which the vote and the stacking are made of
all predictions and judged beside their members, promised within 5 s; and the rows of votes in the table of accuracy over
the rows of their members alone, both without stored scores.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from measure import Row, median, print_machine, print_table, scratch
from mmbench.leaderboards.tables.accuracy import accuracy
from mmbench.leaderboards.tables.ensemble_members import with_ensembles
from mmbench.leaderboards.tables.ensembles import ensembles
from mmbench.leaderboards.tables.results import Result, missing_patterns

MEMBERS, CLASSES, ROUNDS = 100, 6, 3
SAMPLES = {"test": 686, "valid": 229}
MODALITIES = "text+audio+vision"


def write(folder: Path, seed: int) -> Path:
    """The prediction table of a network."""
    rng = np.random.default_rng(seed)
    parts = []
    for split, count in SAMPLES.items():
        target = np.random.default_rng(count).integers(0, CLASSES, count)
        for place, condition in enumerate(("clean", *missing_patterns(MODALITIES))):
            logits = np.eye(CLASSES)[target] + (1 + place / 8) * rng.normal(size=(count, CLASSES))
            part = pd.DataFrame(logits.astype(np.float32), columns=[f"logit_{c}" for c in range(CLASSES)])
            ids = [f"{split}-{row:05d}" for row in range(count)]
            parts.append(
                part.assign(split=split, condition=condition, sample_id=ids, domain="d", target=target)
            )
    table = pd.concat(parts, ignore_index=True)
    file = folder / f"{seed}.parquet"
    table.astype(dict.fromkeys(("split", "condition", "domain"), "category")).to_parquet(file)
    return file


def network(folder: Path, seed: int) -> Result:
    """The result of a network."""
    read = partial(pd.read_parquet, write(folder, seed))
    return Result(
        f"erm-{seed}",
        "erm",
        "planted",
        MODALITIES,
        "fair",
        seed,
        0,
        "done",
        "",
        "classification",
        True,
        predictions=read,
    )


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds."""
    before = time.process_time()
    work()
    return time.process_time() - before


def main() -> None:
    """Times tables of the same networks in turns, each with votes that are made anew."""
    print_machine()
    table, plain, voted = [], [], []
    with scratch() as folder:
        networks = [network(folder, seed) for seed in range(MEMBERS)]
        for _ in range(ROUNDS):
            both = with_ensembles(networks, "seeds")
            votes = [one for one in both if one.ensemble]
            table.append(seconds(lambda votes=votes: ensembles(votes)))
            plain.append(seconds(lambda: accuracy(networks)))
            anew = [one for one in with_ensembles(networks, "seeds") if one.ensemble]
            voted.append(seconds(lambda anew=anew: accuracy(anew)))
    ratio = [a / b for a, b in zip(voted, plain, strict=True)]
    rows = [
        Row(f"the table of an ensemble of {MEMBERS} networks", *median(table), "s", 5.0),
        Row(
            "accuracy of its two votes over that of its members",
            *median(ratio),
            "x",
            None,
            "without stored scores",
        ),
    ]
    print_table("Ensembles", rows)


if __name__ == "__main__":
    main()
