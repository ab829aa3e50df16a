"""Who looks on while a network is trained: Lightning's loggers, by name, and the callbacks of plug-ins.

They are told what the harness records of every epoch and change nothing: no job's id depends on them, and what they
draw from the global random generators is drawn without consequence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...datasets.libraries import import_guard
from ...datasets.target import Kind
from ..core.errors import UsageError, error_line
from ..core.job import Job
from ..core.registry import callbacks
from ..core.selection import selection_metric
from .checkpoint import undisturbed
from .watchers import Watchers

if TYPE_CHECKING:
    from lightning.pytorch import Callback
    from lightning.pytorch.loggers import Logger

    from .context import Context


@contextmanager
def watching(job: Job, context: Context, kind: Kind) -> Iterator[Watchers]:
    """The watchers of a job; its loggers are closed at the end.

    Args:
        job: what is trained; its fields are the hyper-parameters that loggers keep.
        context: which loggers and plug-ins were asked for.
        kind: of the target: regression, classification or multi-label.

    Raises:
        UsageError: a callback of a plug-in is none.
        LibraryError: the library of a logger cannot be imported.
    """
    found = [_callback(entry.name, entry.load()) for entry in callbacks(context.plugins).values()]
    metric = selection_metric(kind, job.protocol["name"])
    if not context.loggers:
        yield Watchers((), found, metric, context.contribution)
        return
    from ..planning.loggers import FOLDER  # most jobs have none

    with undisturbed():
        loggers = [_MAKERS[name](job, context.store / FOLDER / name) for name in context.loggers]
        for logger in loggers:
            logger.log_hyperparams(_hyper_parameters(job))
    how = "failed"
    try:
        yield Watchers(loggers, found, metric, context.contribution)
        how = "success"
    finally:
        with undisturbed():
            for name, logger in zip(context.loggers, loggers, strict=True):
                logger.finalize(how)
                if name == "wandb":  # else the run goes on as long as the worker lives
                    cast(Any, logger).experiment.finish(0 if how == "success" else 1)


def check_callbacks(plugins: tuple[Path, ...]) -> None:
    """Checks that the callbacks of plug-ins can be made, before a job is run.

    Args:
        plugins: files that may bring some.

    Raises:
        UsageError: one cannot be imported or made, or is no callback.
    """
    for entry in callbacks(plugins).values():
        try:
            loaded = entry.load()
            one = loaded() if isinstance(loaded, type) else loaded
        except UsageError:
            raise
        except Exception as error:  # whatever the code of a plug-in raises
            raise UsageError(f"callback {entry.name}: cannot be made: {error_line(error)}") from None
        _checked(entry.name, one)


def _callback(name: str, loaded: Any) -> Callback:
    return _checked(name, loaded() if isinstance(loaded, type) else loaded)


def _checked(name: str, one: Any) -> Callback:
    from lightning.pytorch import Callback

    if not isinstance(one, Callback):
        raise UsageError(f"callback {name}: {one!r} is no lightning.pytorch.Callback")
    return one


def _hyper_parameters(job: Job) -> dict[str, Any]:
    """What is known of a job before it is trained, without levels, as all loggers take it."""
    return {
        "job": job.id,
        "task": job.task,
        "method": job.label or job.method,
        "modalities": job.modality_set,
        "seed": job.seed,
        "synthetic": job.synthetic,
        **{f"params/{name}": _plain(value) for name, value in job.params.items()},
        **{f"protocol/{name}": _plain(value) for name, value in job.protocol.items()},
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else str(value)


def _csv(job: Job, folder: Path) -> Logger:
    from lightning.pytorch.loggers import CSVLogger

    return CSVLogger(folder, name=job.id, version="")


def _tensorboard(job: Job, folder: Path) -> Logger:
    with import_guard("tensorboard", "the logger tensorboard"):
        from lightning.pytorch.loggers import TensorBoardLogger

        return TensorBoardLogger(folder, name=job.id, version="", default_hp_metric=False)


def _wandb(job: Job, folder: Path) -> Logger:
    """Of one project, ``WANDB_PROJECT`` or mmbench; ``WANDB_MODE=offline`` writes into the store alone."""
    with import_guard("wandb", "the logger wandb"):
        from lightning.pytorch.loggers import WandbLogger

        os.environ.setdefault("WANDB_SILENT", "true")
        folder.mkdir(parents=True, exist_ok=True)
        project = os.environ.get("WANDB_PROJECT", "mmbench")
        return WandbLogger(project=project, name=job.id, id=job.id, save_dir=folder)


def _mlflow(job: Job, folder: Path) -> Logger:
    """On the server that ``MLFLOW_TRACKING_URI`` names, else in files of the store."""
    with import_guard("mlflow", "the logger mlflow"):
        # MLflow would rather have a database, into which several workers cannot write at once
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        from lightning.pytorch.loggers import MLFlowLogger

        place = os.environ.get("MLFLOW_TRACKING_URI") or folder.absolute().as_uri()
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", "mmbench")
        return MLFlowLogger(experiment_name=experiment, run_name=job.id, tracking_uri=place)


_MAKERS: Mapping[str, Callable[[Job, Path], Logger]] = {
    "csv": _csv,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
}
