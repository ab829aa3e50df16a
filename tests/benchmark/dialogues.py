"""Planted dialogues: what an utterance is labelled with, the other speaker has said before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

COUNTS = {"train": 60, "valid": 12, "test": 16}  # dialogues


def dialogue_arrays(seed: int = 0, width: int = 4, counts: dict[str, int] = COUNTS) -> dict[str, np.ndarray]:
    """Dialogues of 1 to 9 utterances by two speakers in turn, in no order.

    The label is the sign that the previous utterance, which is the other speaker's, shows in its first feature; that
    of the first utterance of a dialogue is drawn. An utterance itself says nothing about its own label.
    """
    draw = np.random.default_rng(seed)
    rows: list[tuple[str, int, str, int, float, int]] = []
    for split, (name, count) in enumerate(counts.items()):
        for number in range(count):
            size = int(draw.integers(1, 10))
            signs = draw.integers(0, 2, size + 1)
            names = draw.permutation(["ann", "bob"])
            rows += [
                (f"{name}{number}", turn * 10, names[turn % 2], split, signs[turn + 1], signs[turn])
                for turn in range(size)
            ]
    order = draw.permutation(len(rows))
    dialogue, turn, speaker, split, sign, label = (
        np.array(column)[order] for column in zip(*rows, strict=True)
    )
    features = draw.normal(size=(len(rows), width)).astype(np.float32)
    features[:, 0] = 2 * sign - 1 + 0.1 * features[:, 0]
    noise = draw.normal(size=(len(rows), width)).astype(np.float32)
    return {
        "text": features, "audio": noise, "label": label, "split": split,
        "dialogue": dialogue, "turn": turn, "speaker": speaker,
    }  # fmt: skip


def write_dialogues(
    folder: Path, seed: int = 0, arrays: dict[str, np.ndarray] | None = None, **entries: object
) -> None:
    """Planted dialogues as a dataset in the open layout; an entry of ``None`` is left out of its description."""
    folder.mkdir(parents=True)
    np.savez(folder / "all.npz", **{**dialogue_arrays(seed), **(arrays or {})})  # pyright: ignore[reportArgumentType]
    about = {
        "file": "all.npz",
        "modalities": {"text": "text", "audio": "audio"},
        "task": {"kind": "classification", "classes": ["no", "yes"]},
        "label": "label",
        "split": {"array": "split", "values": {0: "train", 1: "valid", 2: "test"}},
        "conversation": {"id": "dialogue", "order": "turn", "speaker": "speaker"},
        **entries,
    }
    text = yaml.safe_dump({key: value for key, value in about.items() if value is not None}, sort_keys=False)
    (folder / "dataset.yaml").write_text(text)
