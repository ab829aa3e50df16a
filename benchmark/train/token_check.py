"""Checks, before anything is trained, that networks which read token ids find them in their data and under their tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ...corruptions.corruption import apply_all, prepare
from ...datasets.batch import Batch
from ...datasets.damage import inject_by_sample
from ...datasets.dataset import Located
from ...datasets.imputation_rules import LEARNED
from ..core.errors import UsageError
from ..core.job import Job
from ..core.method_spec import describe
from ..core.protocol import Protocol
from ..core.registry import find
from ..core.task import Task, dataset_of
from ..planning.corruption_groups import breakable_modalities, breaks_media, media_of
from ..planning.data_check import shape_of
from ..planning.evaluations import Evaluation, load_corruption
from ..planning.experiment import Experiment

_STEPS = 4  # of the features on which damage is tried


def check_tokens(
    experiment: Experiment,
    evaluations: Sequence[Evaluation],
    jobs: Sequence[Job],
    located: Mapping[str, Located],
) -> None:
    """Checks that the data of jobs state token ids, and that all damage to their texts reaches these.

    Args:
        experiment: the experiment.
        evaluations: what its networks are tested under.
        jobs: those that are to be run; those that read no token ids, by their method or by ``--text-encoder``, are passed over.
        located: their datasets, by name.

    Raises:
        UsageError: one does not.
        EncoderError: there is no model that ``--text-encoder`` names.
    """
    plugins = tuple(experiment.plugins)
    for job in {(job.method, job.task, job.modalities, str(job.protocol)): job for job in jobs}.values():
        method, rules = describe(find("method", job.method, plugins)), Protocol(**job.protocol)
        by_encoder = bool(rules.text_encoder) and not method.reads_media
        if not (method.reads_tokens or by_encoder):
            continue
        task = Task.parse(job.task)
        reader = f"method {job.method}" if method.reads_tokens else f"--text-encoder {rules.text_encoder}"
        texts = _texts(job, task, located, reader)
        if by_encoder:
            _check_ids(rules, task, texts, located)
        reads = f"{'the ' * method.reads_tokens}{reader} reads: leave one of them out"
        if rules.impute in LEARNED:
            raise UsageError(
                f"--impute {rules.impute} reads features, and this job reads the raw media or token ids of {', '.join(texts)}"
            )
        if rules.train_with_noise != "off":
            raise UsageError(
                f"--train-noise does not reach the token ids of {', '.join(texts)}, which {reads}"
            )
        try:
            inject_by_sample(_trial(job, texts), rules.train_with_missing, "off", 0, "trial")
        except ValueError as error:
            raise UsageError(f"--train-missing {rules.train_with_missing}: {error}, which {reads}") from None
        for evaluation in evaluations:
            if evaluation.kind == "ood":
                raise UsageError(f"--ood {evaluation.subject}: its features are fitted to a network, and not the token "
                                 f"ids that {reads}")  # fmt: skip
            if evaluation.kind == "corruption":
                fault = _fault(evaluation, experiment, job, texts, located[dataset_of(task.target)])
                if fault:
                    raise UsageError(f"--corruptions {evaluation.subject}: {fault}, which {reads}")


def _check_ids(
    rules: Protocol, task: Task, texts: Mapping[str, bool], located: Mapping[str, Located]
) -> None:
    """Checks that the model of ``--text-encoder`` can read the token ids of all splits; ``texts`` as ``_texts`` gives them."""
    from ..features.token_encoders import check_token_ids  # with encoders

    for name in task.datasets:
        splits = located[name].load()
        ids = [(text, split.tokens[text]) for split in splits.values() for text in texts]
        check_token_ids(ids, rules, name)


def _texts(job: Job, task: Task, located: Mapping[str, Located], reader: str) -> dict[str, bool]:
    """Modality of a job with token ids in all of its datasets -> whether there is one a step of its features.

    Args:
        job: the job.
        task: its task.
        located: the datasets, by name.
        reader: what reads the ids, for messages.
    """
    stated = {name: shape_of(located[name]).tokens for name in task.datasets}
    texts = {
        modality: all(known[modality] for known in stated.values())
        for modality in job.modalities
        if all(modality in known for known in stated.values())
    }
    if not texts:
        lacking = next(
            (name for name, known in stated.items() if not known.keys() & set(job.modalities)), task.name
        )
        raise UsageError(
            f"{reader} reads token ids, and {lacking} states none for {job.modality_set}: name an array of "
            "them in its dataset.yaml ('text: {array: ..., tokens: ...}'; MMSA's pickles have text_bert)"
        )
    return texts


def _fault(
    evaluation: Evaluation, experiment: Experiment, job: Job, texts: Mapping[str, bool], target: Located
) -> str:
    """Why a corruption does not reach the token ids of a job; empty where it does.

    Args:
        evaluation: the corruption.
        experiment: whose plug-ins may bring it.
        job: the job.
        texts: modality with token ids -> whether there is one a step of its features.
        target: the dataset that is tested.
    """
    corruption = load_corruption(evaluation, tuple(experiment.plugins))
    if breaks_media(corruption):
        broken = breakable_modalities(corruption, texts, media_of(target))
        return f"it breaks the raw media of {broken[0]} and not its token ids" if broken else ""
    trial = _trial(job, texts)
    conditions = [prepare(condition, trial) for condition in corruption.conditions(job.modalities)]
    try:
        for _ in apply_all(conditions, trial):
            pass
    except ValueError as error:
        return str(error)
    return ""


def _trial(job: Job, texts: Mapping[str, bool]) -> Batch:
    """A few samples with the modalities and the token ids of a job."""
    count = 2
    return Batch(
        features={name: torch.zeros(count, _STEPS, 2) for name in job.modalities},
        mask={name: torch.ones(count, _STEPS, dtype=torch.bool) for name in job.modalities},
        present={name: torch.ones(count, dtype=torch.bool) for name in job.modalities},
        target=torch.arange(count).float(),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
        tokens={
            name: torch.ones(count, 3, _STEPS if each else _STEPS + 1, dtype=torch.int32)
            for name, each in texts.items()
        },
    )
