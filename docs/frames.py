"""Makes the picture of all damage to pictures, at severities 1 to 5: ``python docs/frames.py``.

It shows the portrait that comes with scikit-image (NASA, public domain), which the test extra brings.
"""

from __future__ import annotations

from pathlib import Path

import skimage.data
import torch
from matplotlib import pyplot
from mmbench.benchmark.planning.corruption_groups import corruption_entries
from mmbench.datasets.batch import Batch

DOTS = 72


def main() -> None:
    """Writes ``frames.jpg`` beside this file."""
    portrait = torch.from_numpy(skimage.data.astronaut()[:448:2, :448:2].copy())
    features = portrait.permute(2, 0, 1)[None, None].float() / 255
    batch = Batch(
        features={"vision": features},
        mask={"vision": torch.ones(1, 1, dtype=torch.bool)},
        present={"vision": torch.ones(1, dtype=torch.bool)},
        target=torch.zeros(1),
        domain=torch.zeros(1, dtype=torch.int64),
        sample_id=torch.tensor([11]),
    )
    entries = [entry for entry in corruption_entries(["frames"]) if not entry.name.startswith("frame-")]
    figure, axes = pyplot.subplots(5, len(entries), figsize=(len(entries), 5.3), dpi=DOTS)
    for column, entry in enumerate(entries):
        axes[0, column].set_title(entry.name, fontsize=7)
        for row in range(5):
            damaged = entry.load()("vision", row + 1).apply(batch).features["vision"][0, 0]
            axes[row, column].imshow(damaged.permute(1, 2, 0).numpy())
            axes[row, column].set_axis_off()
    figure.subplots_adjust(left=0, right=1, bottom=0, top=0.95, wspace=0.03, hspace=0.03)
    figure.savefig(Path(__file__).with_suffix(".jpg"), pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
