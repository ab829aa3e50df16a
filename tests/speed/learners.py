"""How well the default network learns real sets, beside simple learners on statistics of the same modalities.

    MMBENCH_TEST_DATA=FOLDER python tests/speed/learners.py [--epochs N] [--left-out P] [--test] SET[,SET,...]

Sets: rosmap, handwritten, mosi, physionet, dsads (files of FOLDER). ``erm`` is trained by the protocol ``fair``; "transformer" is
the same with the encoder of ``as-published``, read at the first step, for every modality. The learners of scikit-learn read
mean, deviation, minimum, maximum, last value and share observed of every feature. All share one split. What is not
observed is the mean for the networks, with a flag beside it.

Decisions are made by the validation figures; ``--test`` adds those of the test part. ``--left-out`` says which person of dsads,
0 to 6, validates: one person alone says little.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.train.lightning_module import fit
from mmbench.benchmark.train.predict import outputs_under
from mmbench.benchmark.train.seeds import seed_everything
from mmbench.corruptions.condition import Clean
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.erm import ERM
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDER = Path(os.environ.get("MMBENCH_TEST_DATA", "."))
#: Set -> its file, its modalities.
SETS = {
    "rosmap": ("rosmap", ("mrna", "methylation", "mirna")),
    "handwritten": (
        "handwritten",
        ("pixels", "fourier", "profile_correlations", "zernike", "karhunen", "morphological"),
    ),
    "mosi": ("mosi-real", ("text", "audio")),
    "physionet": ("physionet2012-a", ("vitals", "labs", "static")),
    "dsads": ("dsads", ("acc", "gyr", "mag")),
}


@dataclass(frozen=True)
class Data:
    """Features [samples, time, feature] with NaN where nothing is observed, masks, labels, and rows of each part."""

    features: dict[str, np.ndarray]
    mask: dict[str, np.ndarray]
    label: np.ndarray
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def read(name: str, left_out: int = 0) -> Data:
    """A set with its official parts where it has them; else a fifth of its training part validates.

    Args:
        name: of the set.
        left_out: the person of dsads that validates, 0 to 6.
    """
    file, modalities = SETS[name]
    stored = np.load(FOLDER / f"{file}.npz")
    rows = np.arange(len(stored["label"]))
    if name == "dsads":
        rows = rows[stored["segment"] % 4 == 0]  # neighbours are near copies
    label = stored["label"][rows].astype(np.int64)
    features = {m: stored[m][rows].astype(np.float32) for m in modalities}
    features = {m: x[:, None] if x.ndim == 2 else x for m, x in features.items()}
    mask = {m: np.ones(x.shape[:2], bool) for m, x in features.items()}
    if name == "mosi":
        mask["text"] = np.arange(features["text"].shape[1]) < stored["text_length"][:, None]
    if name == "physionet":
        train, test = _drawn(label, np.arange(len(label)))
    elif name == "dsads":  # people: the last is tested, another validates
        person = stored["domain"][rows]
        trained = (person != left_out) & (person < 7)
        parts = [np.flatnonzero(found) for found in (trained, person == left_out, person == 7)]
        return Data(features, mask, label, *parts)
    else:
        split = stored["split"]
        train, test = np.flatnonzero(split == 0), np.flatnonzero(split == 2)
        if (split == 1).any():
            return Data(features, mask, label, train, np.flatnonzero(split == 1), test)
    return Data(features, mask, label, *_drawn(label, train), test)


def _drawn(label: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Four fifths of some rows and the rest, with the same shares of the classes."""
    parts = StratifiedShuffleSplit(1, test_size=0.2, random_state=8)
    larger, smaller = next(parts.split(rows, label[rows]))
    return rows[larger], rows[smaller]


def statistics(data: Data) -> np.ndarray:
    """[samples, statistics]; a modality with one step is itself."""
    found = []
    for name, values in data.features.items():
        seen = np.where(data.mask[name][..., None], values, np.nan)
        if seen.shape[1] == 1:
            found.append(seen[:, 0])
            continue
        last = seen[:, 0]
        for step in range(1, seen.shape[1]):
            last = np.where(np.isnan(seen[:, step]), last, seen[:, step])
        found += [np.nanmean(seen, 1), np.nanstd(seen, 1), np.nanmin(seen, 1), np.nanmax(seen, 1), last]
        found.append((~np.isnan(seen)).mean(1))
    return np.concatenate(found, axis=1)


def batches(data: Data) -> Iterator[Batch]:
    """Train, valid and test as a network reads them, standardised by the training part."""
    features = {}
    for name, values in data.features.items():
        seen = np.where(data.mask[name][..., None], values, np.nan)
        mean, deviation = np.nanmean(seen[data.train], (0, 1)), np.nanstd(seen[data.train], (0, 1))
        scaled = np.clip((seen - mean) / np.where(deviation > 1e-8, deviation, 1), -5, 5)
        unknown = np.isnan(scaled)
        scaled = np.nan_to_num(scaled)
        holes = (unknown & data.mask[name][..., None]).any()
        features[name] = np.concatenate([scaled, ~unknown], axis=2) if holes else scaled
    for rows in (data.train, data.valid, data.test):
        yield Batch(
            features={m: torch.from_numpy(x[rows].astype(np.float32)) for m, x in features.items()},
            mask={m: torch.from_numpy(x[rows]) for m, x in data.mask.items()},
            present={m: torch.ones(len(rows), dtype=torch.bool) for m in features},
            target=torch.from_numpy(data.label[rows]),
            domain=torch.zeros(len(rows), dtype=torch.int64),
            sample_id=torch.from_numpy(rows),
        )


def network(data: Data, epochs: int, by_shape: bool) -> list[np.ndarray]:
    """The probabilities that ``erm`` gives valid and test, [samples, classes] each."""
    train, valid, test = batches(data)
    sizes = {m: x.shape[2] for m, x in train.features.items()}
    steps = {m: x.shape[1] for m, x in train.features.items()} if by_shape else {}
    spec = Spec(sizes, "classification", classes=int(data.label.max()) + 1, steps=steps)
    seed_everything(0, "initial weights")
    method = ERM(ERM.Params(), spec)
    seed_everything(0, "training")
    fit(method, Protocol.model_validate({"epochs": epochs}), train, valid, 0, lambda *_: None)
    said = [next(iter(outputs_under(method, part, [Clean()]).values())).prediction for part in (valid, test)]
    return [logits.softmax(-1).numpy() for logits in said]


def simple(data: Data) -> Iterator[tuple[str, list[np.ndarray]]]:
    """The same of the learners of scikit-learn."""
    inputs = statistics(data)
    learners: dict[str, Any] = {
        f"logistic regression, C {share:g}": make_pipeline(
            SimpleImputer(), StandardScaler(), LogisticRegression(C=share, max_iter=1000)
        )
        for share in (0.003, 0.1)
    }
    learners["forest"] = make_pipeline(SimpleImputer(), RandomForestClassifier(300, random_state=0))
    if int(data.label.max()) < 2:  # with many classes it takes minutes
        learners["boosting"] = HistGradientBoostingClassifier(random_state=0)
    for name, learner in learners.items():
        learner.fit(inputs[data.train], data.label[data.train])
        yield name, [learner.predict_proba(inputs[rows]) for rows in (data.valid, data.test)]


def scores(label: np.ndarray, probability: np.ndarray) -> str:
    """Accuracy, balanced accuracy and, of two classes, the area under the ROC curve."""
    said = probability.argmax(1)
    area = f"{roc_auc_score(label, probability[:, 1]):.3f}" if probability.shape[1] == 2 else "     "
    return f"{accuracy_score(label, said):.3f}  {balanced_accuracy_score(label, said):.3f}  {area}"


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("sets")
    asked.add_argument("--epochs", type=int, default=20)
    asked.add_argument("--left-out", type=int, default=0, choices=range(7))
    asked.add_argument("--test", action="store_true")
    options = asked.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing, which are imputed
    for name in options.sets.split(","):
        data = read(name, options.left_out)
        head = "valid: accuracy, balanced, AUROC" + (" | test" if options.test else "")
        print(f"\n{name}: {len(data.train)} / {len(data.valid)} / {len(data.test)} samples; {head}")
        learners = [
            ("erm", network(data, options.epochs, by_shape=True)),
            *simple(data),
            ("erm, transformer", network(data, options.epochs, by_shape=False)),
        ]
        for learner, said in learners:
            words = scores(data.label[data.valid], said[0])
            words += f" | {scores(data.label[data.test], said[1])}" if options.test else ""
            print(f"  {learner:30s}{words}", flush=True)


if __name__ == "__main__":
    main()
