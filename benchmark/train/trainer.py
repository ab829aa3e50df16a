"""The trainer of Lightning that drives a module: quiet, repeatable, and ended by Ctrl-C as anything else."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..core.protocol import Protocol
from .lightning_import import LightningEnvironment, LightningModule, Trainer
from .minibatches import TrainingBatches
from .watchers import NOBODY, Watchers


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
            deterministic=cuda or None,  # False would import the compiler, to tell it so
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
