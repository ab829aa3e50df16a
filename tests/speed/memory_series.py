"""How much memory a run on clinical series takes: 12,000 stays of 48 hours, 37 channels, nine in ten entries unobserved.

    python tests/speed/memory_series.py [METHOD]

``mmbench run`` reads the stays, trains METHOD (``mtand``) for an epoch and tests it clean and with entries hidden, in one
process. The figure is the largest resident memory of that process; promised are 4 GiB.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

STAYS, HOURS, WIDTHS, OBSERVED = 12_000, 48, {"vitals": 15, "labs": 22}, 0.1
LIMIT_GIB = 4.0
DESCRIPTION = """
file: stays.npz
modalities:
  vitals: {array: vitals, missing: nan, time: {array: hours, unit: hours}}
  labs: {array: labs, missing: nan, time: {array: hours, unit: hours}}
task: {kind: classification, classes: [survived, died]}
label: label
split: part
"""


def write(folder: Path) -> None:
    """White noise with holes, in the open layout."""
    draw = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {
        "hours": np.arange(HOURS, dtype=np.float32),
        "label": (draw.random(STAYS) < 0.14).astype(np.int64),
        "part": np.repeat(["train", "valid", "test"], [STAYS * 3 // 5, STAYS // 5, STAYS // 5]),
    }
    for name, width in WIDTHS.items():
        values = draw.standard_normal((STAYS, HOURS, width), dtype=np.float32)
        arrays[name] = np.where(draw.random(values.shape, dtype=np.float32) < OBSERVED, values, np.nan)
    folder.mkdir()
    np.savez(folder / "stays.npz", **arrays)  # pyright: ignore[reportArgumentType]
    (folder / "dataset.yaml").write_text(DESCRIPTION)


def main() -> None:
    """Runs the method and prints the peak."""
    method = sys.argv[1] if len(sys.argv) > 1 else "mtand"
    with tempfile.TemporaryDirectory() as place:
        made = f"from memory_series import write; from pathlib import Path; write(Path({place!r}) / 'stays')"
        subprocess.run([sys.executable, "-c", made], check=True, cwd=Path(__file__).parent)
        written = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        command = [
            sys.executable,
            "-m",
            "mmbench.benchmark",
            "run",
            "--methods",
            method,
            "--datasets",
            "stays",
        ]
        command += ["--data-root", place, "--store", f"{place}/runs", "--seeds", "0", "--epochs", "1"]
        command += ["--batch-size", "256", "--device", "cpu", "--launcher", "debug"]
        command += ["--corruptions", "missing-points"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    if peak * 2**20 <= written:
        print(f"{method}: below {peak:.2f} GiB, which writing the data took")
    else:
        print(f"{method}: at most {peak:.2f} GiB resident (promised: {LIMIT_GIB:g} GiB)")
    raise SystemExit(peak > LIMIT_GIB)


if __name__ == "__main__":
    main()
