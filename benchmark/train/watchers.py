"""What is told to those who look on while a network is trained: loggers and callbacks. Most jobs have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.selection import Epoch
from .checkpoint import undisturbed

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
        encoder_gradients: whether the gradient norms of encoders are kept among the diagnostics of every epoch.
    """

    loggers: Sequence[Logger] = ()
    callbacks: Sequence[Callback] = ()
    metric: str = "metric"
    encoder_gradients: bool = False

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
