"""What tables say of a job beside its scores: what a reader must know to compare rows, and what the job cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...corruptions.families import trained_families
from ...leaderboards.labels import FINGERPRINTS, LEAKS, NO_LEAKS
from ..core.class_weights import class_weights_text
from ..core.fold import Fold
from ..core.job import OUTSIDE, Job
from ..core.method_spec import describe
from ..core.registry import entries
from ..core.strings import counted
from ..core.task import Task

#: What is known of a method that was trained outside.
_OF_OUTSIDE = {
    "selected_by": "not by mmbench",
    "train_missing": "not known",
    "train_noise": "not known",
    "domain_term": "not known",
    "train_families": "not known",
    "models": "not known",
}
_SELECTED_BY = {
    "source-validation": "source validation split",
    "last": "last epoch",
    "leave-one-source-out": "validation splits of left-out sources",
    "oracle": "target validation (oracle)",
}


def audit_of(
    job: Job, environment: Mapping[str, Any], fit: Mapping[str, Any], of_search: Mapping[str, str]
) -> dict[str, str]:
    """What a reader must know to compare rows.

    Args:
        job: the job.
        environment: its record of where it ran; empty where it is not done.
        fit: its record of the training; likewise.
        of_search: what the search says that chose it; empty without one.

    Returns:
        Column of the audit, without its prefix -> words; tables have the columns in this order.
    """
    return {
        **_of_training(job),
        **_code(environment),
        **_leaks(environment),
        **_models(fit, "bases", "base_models"),
        **_models(fit, "text_encoder", "text_encoder"),
        **_drawn_validation(environment),
        **_single_labels(environment),
        **of_search,
        FINGERPRINTS: ", ".join(f"{item.name}: {item.fingerprint[:16]}" for item in job.data),
    }


def _of_training(job: Job) -> dict[str, str]:
    """What a job says of its training by itself."""
    features = {"features": ", ".join(f"{item.name}: {item.format}" for item in job.data)}
    if job.role == OUTSIDE:
        return _OF_OUTSIDE | {"train_missing": job.train_missing} | features
    selection = str(job.protocol["selection"])
    return {
        "selected_by": _SELECTED_BY.get(selection, selection),
        "train_missing": _joined(job.train_missing, job.protocol.get("train_with_missing", "off")),
        "train_noise": job.protocol.get("train_with_noise", "off"),
        "domain_term": _domain_term(job),
        "train_families": ", ".join(sorted(families_in_training(job))) or "none",
        "models": "one for all patterns",
        **features,
        **_class_weights(job),
        **_modality_term(job),
        **_imputation(job),
        **({"division": _division(job.fold)} if job.fold else {}),
    }


def _division(fold: Fold) -> str:
    """How a dataset is divided into folds, in words."""
    number = f", {fold.count} folds" if fold.leave_one_out else ""
    return f"{fold.rule} of all samples{number}, division {fold.division[:8]}"


def _class_weights(job: Job) -> dict[str, str]:
    """How classes are weighed in the loss; nothing where they are not, as in all jobs before there was the rule."""
    weights = job.protocol.get("class_weights", "off")
    return {} if weights == "off" else {"class_weights": class_weights_text(weights)}


def _modality_term(job: Job) -> dict[str, str]:
    """That the method's own idea is off, where it needs more modalities than there are; else nothing."""
    entry = entries("method").get(job.method)
    there = len(job.modalities)
    if entry is None or describe(entry).needs_modalities <= there:
        return {}
    return {"modality_term": f"off: {counted(there, 'modality', 'modalities')}"}


def _imputation(job: Job) -> dict[str, str]:
    """How entries that were not observed are filled; nothing where they are not."""
    rule = job.protocol.get("impute", "off")
    return {} if rule == "off" else {"imputation": str(rule)}


def _domain_term(job: Job) -> str:
    """Whether the method has a term between source domains, and whether the task has the domains for it."""
    if job.needs_domains < 2:
        return "none"
    sources = len(Task.parse(job.task).sources)
    return "on" if sources >= job.needs_domains else f"off: {sources} source domain{'s'[: sources != 1]}"


def _joined(own: str, rule: str) -> str:
    """How modalities are missing in training: the method's own way and the protocol's."""
    return own if rule == "off" else f"{rule} (protocol)" if own == "none" else f"{own}; {rule} (protocol)"


def _code(environment: Mapping[str, Any]) -> dict[str, str]:
    """Whether a job ran by the code that asked for it, for the audit; nothing where that was not recorded."""
    changed = environment.get("code_changed")
    said = "changed between asking and running" if changed else "as asked for"
    return {"code": said} if isinstance(changed, bool) else {}


def _leaks(environment: Mapping[str, Any]) -> dict[str, str]:
    """What the splits of the data share, for the audit; nothing where that was not recorded."""
    known = environment.get("leaks")
    if not isinstance(known, dict) or not known:
        return {}
    shared = [f"{name}: {'; '.join(found)}" for name, found in known.items() if found]
    return {LEAKS: ", ".join(shared) or NO_LEAKS}


def _models(fit: Mapping[str, Any], record: str, column: str) -> dict[str, str]:
    """Models by name and the beginning of their hash, for the audit; nothing where there is none.

    Args:
        fit: the record of the training.
        record: under which it has them: ``bases`` that a network was built on and did not train, or the ``text_encoder``
            that it began from.
        column: of the audit.
    """
    known = fit.get(record)
    if not isinstance(known, dict) or not known:
        return {}
    return {column: ", ".join(f"{Path(name).name}: {str(digest)[:16]}" for name, digest in known.items())}


def _drawn_validation(environment: Mapping[str, Any]) -> dict[str, str]:
    """How validation parts were drawn, for the audit; nothing where the data state them."""
    known = environment.get("drawn_validation") or {}
    return {"drawn_validation": "; ".join(f"{name}: {how}" for name, how in known.items())} if known else {}


def _single_labels(environment: Mapping[str, Any]) -> dict[str, str]:
    """The parts of the target whose samples all have the same label, for the audit; nothing where there are none."""
    known = environment.get("single_labels") or {}
    words = [f"all samples of {split} are of {label}" for split, label in known.items()]
    return {"single_labels": "; ".join(words)} if words else {}


def families_in_training(job: Job) -> frozenset[str]:
    """The families of corruption that the protocol puts into training."""
    rules = job.protocol
    return trained_families(rules.get("train_with_missing", "off"), rules.get("train_with_noise", "off"))


def domains_in_test(fit: Mapping[str, Any]) -> tuple[str, ...]:
    """The domains of the test samples; none where they were not recorded."""
    names = fit.get("test_domains")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def cost_of(environment: Mapping[str, Any], fit: Mapping[str, Any]) -> dict[str, float]:
    """What a job cost, from its records; without what was not recorded.

    Args:
        environment: its record of where it ran.
        fit: its record of the training.

    Returns:
        Seconds, joules, GiB, and counts of parameters and epochs, by name.
    """
    seconds = environment.get("seconds", {})
    energy = environment.get("energy_joules", {})
    gib = 2.0**30
    costs = {
        "parameters": fit.get("parameters"),
        "trained_share": fit.get("trained_share"),
        "selected_epoch": fit.get("selected_epoch"),
        "seconds_fit": seconds.get("fit"),
        "seconds_predict": seconds.get("predict"),
        "flops_per_sample": environment.get("flops_per_sample"),
        "latency_seconds": environment.get("latency_seconds"),
        "energy_cpu_joules": energy.get("cpu"),
        "energy_gpu_joules": energy.get("gpu"),
        "peak_process_memory_gib": environment.get("peak_process_memory_bytes", float("nan")) / gib,
        "peak_gpu_memory_gib": environment.get("peak_gpu_memory_bytes", float("nan")) / gib,
    }
    return {name: float(value) for name, value in costs.items() if value is not None}
