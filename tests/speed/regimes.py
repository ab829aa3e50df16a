"""How long the sampler of the sticky HDP-HMM takes.

    python tests/speed/regimes.py

Three hundred sweeps of one conversation of 170 steps with ten states, in three chains at once: processor seconds a chain, and the
same for 20 conversations at once, as a multiple of one. Promised are 2 s a chain on one quiet core, and that 20 conversations cost
less than 6 times as much as one.
"""

from __future__ import annotations

import time

import numpy as np
from measure import Row, median, print_machine, print_table
from mmbench.regimes.segmenter import Conversation
from mmbench.regimes.sticky_hdp_hmm import HdpHmmParams, StickyHdpHmm

STEPS, STATES, SWEEPS, CHAINS, ROUNDS = 170, 10, 300, 3, 3


def seconds(conversations: list[Conversation]) -> float:
    """Processor time of a fit, a chain."""
    segmenter = StickyHdpHmm(HdpHmmParams(states=STATES, sweeps=SWEEPS, chains=CHAINS))
    before = time.process_time()
    segmenter.fit(conversations, 0)
    return (time.process_time() - before) / CHAINS


def main() -> None:
    """Times one conversation and twenty, in turns."""
    print_machine()
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((3, 2))
    talks = [
        Conversation(
            f"c{n}", (centres[np.arange(STEPS) // 40 % 3] + rng.normal(0, 0.45, (STEPS, 2)))[:, None]
        )
        for n in range(20)
    ]
    one, many = zip(*((seconds(talks[:1]), seconds(talks)) for _ in range(ROUNDS)), strict=True)
    ratio = [b / a for a, b in zip(one, many, strict=True)]
    rows = [
        Row(f"{SWEEPS} sweeps, {STEPS} steps, {STATES} states, a chain", *median(one), "s", 2.0),
        Row("20 conversations over one", *median(ratio), "x", 6.0),
    ]
    print_table("The sampler of the sticky HDP-HMM", rows)


if __name__ == "__main__":
    main()
