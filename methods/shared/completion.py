"""Completes series: draws what was not observed of a modality from what was, and from what the other modalities say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ...datasets.imputation import fill
from ...datasets.imputation_rules import FillRule
from .context_gate import ContextGate, masked_means, take_away
from .diffusion import DiffusionSizes, Partial, SeriesDiffusion, hide
from .placed import Fill, Placed, completable, put
from .placed import place as place_series
from .series_code import SeriesCode
from .timed_series import Series

Context = Literal["gate", "uniform", "none"]
#: Entries, of all draws, that go through a denoiser at once: on a CPU as many as its cache bears, on a GPU as its memory.
_AT_ONCE = {"cpu": 1 << 16}
_AT_ONCE_ELSEWHERE = 1 << 20


class Completion(nn.Module):
    """A conditional diffusion for each modality whose steps are features.

    The others of a modality, each the mean of what was observed of it, make its context (``ContextGate``). What a
    sample lacks wholly is drawn at the steps of a usual training sample: their mean number, evenly spaced.
    """

    unit: Tensor
    length: Tensor
    rule: FillRule | None
    #: Checkpoints hold its tensors alone; what it remembers is made anew.
    only_tensors_change = True
    memory: object = None

    def __init__(
        self,
        spec: Spec,
        sizes: DiffusionSizes,
        context: Context,
        targets: Sequence[str] = (),
        rule: FillRule | None = None,
    ) -> None:
        """Builds the networks.

        Args:
            spec: of the task.
            sizes: of the networks.
            context: whether and how the other modalities are read.
            targets: the modalities that are completed; all by default.
            rule: a rule of ``datasets.imputation`` that fills in the place of a diffusion; what a sample lacks wholly is then
                the mean of the training data.

        Raises:
            ValueError: a target is no modality with features.
        """
        super().__init__()
        self.names = completable(spec)
        for name in targets:
            if name not in self.names:
                raise ValueError(f"targets names {name!r}: expected any of {', '.join(self.names) or 'none'}")
        self.targets = tuple(targets) or self.names
        self.sizes, self.rule = sizes, rule
        context = "none" if rule else context
        self.auxiliaries = {
            name: tuple(one for one in self.names if one != name) if context != "none" else ()
            for name in self.targets
        }
        codes = [SeriesCode(spec.modalities[name]) for name in self.targets]
        self.codes = nn.ModuleList(codes)
        self.diffusions = nn.ModuleList(
            nn.Module() if rule else SeriesDiffusion(code.width, sizes, bool(self.auxiliaries[name]))
            for name, code in zip(self.targets, codes, strict=True)
        )
        mode = "uniform" if context == "uniform" else "gate"
        self.gates = nn.ModuleList(
            ContextGate(
                [spec.modalities[one] for one in others], sizes.context_width, sizes.context_hidden, mode
            )
            if (others := self.auxiliaries[name])
            else nn.Module()
            for name in self.targets
        )
        self.register_buffer("unit", torch.ones(len(self.targets)))
        self.register_buffer("length", torch.zeros(len(self.targets), dtype=torch.int64))

    @torch.no_grad()
    def measure(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """Takes from training data what is fixed before training: codes, the time of a step, the usual number of steps.

        Args:
            batches: gives all training samples, undamaged, each time that it is called.

        Raises:
            ValueError: no sample with a modality has any of the others, so that no context can be learned.
        """
        for place, name in enumerate(self.targets):
            steps = samples = gaps = with_others = 0
            time = 0.0
            for batch in batches():
                series = Series.of(batch, name)
                there = series.observed.flatten(1).any(dim=1)
                valid = series.valid[there].sum(dim=1)
                steps += int(valid.sum())
                samples += len(valid)
                gaps += int((valid - 1).clamp(min=0).sum())
                time += float(series.times[there].amax(dim=1).double().sum()) if len(valid) else 0.0
                with_others += int((there & ~self._others(batch, name)[1].all(dim=1)).sum())
            self.length[place] = round(steps / samples) if samples else 0
            self.unit[place] = time / gaps if gaps and time > 0 else 1.0
            if samples and self.auxiliaries[name] and not with_others:
                others = ", ".join(self.auxiliaries[name])
                raise ValueError(
                    f"no training sample that has {name} has any of {others}: no context of {name} can be learned; "
                    "use csdi, which reads none, or leave these modalities out"
                )
            code = self.codes[place]
            assert isinstance(code, SeriesCode)
            code.measure(Series.of(batch, name) for batch in batches())

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``diffusion/MODALITY`` -> the error of its denoiser, a scalar, on observed entries that are hidden from it."""
        found = {}
        for place, name in enumerate(self.targets):
            placed = self._placed(batch, place)
            values, known = self._code(place).encode(placed.series.values, placed.series.observed)
            given = hide(known)
            series = Partial(values, given, known & ~given, placed.series.times)
            if self.auxiliaries[name]:
                means, missing = self._others(batch, name)
                context, _ = self._gate(place)(means, take_away(missing))
                series = replace(series, context=context)
            found[f"diffusion/{name}"] = self._diffusion(place).loss(series)
        return found

    def complete(self, batch: Batch) -> Batch:
        """The samples with all targets there, every entry of their steps filled with the median of the draws.

        Observed entries stay as they are. Targets no longer say which entries were observed. A modality of which the
        training data had nothing is left alone.
        """
        return put(batch, self.fills(batch))

    def fills(self, batch: Batch) -> dict[str, Fill]:
        """Target -> what its unobserved entries are filled with, without gradients; those alone that want something."""
        found = {}
        for place, name in enumerate(self.targets):
            placed = self._placed(batch, place)
            wants = bool(placed.lacking.any()) or name in batch.observed
            if wants and int(self.length[place]):
                values = self._drawn(batch, name, placed, median)
                valid = placed.series.valid.gather(1, placed.back)
                times = (placed.series.times * self.unit[place]).gather(1, placed.back)
                found[name] = Fill(values, valid, times, placed.lacking)
        return found

    def draws(self, batch: Batch, modality: str) -> Tensor:
        """What may stand at entries that were not observed, without gradients.

        Args:
            batch: the samples.
            modality: a target.

        Returns:
            [draw, batch, time, feature]; observed entries as they are, 0 at steps that are not valid. A batch in which a
            sample lacks the modality may have more steps than before.
        """
        return self._drawn(
            batch, modality, self._placed(batch, self.targets.index(modality)), lambda drawn: drawn
        )

    def weights(self, batch: Batch) -> dict[tuple[str, str], Tensor]:
        """(target, auxiliary) -> [batch], the weight of the auxiliary in the target's context."""
        found = {}
        for place, name in enumerate(self.targets):
            if others := self.auxiliaries[name]:
                _, weights = self._gate(place)(*self._others(batch, name))
                found |= {(name, one): weights[:, column] for column, one in enumerate(others)}
        return found

    def _drawn(self, batch: Batch, name: str, placed: Placed, summary: Callable[[Tensor], Tensor]) -> Tensor:
        """A summary of the draws, [..., batch, time, feature], at the steps of the batch."""
        place, series = self.targets.index(name), placed.series
        training = self.training
        self.eval()  # no dropout, whatever the method that it is a part of does
        with torch.inference_mode(False), torch.no_grad():
            nothing = torch.zeros_like(series.values, dtype=torch.float32)
            draws = 1 if self.rule else self.sizes.draws
            found = summary(nothing.expand(draws, *nothing.shape)).clone()
            found[...] = series.values.float().where(series.observed, 0)
            alone = replace(batch, context=None, clean=None)
            entries = self.sizes.draws * series.values.shape[1] * self._code(place).width
            device = series.values.device.type
            at_once = max(_AT_ONCE.get(device, _AT_ONCE_ELSEWHERE) // max(entries, 1), 1)
            rows = _wanting(series).nonzero().squeeze(1)
            for part in rows.split(at_once) if int(self.length[place]) else ():
                found[..., part, :, :] = summary(self._draw(alone.take(part), name, _take(series, part)))
            back = placed.back.unsqueeze(-1).expand(series.values.shape)
            found = found.gather(-2, back.expand(found.shape))
        self.train(training)
        return found

    def _draw(self, batch: Batch, name: str, series: Series) -> Tensor:
        """[draw, batch, time, feature], of samples that want something."""
        place, code = self.targets.index(name), self._code(self.targets.index(name))
        if self.rule is not None:
            filled = fill(series.values.float(), series.observed, series.times, code.mean, self.rule)
            return filled.where(series.valid.unsqueeze(-1), 0).unsqueeze(0)
        values, known = code.encode(series.values, series.observed)
        wanted = series.valid.unsqueeze(-1) & ~known
        partial = Partial(values, known, wanted, series.times)
        if self.auxiliaries[name]:
            partial = replace(partial, context=self._gate(place)(*self._others(batch, name))[0])
        stream = batch.stream(0, f"completion/{name}")
        drawn = self._diffusion(place).sample(
            partial, lambda tag: stream.noise(tag, *values.shape[1:], self.sizes.draws)
        )
        drawn = code.decode(drawn)
        valid = series.valid.unsqueeze(-1)
        return torch.where(series.observed, series.values.float(), drawn.where(valid, 0))

    def _placed(self, batch: Batch, place: int) -> Placed:
        return place_series(batch, self.targets[place], int(self.length[place]), float(self.unit[place]))

    def _others(self, batch: Batch, name: str) -> tuple[list[Tensor], Tensor]:
        """The mean of each auxiliary, [batch, feature], and which are missing, [batch, auxiliary]."""
        pooled = [
            masked_means(batch.features[one], batch.observed_entries(one)) for one in self.auxiliaries[name]
        ]
        nothing = torch.zeros(len(batch), 0, dtype=torch.bool, device=batch.target.device)
        return [means for means, _ in pooled], torch.stack(
            [gone for _, gone in pooled], 1
        ) if pooled else nothing

    def _code(self, place: int) -> SeriesCode:
        code = self.codes[place]
        assert isinstance(code, SeriesCode)
        return code

    def _diffusion(self, place: int) -> SeriesDiffusion:
        diffusion = self.diffusions[place]
        assert isinstance(diffusion, SeriesDiffusion)
        return diffusion

    def _gate(self, place: int) -> ContextGate:
        gate = self.gates[place]
        assert isinstance(gate, ContextGate)
        return gate


def median(drawn: Tensor) -> Tensor:
    """[draw, ...] -> [...]: the middle draw, or the mean of the two in the middle."""
    ordered = drawn.sort(dim=0).values
    count = len(ordered)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2


def _wanting(series: Series) -> Tensor:
    return (series.valid.unsqueeze(-1) & ~series.observed).flatten(1).any(dim=1)


def _take(series: Series, rows: Tensor) -> Series:
    return Series(series.values[rows], series.observed[rows], series.valid[rows], series.times[rows])
