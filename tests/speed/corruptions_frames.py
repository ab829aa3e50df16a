"""How fast pictures are damaged, beside the libraries that do the same.

    python tests/speed/corruptions_frames.py

Eight photographs of 224 x 224 at severity 3, in processor time on one thread: ours on float32 [8, 1, 3, 224, 224],
imagecorruptions on the same eight as uint8, which is what it takes. Changing the types is not counted; what it
takes with that is shown beside for the two kinds that are over in a moment. Where torchvision has the kind,
ours is compared with the faster of both. They take turns. torchvision draws one distortion for a whole batch, and
no numbers that belong to a sample.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from imagenet_c import NAMES, as_features, as_pictures, corrupt, photographs
from measure import Row, estimate, print_machine, print_table
from mmbench.benchmark.core.registry import find
from mmbench.datasets.batch import Batch
from torchvision.transforms import v2

COUNT, SEVERITY, TURNS = 8, 3, 15
FLOATS = "imagecorruptions from floats to floats"
SLOW = {"glass-blur": 2}  # it takes seconds there

now = time.process_time  # on one thread; what other work on the machine takes does not count


def torchvision_kinds(pictures: torch.Tensor, eight_bit: torch.Tensor) -> dict[str, Callable[[], Any]]:
    """The kinds that torchvision has, on [n, 3, height, width] of the type that is faster there."""
    pull = v2.ElasticTransform(alpha=21.25, sigma=2.24)
    jpeg = v2.JPEG(15)
    return {
        "pixel-noise": lambda: v2.functional.gaussian_noise(eight_bit, 0, 0.18),
        "contrast": lambda: v2.functional.adjust_contrast(pictures, 0.2),
        "elastic": lambda: pull(pictures),
        "jpeg": lambda: [jpeg(picture) for picture in eight_bit],
    }


def row(kind: str, ours: Callable[[], Any], others: dict[str, Callable[[], Any]]) -> Row:
    """One kind: the ratio of our time to that of the fastest of the others."""
    calls = {"ours": ours, **others}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(SLOW.get(kind, TURNS) + 1):
        for name, call in calls.items():
            begun = now()
            call()
            if turn:  # the first is to warm up
                times[name].append(now() - begun)
    best = min(others.keys() - {FLOATS}, key=lambda name: float(np.median(times[name])))
    pairs = list(zip(times["ours"], times[best], strict=True))
    ratio = estimate({"pair": pairs}, lambda medians: float(medians["pair"][0] / medians["pair"][1]))
    spent = ", ".join(f"{name} {1e3 * float(np.median(found)):.2f} ms" for name, found in times.items())
    return Row(f"{kind}: ours / {best}", *ratio, "x", promised=1.0, note=spent)


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print_machine()
    eight = np.concatenate([photographs()] * 3)[:COUNT]
    features = as_features(eight)
    batch = Batch(
        features={"vision": features},
        mask={"vision": torch.ones(COUNT, 1, dtype=torch.bool)},
        present={"vision": torch.ones(COUNT, dtype=torch.bool)},
        target=torch.zeros(COUNT),
        domain=torch.zeros(COUNT, dtype=torch.int64),
        sample_id=torch.arange(COUNT),
    )
    also = torchvision_kinds(features[:, 0], torch.from_numpy(eight).permute(0, 3, 1, 2).contiguous())
    rows = []
    for kind in NAMES:
        condition = find("corruption", kind).load()("vision", SEVERITY)

        def library(kind: str = kind) -> None:
            for picture in eight:
                corrupt(picture, kind, SEVERITY)

        others: dict[str, Callable[[], Any]] = {"imagecorruptions": library}
        if kind in also:
            others["torchvision"] = also[kind]
        if kind in ("pixelate", "jpeg"):
            others[FLOATS] = lambda kind=kind: as_features(
                np.stack([corrupt(picture, kind, SEVERITY) for picture in as_pictures(features)])
            )
        rows.append(row(kind, lambda condition=condition: condition.apply(batch), others))
    print_table(f"Damaging {COUNT} pictures of 224 x 224, severity {SEVERITY}", rows)


if __name__ == "__main__":
    main()
