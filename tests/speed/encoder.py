"""How much faster the shared sequence encoders are than the same network as torch's modules compute it.

    python tests/speed/encoder.py

Three modalities with the feature sizes of MMDG-Bench's sentiment files, 44 steps of which 4 to 29 are valid. The two
take turns in one process and on one thread; the figure is CPU seconds of this code over those of the plain one. Under
``as-published`` padding is read like data, as zeros, so the transformers run over all 44 steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from measure import Row, estimate, print_machine, print_table
from mmbench.methods.shared.sequence_encoder import SequenceEncoder, encode_together
from plain_encoder import plain
from torch import Tensor

FEATURES = (768, 25, 171)
BATCH, STEPS = 32, 44
ROUNDS = 9
PROMISED = {"fair": 1 / 3, "as-published": 1 / 3}  # of a training step


def rows(protocol: str) -> list[Row]:
    """A training step (forwards and backwards) and an evaluation of 256 samples."""
    torch.manual_seed(0)
    masked = protocol == "fair"
    encoders = [SequenceEncoder(features, mask_padding=masked) for features in FEATURES]

    def batch(samples: int) -> tuple[list[Tensor], list[Tensor]]:
        valid = torch.arange(STEPS) < torch.randint(4, 30, (samples, 1))
        return [torch.randn(samples, STEPS, features) for features in FEATURES], [valid] * len(FEATURES)

    def ours(features: list[Tensor], valid: list[Tensor]) -> Tensor:
        return torch.cat(encode_together(encoders, features, valid))

    def theirs(features: list[Tensor], valid: list[Tensor]) -> Tensor:
        parts = zip(encoders, features, valid, strict=True)
        return torch.cat([plain(encoder, values, mask) for encoder, values, mask in parts])

    small, large = batch(BATCH), batch(256)

    def step(encode: Callable[..., Tensor]) -> float:
        begun = time.process_time()
        encode(*small).square().sum().backward()
        return time.process_time() - begun

    @torch.inference_mode()
    def evaluation(encode: Callable[..., Tensor]) -> float:
        begun = time.process_time()
        encode(*large)
        return time.process_time() - begun

    found = []
    for name, run, training in (("training step", step, True), ("evaluation", evaluation, False)):
        for encoder in encoders:
            encoder.train(training)
        for warm_up in (ours, theirs):
            run(warm_up)
        turns = [(run(ours), run(theirs)) for _ in range(ROUNDS)]
        figure = estimate({"turns": turns}, lambda medians: float(medians["turns"][0] / medians["turns"][1]))
        note = f"{1 / figure[0]:.1f} times faster"
        found.append(Row(f"{name}, {protocol}", *figure, "x", PROMISED[protocol] if training else None, note))
    return found


def main() -> None:
    torch.set_num_threads(1)
    print_machine()
    print_table("The shared encoders / the plain ones", [row for name in PROMISED for row in rows(name)])


if __name__ == "__main__":
    main()
