"""Runs one job: reads its data, trains its network, tests it, and writes the results into the store.

``run_job`` is what a worker calls. It trains a job that is not done, and it only adds the evaluations that a finished
job lacks. Nothing here computes scores or tables.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from ...corruptions.condition import Condition
from ...datasets.dataset import DataError
from ...datasets.imputation_rules import LEARNED
from ...methods.estimator import Estimator
from ..core.atomic_files import write_atomic
from ..core.environment import origin
from ..core.errors import UsageError, error_line
from ..core.job import Job
from ..core.locate import locate
from ..core.logs import set_up_worker
from ..core.plugins import use_plugins
from ..core.protocol import Protocol
from ..core.registry import callbacks, find
from ..core.selection import Epoch, Pruned, record_for_rule, selection_metric
from ..core.task import Task, dataset_of
from ..data.tensors import TaskData
from ..planning.companions import companion_fits, companions
from ..planning.corruption_groups import breaks_media
from ..planning.evaluations import FAMILY, Evaluation, load_corruption
from ..store.cleanup import CHECKPOINT
from ..store.job_folder import INPUTS, WEIGHTS, JobFolder
from ..store.locks import Claim, LostClaimError
from ..store.store import Store
from .checkpoint import Checkpointer
from .context import Context, Outcome
from .diagnostics import diagnostics_table, kept, without_diagnostics
from .energy import Energy, counters_of
from .inputs import inputs_of, save_inputs
from .job_data import device_of, mask_conditions, ood_splits, task_data
from .job_environment import environment_of, versions
from .network import TrainedNetwork, load_trained
from .predict import corruption_conditions, feature_table, prediction_table, to_parquet
from .seeds import seed_everything
from .timer import PhaseTimer
from .validate import SelectionData
from .watchers import Watchers
from .weights import save_weights, trained_share

if TYPE_CHECKING:
    from .estimation import Fit


def run_job(job: Job, context: Context) -> Outcome:
    """Trains and evaluates one job and writes its results.

    A job that is done and lacks no evaluation stays as it is. A job that another process holds is waited for. A
    fault of the job is never raised: the store and the outcome state its reason.

    Args:
        job: what to run.
        context: where the data and the store lie, on which device to run, and what to test.

    Returns:
        Whether the job is done, and the reason where it is not.
    """
    set_up_worker()
    folder = Store(context.store).job(job.id)
    try:
        with folder.hold() as claim:
            return _run_held(job, context, folder, claim)
    except OSError as error:  # not even its claim or its end can be written down
        return Outcome(job.id, ok=False, reason=error_line(error))


def _run_held(job: Job, context: Context, folder: JobFolder, claim: Claim) -> Outcome:
    """Runs a job whose folder this process holds; parameters as in ``run_job``."""
    done, lacking = folder.is_done(), context.lacking(job)
    if done and not lacking:
        return Outcome(job.id, ok=True, reason="already done")
    if job.id in context.rivals and folder.pruning_record() is not None:
        return Outcome(job.id, ok=True, reason="already pruned")
    folder.begin()
    torch.set_num_threads(context.threads)
    try:
        use_plugins(context.plugins)
        beside: dict[str, pa.Table] = {}
        if done:
            trained = load_trained(job, context, folder)
        else:
            trained, beside = _train(job, context, folder, claim, lacking)
        _evaluate(job, context, folder, trained, lacking, claim, beside)
    except Pruned as pruned:
        folder.prune({"reason": str(pruned), "epochs": [asdict(item) for item in pruned.record]})
        return Outcome(job.id, ok=True, reason=str(pruned))
    except LostClaimError as error:
        return Outcome(
            job.id, ok=False, reason=str(error)
        )  # the other process writes what becomes of the job
    except OSError as error:  # a fault of the disk and not of the training: its checkpoint stays
        reason, details = error_line(error), traceback.format_exc()
    except Exception as error:
        # A training that failed is not continued from its checkpoint: it would fail again.
        (folder.path / CHECKPOINT).unlink(missing_ok=True)
        reason = str(error) if isinstance(error, UsageError | DataError) else error_line(error)
        details = "" if isinstance(error, UsageError | DataError) else traceback.format_exc()
    else:
        return Outcome(job.id, ok=True)
    if not claim.is_lost():
        folder.fail(reason, details)
    return Outcome(job.id, ok=False, reason=reason)


def _train(
    job: Job, context: Context, folder: JobFolder, claim: Claim, lacking: Sequence[Evaluation]
) -> tuple[TrainedNetwork, dict[str, pa.Table]]:
    """Trains the network of a job and writes its results.

    Returns:
        The network; and by the name of an evaluation that is lacking, the outputs that the pass over the test split gave for it, too.

    Raises:
        Pruned: a pruner ended the trial early.
        LostClaimError: another process took the job over in the meantime.
    """
    clock = PhaseTimer()
    device = device_of(context)
    energy = Energy(counters_of(device))
    with clock.phase("load"):
        data = task_data(job, context, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    protocol = Protocol(**job.protocol)
    with clock.phase("build"):
        method_class = find("method", job.method, context.plugins).load()
        seed_everything(job.seed, "initial weights")
        spec = data.spec(protocol.name, protocol.class_weights, protocol.impute)
        if protocol.impute in LEARNED:
            if raw := dict.fromkeys(
                [*data.media, *data.finetuned, *(data.train.tokens if method_class.reads_tokens else ())]
            ):
                raise UsageError(
                    f"--impute {protocol.impute} reads features, and this job reads the raw media or token ids of {', '.join(raw)}"
                )
            from .imputers import with_imputer  # of such jobs alone

            spec = with_imputer(spec, data.train.batch, protocol, job.seed)
            seed_everything(job.seed, "initial weights")
        method = method_class(method_class.Params(**job.params), spec).to(device)
        data = data.as_read_by(method_class)
        seed_everything(job.seed, "training")
    epochs = len(method.candidates()) if isinstance(method, Estimator) else protocol.epochs
    report = Progress(folder.path / "progress.json", epochs, claim, energy)
    checkpointer = Checkpointer(folder.path / CHECKPOINT, _identity(job, context, device))
    watched = job.id in context.rivals
    if watched:
        from ..search.pruning import Watch, fits_of  # of a search alone

        report = Watch(report, fits_of(Store(context.store), context.rivals[job.id]), protocol.epochs)
    with clock.phase("fit"):
        target = None if data.target_valid is None else data.target_valid.batch
        selection_data = SelectionData(target, companion_fits(job, Store(context.store)))
        # A pruner has to see every epoch: what it watches begins anew.
        held = None if watched else checkpointer
        splits = (data.train.batch, data.valid.batch)
        training: Fit
        if isinstance(method, Estimator):
            from .estimation import fit_estimator

            with _watchers(job, context, data) as watchers:
                training = fit_estimator(method, protocol, *splits, job.seed, report, selection_data)
                watchers.log(training.record)
        else:
            # With Lightning, and so with much of torch: half of a worker's start, which an estimator does without.
            from .lightning_module import fit

            with _watchers(job, context, data) as watchers:
                training = fit(method, protocol, *splits, job.seed, report, selection_data, held, watchers)
    clock.seconds["fit"] += checkpointer.before
    with clock.phase("predict"):
        wanted = Evaluation("diagnostics")
        tested = prediction_table(method, {"test": data.test}, diagnostics=wanted in lacking)
        beside = {wanted.name: kept(tested)} if wanted in lacking else {}
        validated = prediction_table(method, {"valid": data.valid})
        table = to_parquet(pa.concat_tables([validated, without_diagnostics(tested)]))
    seen_by_rule = record_for_rule(protocol.selection, training.record, selection_data.companions)[
        training.selected_epoch
    ]
    record = {
        "selection": protocol.selection,
        "selected_epoch": training.selected_epoch,
        "selected_by": {"metric": seen_by_rule.metric, "loss": seen_by_rule.loss},
        "companions": [companion.id for companion in companions(job)],
        "metric": selection_metric(data.target.kind, protocol.name),
        "parameters": sum(item.numel() for item in method.parameters() if item.requires_grad),
        "test_domains": sorted(set(data.test.domain.astype(str).tolist())),
        "epochs": [asdict(item) for item in training.record],
        **(
            {"bases": bases, "trained_share": trained_share(method)}
            if (bases := dict(method.bases()))
            else {}
        ),
    }
    if protocol.text_encoder and not method.reads_media:
        from ..features.token_encoders import model_digest  # with encoders

        record["text_encoder"] = {protocol.text_encoder: model_digest(protocol)}
    measured: dict[str, float] = {}
    if context.measure and (method.reads_media or not data.media):
        from .inference_cost import inference_cost  # where it was asked for

        measured = inference_cost(method, data.test.batch)
    claim.check()
    folder.finish(
        {
            "predictions.parquet": table,
            "fit.json": (json.dumps(record, indent=1) + "\n").encode(),
            WEIGHTS: save_weights(method, job.id),
            INPUTS: save_inputs(inputs_of(job.task, data, spec)),
        },
        environment_of(job, context, device, clock, checkpointer, energy) | measured,
    )
    return TrainedNetwork(method, data), beside


def _watchers(job: Job, context: Context, data: TaskData) -> AbstractContextManager[Watchers]:
    """Who looks on while a job is trained: the loggers that were asked for, and the callbacks of plug-ins."""
    if not context.loggers and not callbacks(context.plugins):
        return nullcontext(Watchers(encoder_gradients=context.contribution))
    from .loggers import watching

    return watching(job, context, data.target.kind)


def _evaluate(
    job: Job,
    context: Context,
    folder: JobFolder,
    trained: TrainedNetwork,
    lacking: Sequence[Evaluation],
    claim: Claim,
    both: dict[str, pa.Table],
) -> None:
    """Tests a network under the evaluations that its folder lacks, and writes the outputs there.

    Args:
        job, context, folder, claim: what is run, and where.
        trained: the network.
        lacking: the evaluations.
        both: the outputs of some of them that are there already, by their names; those that a pass gives beside others are added.

    Raises:
        LostClaimError: another process took the job over in the meantime.
    """
    method, data = trained.method, trained.data
    for evaluation in lacking:
        if evaluation.kind == "corruption":
            corruption = load_corruption(evaluation, context.plugins)
            conditions = _conditions(corruption, job, context, data)
            beside = evaluation.with_diagnostics
            table = prediction_table(method, {"test": data.test}, conditions, diagnostics=beside in lacking)
            if beside in lacking:
                both[beside.name], table = kept(table), without_diagnostics(table)
            table = table.replace_schema_metadata({FAMILY: getattr(corruption, "family", "")})
        elif evaluation.kind == "diagnostics":
            table = both.pop(evaluation.name, None)  # of the pass that its corruption took
            if table is None:
                corruption = evaluation.subject and load_corruption(evaluation, context.plugins)
                under = partial(_conditions, corruption, job, context, data) if corruption else None
                table = diagnostics_table(method, data.test, under)
        elif evaluation.kind == "imputation":
            from .imputation_errors import imputation_table  # where it was asked for

            table = imputation_table(method, data.test)
        elif evaluation.kind == "probes":
            from .linear_probes import probe_table  # where it was asked for

            table = probe_table(method, data.train, data.valid, data.test)
        elif evaluation.kind == "masks":
            table = prediction_table(method, {"test": data.test}, mask_conditions(evaluation, context))
        elif evaluation.kind == "features":
            table = feature_table(method, {"train": data.train, "test": data.test})
        elif evaluation.kind == "semantic":
            assert data.class_holdout is not None  # the protocol of the job holds classes out
            table = feature_table(method, {f"semantic:{evaluation.subject}": data.class_holdout})
        else:
            splits = ood_splits(job, context, data, evaluation)
            splits = {name: split.as_read_by(type(method)) for name, split in splits.items()}
            table = feature_table(method, splits)
        claim.check()
        folder.add_evaluation(evaluation.name, to_parquet(table))


def _conditions(corruption: Any, job: Job, context: Context, data: TaskData) -> list[Condition]:
    """The conditions of a corruption for the test split, whose features it changes or whose raw media it breaks."""
    if not breaks_media(corruption):
        return corruption_conditions(corruption, data.test.batch, data.media, data.sound_rates)
    from ..features.finetune import conditions_on_batches  # with encoders and what reads media
    from ..features.reencode import conditions_on_media

    target = Task.parse(job.task).target
    located = locate(dataset_of(target), context.data_root, context.data, context.plugins)
    live = conditions_on_batches(corruption, located, data)
    return [*live, *conditions_on_media(corruption, located, target, data, device_of(context))]


def _identity(job: Job, context: Context, device: torch.device) -> dict[str, str]:
    """What must be unchanged for an interrupted training to be continued from its checkpoint."""
    plugins = [hashlib.sha256(file.read_bytes()).hexdigest() for file in context.plugins]
    known = versions()
    return {
        "job": job.id,
        "code": known["code"],
        "torch": known["versions"]["torch"],
        "device": device.type,
        "threads": str(context.threads),
        "plugins": " ".join(plugins),
    }


@dataclass
class Progress:
    """Writes the progress of a training to a file, about once a second at most and after every epoch.

    Attributes:
        file: ``progress.json`` of the job.
        epochs: the number of epochs of the training.
        claim: this process's claim to the job, which is checked each time.
        energy: counters that are read each time.
        started: when the training began, in seconds since 1970.
        last: when the file was written last.
        values: the training loss and the validation metric of the last epoch.
    """

    file: Path
    epochs: int
    claim: Claim | None = None
    energy: Energy | None = None
    started: float = field(default_factory=time.time)
    last: float = 0.0
    values: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self(0, 0.0, None)

    def __call__(self, epoch: int, share: float, ended: Epoch | None) -> None:
        """Writes the progress, unless it was written less than a second ago.

        Args:
            epoch: the number of the epoch, from 0.
            share: the share of the epoch that is done, 0 to 1.
            ended: the record of the epoch at its end; None before.

        Raises:
            LostClaimError: another process took the job over in the meantime.
        """
        now = time.time()
        if ended is None and now - self.last < 1.0:
            return
        self.last = now
        if self.claim:
            self.claim.check()
        if self.energy:
            self.energy.sample()
        if ended is not None:
            losses = {"loss": sum(ended.train.values())} if ended.train else {}  # an estimator has none
            self.values |= {**losses, "metric": ended.metric}
        done = (epoch + share) / self.epochs
        note = {
            **self.values,
            "epoch": epoch + 1,
            "epochs": self.epochs,
            "share": done,
            "seconds_left": (now - self.started) * (1 - done) / done if done else None,
            "started": self.started,
            "updated": now,
            "host": platform.node(),
            "pid": os.getpid(),
            "origin": origin(),
        }
        # Whole or not at all for who looks, but not flushed to the disk: it tells nothing after a loss of
        # power, and waiting for the disk would slow the training.
        with suppress(OSError):  # a full disk may be free again when the results are there
            write_atomic(self.file, (json.dumps(note, indent=1) + "\n").encode(), durable=False)
