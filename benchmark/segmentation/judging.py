"""From two finished jobs to the verdicts of a judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...datasets.libraries import import_guard
from ...regimes.describe import regime_names
from ...regimes.judge import Ask, Case, course, segments
from ..core.errors import UsageError
from .pictures import fused_values
from .results import RegimeRecord, states_of

#: The most tokens of an answer.
ANSWER = 8


def cases_of(first: RegimeRecord, second: RegimeRecord, most: int) -> list[Case]:
    """The conversations that two jobs segment differently.

    Args:
        first, second: finished jobs of one corpus.
        most: how many, by name.

    Raises:
        UsageError: they are of different conversations, or differ in none.
    """
    if first.job.fingerprint != second.job.fingerprint:
        raise UsageError(f"{first.job.label} and {second.job.label} are of different observations")
    tables = [states_of(one.folder) for one in (first, second)]
    names = [regime_names(one["regime"].to_numpy(), fused_values(one)) for one in tables]
    groups = [{str(name): part for name, part in one.groupby("conversation")} for one in tables]
    cases = []
    for name in sorted(groups[0]):
        words = [segments(groups[k][name]["regime"].to_numpy(), names[k]) for k in range(2)]
        if words[0] != words[1] and len(cases) < most:
            cases.append(Case(str(name), course(fused_values(groups[0][name])), words[0], words[1]))
    if not cases:
        raise UsageError(f"{first.job.label} and {second.job.label} segment every conversation alike")
    return cases


def local_model(folder: Path) -> Ask:
    """A language model of a folder as a judge: the most probable answer. Nothing is fetched.

    Raises:
        LibraryError: transformers is not installed, or does not work.
        UsageError: the folder holds no such model.
    """
    with import_guard("transformers", "a model as judge"):
        from transformers import AutoModelForCausalLM, AutoTokenizer
    model: Any
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"--model {folder}: holds no language model that can be read: {reason}") from None

    def ask(prompt: str) -> str:
        tokens = tokenizer(prompt, return_tensors="pt")
        end = tokenizer.eos_token_id
        made = model.generate(**tokens, max_new_tokens=ANSWER, do_sample=False, pad_token_id=end)
        return str(tokenizer.decode(made[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True))

    return ask
