"""Trains any method: the LightningModule that drives it.

The optimiser, the schedule, the number of epochs and the rule that selects an epoch come from the protocol. A method
defines only its loss and, where it needs them, stages and hooks.
"""

from __future__ import annotations

import copy
import math
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from ...corruptions.training import inject, inject_by_sample
from ...datasets.batch import Batch
from ...datasets.imputation import impute, imputed_once
from ...datasets.rates import has_rates
from ...methods.method import Method
from ..core.protocol import Protocol
from ..core.selection import Direction, Epoch, select_epoch
from .checkpoint import Checkpointer, restore_random
from .lightning_import import LightningModule, OptimizerLRSchedulerConfig
from .minibatches import TrainingBatches, minibatches, training_batches
from .optimizer import build_optimizer, check_thawed, left_out, rate_share, set_rates
from .predict import EVALUATION_BATCH
from .seeds import generator
from .trainer import run_trainer
from .validate import SOURCES_ALONE, Report, SelectionData, tested_weights, validate
from .watchers import NOBODY, Watchers
from .weights import kept_state, load_kept

if TYPE_CHECKING:
    from .encoder_gradients import EncoderGradients


class Training(LightningModule):
    """Trains a method, validates it on the sources after every epoch, and keeps a copy of the selected weights.

    Args:
        method: what is trained.
        protocol: the rules of training and selection.
        valid: the sources' validation split.
        seed: the seed of the order of samples and of damage in training.
        report: called with the progress of the training.
        selection_data: what the rule of selection reads beside source validation.

    Attributes:
        record: one entry for each epoch so far.
        selected: the state of the method after the selected epoch.
        stage: the number of the method's stage, from 0; -1 before the first.
    """

    def __init__(
        self,
        method: Method,
        protocol: Protocol,
        valid: Batch,
        seed: int,
        report: Report,
        selection_data: SelectionData,
    ) -> None:
        super().__init__()
        self.selection_data = selection_data
        self.seed = seed
        self.method = method
        self.protocol = protocol
        self.valid = valid
        self.report = report
        self.record: list[Epoch] = []
        self.selected: dict[str, Tensor] = {}
        self.direction: Direction = "lower" if method.spec.kind == "regression" else "higher"
        self.stage = -1
        self._stage_starts = _stage_starts(method.stages, protocol.epochs)
        self.checkpointer: Checkpointer | None = None
        self.watchers = NOBODY
        self.gradients: EncoderGradients | None = None
        self.ignores_end = signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        self.data: TrainingBatches
        self._random: Mapping[str, Any] | None = None
        self._terms: dict[str, Tensor] = {}
        self._steps = 0
        self._batches = 0  # whose gradients wait for the optimiser
        self._batch: Batch
        self._frozen: set[torch.nn.Parameter] = set()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimiser and the schedule of the protocol."""
        rules = self.protocol
        optimizer, self._frozen = build_optimizer(self.method, rules), left_out(self.method)
        steps = int(self.trainer.estimated_stepping_batches) // rules.epochs

        def share(done: int) -> float:
            metrics = [epoch.metric for epoch in self.record] if rules.schedule == "plateau" else []
            return rate_share(rules, done, steps, metrics, self.direction)

        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, share), "interval": "step"},
        }

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Averages the gradients over the batches of the step, unless the protocol sums them. Clears the state of the
        optimiser where the protocol restarts it at every step."""
        averaged = self._batches > 1 and self.protocol.accumulate_by == "mean"
        for group in optimizer.param_groups if averaged else ():
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad /= self._batches
        self._batches = 0
        if self.gradients:
            self.gradients.add()
        if self.protocol.restart_optimizer:
            optimizer.state.clear()

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips the gradients of the part that the protocol names.

        Args:
            optimizer: whose parameters are clipped.
            gradient_clip_val: the largest norm; None or 0 for none.
            gradient_clip_algorithm: as Lightning's.
        """
        if self.protocol.clip_part == "all" or not gradient_clip_val:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        named = self.method.named_parameters()
        backbone = [p for name, p in named if name.startswith(("encoders.", "head."))]
        torch.nn.utils.clip_grad_norm_(backbone, gradient_clip_val)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """The tensors lie on the device already.

        Args:
            batch: returned as it is.
            device: where the tensors are.
            dataloader_idx: not used.

        Returns:
            The batch.
        """
        return batch

    def on_train_start(self) -> None:
        """Restores the checkpoint of an interrupted training of the same job, where there is one."""
        if self.ignores_end:  # the trainer has just begun to listen
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.checkpointer:
            self._random = self.checkpointer.restore(self, self.data)
        self.watchers.log(self.record)  # of an interrupted training, so that each log is whole

    def on_train_epoch_start(self) -> None:
        """Writes a checkpoint, and tells the method which stage and which epoch begins."""
        if self._random:
            restore_random(self._random)
            self._random = None
        elif self.checkpointer and self.current_epoch:
            self.checkpointer.save(self, self.data)
        stage = sum(self.current_epoch >= start for start in self._stage_starts) - 1
        while self.stage < stage:
            self.stage += 1
            self.method.begin_stage(self.stage)
        self.method.before_epoch(self._in_order, self.current_epoch / self.protocol.epochs)
        check_thawed(self.method, self._frozen)
        self._terms, self._steps = {}, 0

    def _in_order(self) -> Iterator[Batch]:
        """The undamaged training samples from the first to the last, in batches."""
        for part in minibatches(self.data.batch, EVALUATION_BATCH):
            yield impute(part, self.method.spec)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Prepares the batch. The loss is computed in ``backward``, when the gradients were cleared; the zero that is
        returned is not used.

        Args:
            batch: [samples, ...], clean.
            batch_idx: its place in the epoch.

        Returns:
            A float32 zero.
        """
        self._batch = impute(self._corrupt(batch, batch_idx), self.method.spec)
        return torch.zeros((), device=batch.target.device)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Lets the method compute the gradients, and adds its loss terms to the sums of the epoch.

        Args:
            loss: the zero of ``training_step``.
            args, kwargs: not used.
        """
        before = self._take_gradients()
        mixed = self.protocol.precision == "bfloat16"
        # no cache: a method may move its weights between two passes, and the second would read those of the first
        device = self._batch.target.device.type
        steps = self.method.optimizer_steps(self._batch)
        terms: dict[str, Tensor] = {}
        for place, step in enumerate(steps):
            if place:
                self._step_between()
            with torch.autocast(device, torch.bfloat16, enabled=mixed, cache_enabled=False):
                terms |= step()
        for parameter, gradient in before.items():
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        self._clip_values()
        self._batches += 1
        for name, value in terms.items():
            value = value.detach()
            self._terms[name] = value if self._steps == 0 else self._terms.get(name, 0) + value
        self._steps += 1
        self.report(self.current_epoch, self._steps / self.trainer.num_training_batches, None)

    def _step_between(self) -> None:
        """Takes a step of the optimiser for a batch of which another follows; Lightning takes the last one."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        if self.protocol.accumulate > 1:
            raise ValueError("a method that takes several steps for a batch does not go with --accumulate")
        self._clip_values()
        if self.gradients:
            self.gradients.add()
        if self.protocol.clip_norm:
            self.clip_gradients(optimizer, self.protocol.clip_norm, "norm")
        if self.protocol.restart_optimizer:
            optimizer.state.clear()
        optimizer.step()
        optimizer.zero_grad()
        self.method.after_step()

    def _clip_values(self) -> None:
        """Clips every number of the gradients; of several batches for a step, those of the sum so far."""
        if self.protocol.clip_value:
            torch.nn.utils.clip_grad_value_(self.method.parameters(), self.protocol.clip_value)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Calls the method's ``after_step`` where the optimiser has taken a step.

        Args:
            outputs, batch, batch_idx: not used.
        """
        if self._batches == 0:
            self.method.after_step()

    def _take_gradients(self) -> dict[torch.nn.Parameter, Tensor]:
        """Removes the gradients of the earlier batches of the same step and returns them, as methods are promised empty
        gradients."""
        found = {p: p.grad for p in self.method.parameters() if p.grad is not None} if self._batches else {}
        for parameter in found:
            parameter.grad = None
        return found

    def _corrupt(self, batch: Batch, batch_idx: int) -> Batch:
        """The batch with the missing modalities and the noise of the protocol, drawn anew in every pass."""
        missing, noise = self.protocol.train_with_missing, self.protocol.train_with_noise
        if missing == noise == "off":
            return batch
        rates = self.method.spec.sound_rates
        if batch.context is not None or batch.conversation is not None or has_rates(missing):
            number = self.data.pass_of(self.current_epoch, batch_idx)
            name = f"training damage/{number}"
            damaged = inject_by_sample(batch, missing, noise, self.seed, name, rates)
        else:
            drawn = generator(self.seed, "training damage", self.current_epoch, batch_idx)
            damaged = inject(batch, missing, noise, drawn, rates)
        return replace(damaged, clean=batch) if self.method.uses_clean else damaged

    def on_train_epoch_end(self) -> None:
        """Validates on the sources, and copies the weights where the rule selects this epoch.

        Raises:
            FloatingPointError: the loss or a prediction is not finite.
        """
        train = {name: float(value) / self._steps for name, value in self._terms.items()}
        total = sum(train.values())
        if not math.isfinite(total):
            terms = ", ".join(f"{name} {value:g}" for name, value in train.items())
            raise FloatingPointError(f"the loss is not finite in epoch {self.current_epoch} ({terms})")
        self.method.after_epoch(lambda: validate(self.method, self.valid)[0])
        told = {name: float(value) for name, value in self.method.epoch_diagnostics().items()}
        told |= self.gradients.of_epoch() if self.gradients else {}
        told = {name: value for name, value in told.items() if math.isfinite(value)}
        with tested_weights(self.method):
            loss, metric = validate(self.method, self.valid)
            target = self.selection_data.target
            of_target = (None, None) if target is None else validate(self.method, target)
            epoch = Epoch(self.current_epoch, self.stage, train, loss, metric, *of_target, diagnostics=told)
            self.record.append(epoch)
            if self._best_index() == len(self.record) - 1:
                self.selected = copy.deepcopy(kept_state(self.method))
        self.method.train()
        self.report(self.current_epoch, 1.0, epoch)
        self.watchers.log([epoch])
        for callback in self.watchers.callbacks:  # Lightning's own turn comes before the record is complete
            callback.on_validation_end(self.trainer, self)
        if self.protocol.schedule == "plateau":  # which follows the validation that has just been made
            set_rates(self.trainer.lr_scheduler_configs[0].scheduler)
        self._stop_early()

    def _stop_early(self) -> None:
        """Ends the training where the protocol's patience is at its end; only the last stage of a method can be."""
        patience = self.protocol.patience
        begun = sum(epoch.stage == self.stage for epoch in self.record)
        if patience and self.stage == len(self._stage_starts) - 1 and begun > patience:
            self.trainer.should_stop = len(self.record) - 1 - self._best_index() >= patience

    @property
    def selected_epoch(self) -> int:
        """The epoch whose weights are tested."""
        return self.record[self._best_index()].epoch

    def _best_index(self) -> int:
        """The index in ``record`` of the epoch that the rule selects so far."""
        rules = self.protocol
        return select_epoch(
            rules.selection, self.record, self.direction, self.selection_data.companions, rules.ties
        )


def fit(
    method: Method,
    protocol: Protocol,
    train: Batch,
    valid: Batch,
    seed: int,
    report: Report,
    selection_data: SelectionData = SOURCES_ALONE,
    checkpointer: Checkpointer | None = None,
    watchers: Watchers = NOBODY,
) -> Training:
    """Trains ``method`` and leaves it with the weights of the selected epoch.

    Args:
        method: what is trained.
        protocol: the rules.
        train: the sources' training split.
        valid: the sources' validation split.
        seed: of the order of samples and of damage in training.
        report: called with the epoch, the share of it that is done, and at its end its record.
        selection_data: what the rule of selection reads beside source validation.
        checkpointer: restores an interrupted training of the same job, and writes checkpoints of this one.
        watchers: loggers and callbacks that look on.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    if method.uses_index:
        train = replace(train, index=torch.arange(len(train), device=train.target.device))
    spec = method.spec
    valid = imputed_once(valid, spec)
    if selection_data.target is not None:
        selection_data = replace(selection_data, target=imputed_once(selection_data.target, spec))
    if protocol.train_with_missing == protocol.train_with_noise == "off":
        train = imputed_once(train, spec)
    training = Training(method, protocol, valid, seed, report, selection_data)
    training.data = training_batches(train, protocol, method.compares_domains, seed)
    training.checkpointer, training.watchers = checkpointer, watchers
    if watchers.encoder_gradients:
        from .encoder_gradients import EncoderGradients  # where it was asked for

        training.gradients = EncoderGradients(method)
    device = train.target.device
    run_trainer(training, training.data, protocol, device, watchers)
    method.to(device)  # the trainer's last act is to move it to the CPU
    load_kept(method, training.selected)
    return training


def _stage_starts(shares: tuple[float, ...], epochs: int) -> list[int]:
    """The first epoch of each stage. Every stage has an epoch where there are enough; the last always has one.

    Args:
        shares: the share of the epochs of each stage.
        epochs: the number of epochs.
    """
    starts: list[int] = []
    before = 0.0
    for place, share in enumerate(shares):
        after_previous = max(round(before * epochs), starts[-1] + 1 if starts else 0)
        starts.append(max(min(after_previous, epochs - (len(shares) - place)), 0))
        before += share
    return starts
