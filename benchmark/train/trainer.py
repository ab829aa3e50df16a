"""The trainer of Lightning that drives a module: quiet, repeatable, and ended by Ctrl-C as anything else."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..core.protocol import Protocol
from ..core.selection import Epoch
from .checkpoint import undisturbed
from .lightning_import import LightningEnvironment, LightningModule, Trainer
from .minibatches import TrainingBatches

if TYPE_CHECKING:
    from lightning.pytorch import Callback
    from lightning.pytorch.loggers import Logger


@dataclass(frozen=True)
class Watchers:
    """The loggers and callbacks of a training.

    Attributes:
        loggers: each is given the values of ``epoch_values`` after every epoch.
        callbacks: Lightning calls them, and ``on_validation_end`` is called when the record of an epoch is complete.
        metric: the name of the metric that selects epochs.
    """

    loggers: Sequence[Logger] = ()
    callbacks: Sequence[Callback] = ()
    metric: str = "metric"

    def log(self, epochs: Sequence[Epoch]) -> None:
        """Gives epochs to the loggers, with the number of the epoch as the step."""
        if not self.loggers:
            return
        with undisturbed():
            for logger in self.loggers:
                for epoch in epochs:
                    logger.log_metrics(epoch_values(epoch, self.metric), step=epoch.epoch)
                logger.save()


#: Nobody looks on.
NOBODY = Watchers()


def epoch_values(epoch: Epoch, metric: str) -> dict[str, float]:
    """What loggers are given of an epoch.

    Args:
        epoch: its record.
        metric: the name of the metric that selects epochs.

    Returns:
        ``train/loss``, the sum of the terms; ``train/TERM``; ``valid/loss`` and ``valid/METRIC``, on the sources; the same with
        ``target`` where the rule of selection reads it; and ``diagnostics/NAME``, what the method tells of itself.
    """
    values = {"train/loss": sum(epoch.train.values())} if epoch.train else {}
    values |= {f"train/{name}": value for name, value in epoch.train.items()}
    values |= {"valid/loss": epoch.loss, f"valid/{metric}": epoch.metric}
    if epoch.target_loss is not None and epoch.target_metric is not None:
        values |= {"target/loss": epoch.target_loss, f"target/{metric}": epoch.target_metric}
    return values | {f"diagnostics/{name}": value for name, value in (epoch.diagnostics or {}).items()}


def run_trainer(
    module: LightningModule,
    batches: TrainingBatches,
    protocol: Protocol,
    device: torch.device,
    watchers: Watchers = NOBODY,
) -> None:
    """Trains a module, without files, progress bars or loggers of the trainer's own.

    Args:
        module: what is trained; the trainer leaves it on the CPU.
        batches: the minibatches of an epoch.
        protocol: says for how many epochs, and how gradients are clipped and accumulated.
        device: where it is trained.
        watchers: loggers and callbacks that were asked for.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        RuntimeError: the module ended the program.
    """
    cuda = device.type == "cuda"
    with _quiet():
        trainer = Trainer(
            accelerator="gpu" if cuda else "cpu",
            devices=[device.index or 0] if cuda else 1,
            # The same job gives the same predictions; on a CPU with one thread it does so anyway.
            deterministic=cuda,
            # One process a job, whatever scheduler it runs under.
            plugins=[LightningEnvironment()],
            max_epochs=protocol.epochs,
            gradient_clip_val=protocol.clip_norm or None,
            accumulate_grad_batches=protocol.accumulate,
            logger=list(watchers.loggers) or False,
            callbacks=list(watchers.callbacks) or None,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        with _interruptible():
            trainer.fit(module, train_dataloaders=batches)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raises KeyboardInterrupt on Ctrl-C, where Lightning would end the program, and restores the signal handler."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise RuntimeError(f"the method ended the program: SystemExit {error}") from None
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides tips and warnings of Lightning, such as on loader processes, that do not apply to data in memory."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    finally:
        logger.setLevel(level)
