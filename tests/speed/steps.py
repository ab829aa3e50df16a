"""What a training step of each method costs beside ERM's, and how much of that its definition needs.

    python tests/speed/steps.py [METHOD,METHOD,...]

A step is what the trainer does with a batch: gradients emptied, the method's ``backward``, gradients clipped, the
optimiser's step, ``after_step``. Each method takes turns with ERM, four steps each, on the same batch and one thread.
The figure is CPU seconds of the one over those of the other, so that what else runs on the machine matters little.

``NEEDS`` says how often a definition sends a batch through all encoders, forwards and backwards; backwards counts
twice (the gradients of weights and of inputs). What a definition asks of its heads is added where it shows: the bare
layers, timed in the same turns. Promised is that a step costs at most 1.3 times what is needed.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from measure import Row, estimate, print_machine, print_table
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.registry import find
from mmbench.benchmark.train.optimizer import build_optimizer
from mmbench.benchmark.train.seeds import seed_everything
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods import LANGUAGE_MODELS, METHODS
from mmbench.methods.generalisation.moosa import MOOSA
from mmbench.methods.method import Method
from mmbench.methods.missing.mplmm import MPLMM
from mmbench.methods.missing.promma import ProMMA
from torch.nn.utils import clip_grad_norm_

SLACK = 1.3
ROUNDS, STEPS = 5, 4  # four, as EBMC takes a gradient of energies at every fourth step
BATCH = 32


@dataclass(frozen=True)
class Needs:
    """What the definition of a method asks of a step.

    Attributes:
        forward, backward: passes of a batch through all encoders.
        why: in one line.
        params: with which the step is the one that most of a training consists of.
    """

    forward: int
    backward: int
    why: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passes(self) -> float:
        """Relative to one forward and one backward pass."""
        return (self.forward + 2 * self.backward) / 3


NEEDS = {
    "erm": Needs(1, 1, "the task's loss"),
    "late_concat": Needs(1, 1, "the task's loss"),
    "rna": Needs(1, 1, "norms of the embeddings that are there"),
    "simmmdg": Needs(1, 1, "translators and projections read the embeddings"),
    "moosa": Needs(1, 1, "heads and a jigsaw of 128 orders read the embeddings"),
    "cmrf": Needs(2, 1, "and the teacher's forward pass, once it teaches", {"start": 0}),
    "nel": Needs(1, 1, "both views are projections of the same embeddings"),
    "dann": Needs(1, 1, "the discriminator reads the fused feature, reversal is in the same pass"),
    "jat": Needs(1, 1, "discriminators read the embeddings, reversal is in the same pass"),
    "mbcd": Needs(3, 2, "forward and backward at theta and at theta', and the teacher's forward pass"),
    "gmp": Needs(1, 3, "three gradients of each encoder: task, its own head, domain; compared as such"),
    "sam": Needs(2, 2, "forward and backward at w and at w + e"),
    "swad": Needs(1, 1, "ERM's step; the average is of weights"),
    "mixup": Needs(1, 1, "fused features are mixed, the head runs twice"),
    "mmd": Needs(1, 1, "kernels of the fused features"),
    "coral": Needs(1, 1, "covariances of the fused features"),
    "miro": Needs(2, 1, "and a forward pass of the frozen start"),
    "supcon": Needs(1, 1, "similarities of projections"),
    "irm": Needs(1, 1, "the penalty is a gradient by a factor on the outputs"),
    "vrex": Needs(1, 1, "variance of the domains' risks"),
    "groupdro": Needs(1, 1, "weighted risks of the domains"),
    "promma": Needs(1, 0, "stage 1: the frozen encoders run forwards; all else is behind them"),
    "mplmm": Needs(1, 0, "stage 1: the frozen encoders run forwards; all else is behind them"),
    "uniform": Needs(1, 1, "heads read the embeddings"),
    "ume": Needs(1, 1, "heads read the embeddings"),
    "ogm_ge": Needs(1, 1, "ERM's step; scores are of the same pass, factors scale its gradients"),
    "agm": Needs(1, 1, "the head is asked for every subset of the embeddings"),
    "pmr": Needs(1, 1, "distances of the embeddings; prototypes are computed once an epoch"),
    "mmpareto": Needs(1, 2, "two gradients of each encoder: of the fused loss and of its own head's"),
    "g_blending": Needs(
        1, 1, "heads read the embeddings; weights are estimated once in a tenth of the training"
    ),
    "mla": Needs(1, 1, "each modality is encoded and learned from in a step of its own"),
    "reconboost": Needs(1, 1, "all together; in its turn one modality learns and the others run forwards"),
    "umt": Needs(2, 1, "stage 1: and a forward pass of the teachers"),
    "mmin": Needs(2, 1, "stage 1: and a forward pass of the frozen encoders, which say what is missing"),
    "shaspec": Needs(1, 1, "layers on the embeddings; patterns hide these, not inputs"),
    "actionmae": Needs(1, 1, "two transformers over the modalities' embeddings"),
    "momke": Needs(1, 1, "experts read the embeddings"),
    "missing_prompts": Needs(1, 0, "stage 1: the frozen encoders run forwards; all else is behind them"),
    "mmanet": Needs(2, 1, "stage 1: and a forward pass of the frozen teacher"),
    "lnln": Needs(2, 2, "both views are read; the goal that is rebuilt learns nothing"),
    "emt_dlfr": Needs(2, 2, "both views are read"),
    "tfr_net": Needs(1, 1, "attention between sequences is all that it is"),
    "flex_moe": Needs(1, 1, "one layer of attention and experts over a few tokens"),
    "cagmamba": Needs(2, 2, "the utterance before is encoded, too"),
    "tfn": Needs(1, 1, "the product reads the embeddings"),
    "lmf": Needs(1, 1, "factors read the embeddings"),
    "misa": Needs(1, 1, "parts and one layer of attention read the embeddings"),
    "self_mm": Needs(1, 1, "heads and memory read the embeddings"),
    "mult": Needs(1, 1, "attention between sequences is all that it is"),
    "lf_dnn": Needs(1, 1, "the task's loss"),
    "ef_lstm": Needs(1, 1, "one LSTM is all that it is"),
    "qamoe": Needs(1, 1, "experts read the embeddings"),
    "cpsl": Needs(1, 2, "two gradients of each encoder: of SL, and of all other terms"),
    "ebmc": Needs(2, 1, "stage II: and a forward pass of the teacher; patterns hide embeddings, not inputs"),
}

SENTIMENT = Spec({"text": 768, "audio": 25, "vision": 171}, "regression", domains=2, label_range=(-3.0, 3.0))
MOTOR = Spec(
    {"vibration": 1, "acoustic": 1},
    "classification",
    classes=6,
    domains=3,
    encoders={"vibration": "cnn1d", "acoustic": "cnn1d"},
)
SIZES = {
    "sentiment (768, 25 and 171 features, 44 steps)": (SENTIMENT, 44, 22),
    "motor faults (two waveforms, 1024 points)": (MOTOR, 1024, 1024),
}


def random_batch(spec: Spec, steps: int, shortest: int) -> Batch:
    """White noise; sequences have ``shortest`` to ``steps`` valid steps."""
    draw = torch.Generator().manual_seed(0)
    length = torch.randint(shortest, steps + 1, (BATCH, 1), generator=draw)
    valid = torch.arange(steps) < length
    classes = spec.kind == "classification"
    target = torch.randint(spec.classes, (BATCH,), generator=draw) if classes else torch.randn(BATCH)
    return Batch(
        features={m: torch.randn(BATCH, steps, n, generator=draw) for m, n in spec.modalities.items()},
        mask=dict.fromkeys(spec.modalities, valid),
        present=dict.fromkeys(spec.modalities, torch.ones(BATCH, dtype=torch.bool)),
        target=target,
        domain=torch.arange(BATCH) % spec.domains,
        sample_id=torch.arange(BATCH),
    )


class Stepper:
    """A method in training, in its last stage, with the optimiser that the trainer gives it."""

    def __init__(self, name: str, params: Mapping[str, Any], spec: Spec, batch: Batch) -> None:
        kind: type[Method] = find("method", name).load()
        seed_everything(0, "initial weights")
        self.method = kind(kind.Params(**params), spec).train()
        self.protocol = Protocol.model_validate({})
        self.optimizer = build_optimizer(self.method, self.protocol)
        self.batch = replace(batch, context=batch) if kind.uses_context else batch
        for stage in range(len(kind.stages)):
            self.method.begin_stage(stage)

    def step(self) -> None:
        """In the trainer's order."""
        self.optimizer.zero_grad()
        self.method.backward(self.batch)
        clip_grad_norm_(self.method.parameters(), self.protocol.clip_norm)
        self.optimizer.step()
        self.method.after_step()

    def seconds(self) -> float:
        """CPU seconds of some steps."""
        begun = time.process_time()
        for _ in range(STEPS):
            self.step()
        return time.process_time() - begun


def bare_heads(method: Method) -> Callable[[], float]:
    """What times the heads that a definition cannot do without, forwards and backwards; nothing for most methods."""
    if isinstance(method, MOOSA):  # every order of every sample is classified
        heads: torch.nn.Module = method.jigsaw.classify
        first = next(layer for layer in heads.modules() if isinstance(layer, torch.nn.Linear))
        shape = [BATCH * len(method.jigsaw.orders), first.in_features]
    elif isinstance(method, ProMMA | MPLMM):  # beside frozen encoders, attention over the modalities shows
        heads = torch.nn.Sequential(*method.levels)
        prompts = method.params.prompts if isinstance(method, MPLMM) else 0
        shape = [BATCH, len(method.names) + prompts, method.width]
    else:
        return lambda: 0.0
    heads = copy.deepcopy(heads)
    rows = torch.randn(shape, requires_grad=True)

    def seconds() -> float:
        begun = time.process_time()
        for _ in range(STEPS):
            heads(rows).sum().backward()
        return time.process_time() - begun

    return seconds


def row(name: str, spec: Spec, batch: Batch) -> Row:
    """The figure of one method."""
    needs = NEEDS.get(name)
    params = needs.params if needs else {}
    erm, other = Stepper("erm", {}, spec, batch), Stepper(name, params, spec, batch)
    heads = bare_heads(other.method)
    for warm in (erm, other):
        warm.step()
    turns = [(other.seconds(), erm.seconds(), heads()) for _ in range(ROUNDS)]
    figure = estimate({"steps": turns}, lambda medians: float(medians["steps"][0] / medians["steps"][1]))
    if needs is None:
        return Row(name, *figure, "x", note="NEEDS does not say what it needs")
    share = float(np.median([head for *_, head in turns]) / np.median([plain for _, plain, _ in turns]))
    needed = needs.passes + share
    words = f"needs {needed:.2f}: {needs.forward} forward, {needs.backward} backward"
    words += f", heads {share:.2f}" if share else ""
    return Row(name, *figure, "x", round(SLACK * needed, 2), f"{words}; {needs.why}")


def main() -> None:
    torch.set_num_threads(1)
    print_machine()
    names = (
        sys.argv[1].split(",")
        if len(sys.argv) > 1
        else [name for name in METHODS if name not in ("erm", *LANGUAGE_MODELS)]
    )
    for title, (spec, steps, shortest) in SIZES.items():
        batch = random_batch(spec, steps, shortest)
        rows = [row(name, spec, batch) for name in names]
        print_table(f"A training step / ERM's: {title}, batch {BATCH}", rows)
        words = {"yes": "kept", "no": "not kept", "unclear": "unclear", "": "not known"}
        for holds, called in words.items():
            found = [one.what for one in rows if one.holds == holds]
            if found:
                print(f"{called}, at most {SLACK} times what is needed: {', '.join(found)}")


if __name__ == "__main__":
    main()
