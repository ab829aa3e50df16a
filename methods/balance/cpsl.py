"""CP + SL: a conflict-aware penalty on gradients and statistics learning (Dai, Liang & Mai, arXiv 2605.28575).

No equation, weight or schedule of the paper was found: its abstract and a third party's summary name the parts, and
everything else is ours. The modality whose gradient is dominant has it scaled down (CP), so that it does not drown
what its encoder is to learn besides: to tell the statistics of its own input (SL).

Before an optimiser that divides a gradient by its size, as Adam does, scaling the whole gradient of an encoder changes
nothing. What is scaled here is the gradient of the task alone, which changes the mixture of the two. Scaled after the
optimiser (``cp_place=update``) the encoder is slowed instead. A constant factor for the leading encoder is at least as
good as the adaptive rule in both places: on planted data the error of SL is 0.42 with it and 0.52 with the rule (0.73 with
neither), and the accuracy after the optimiser 0.837 and 0.831 (0.787 with neither). docs/methods.md has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, plain_errors, task_errors, task_loss
from ..method import Output, fixed, searched
from ..shared.cpsl_parts import (
    ChannelGates,
    CrossModalGate,
    StatisticsHeads,
    gradients_above,
    gradients_below,
    input_statistics,
    likeness,
    moment_gap,
    norm_ratios,
    penalties,
)
from ..shared.embedded import EmbedsByEncoders
from ..shared.networks import (
    SharedNetworkParams,
    Stacked,
    as_prediction,
    embedding_width,
    encoders,
    known_modalities,
    outputs,
)


@dataclass(frozen=True)
class CPSLParams(SharedNetworkParams):
    """Weights, and a switch for every part. The parts are the paper's, by a summary; all values are ours."""

    cp: Literal["adaptive", "constant", "inverse", "none"] = fixed(
        "adaptive",
        source="controls: a constant factor for the encoder whose gradients were largest so far; the factor for "
        "the weakest one; none",
    )
    cp_place: Literal["gradient", "update"] = fixed(
        "gradient", source="ours: of the task's gradient, which protects SL; or of the optimiser's step"
    )
    strength: float = searched(2.0, low=0.5, high=4.0, digits=1, source="ours: lambda")
    kappa: float = fixed(1.2, source="ours: from which ratio of gradients on there is a conflict")
    k_min: float = fixed(0.1, source="ours: the smallest factor")
    k: float = fixed(0.1, source="ours: the factor of cp=constant")
    schedule: Literal["none", "decay"] = fixed(
        "none", source="ours; decay: lambda falls to 0 within the first half of the training"
    )
    measure: Literal["parameters", "embedding"] = fixed(
        "parameters",
        source="ours: of which the gradient's norm is taken; by the embedding another modality leads",
    )
    sl: Literal["input", "batch", "none"] = fixed(
        "input", source="what an embedding is to tell; control: moments of predictions over the batch"
    )
    stat: Literal["auto", "steps", "features"] = fixed(
        "auto",
        source="ours: two numbers for each feature; two a sample of more than 128 features or a single step",
    )
    weight_sl: float = searched(0.1, low=0.0, high=1.0, digits=2, source="ours")
    ame: bool = fixed(True, source="ablation: adaptive modality encoding, a gate for each channel")
    gcf: bool = fixed(True, source="ablation: gated cross-modal fusion")
    residual: Literal["first", "strongest", "none"] = fixed(
        "first",
        source="ours: the modality that is injected behind the fusion; strongest: by its auxiliary head",
    )
    aux: bool = fixed(True, source="ablation: a head for each modality")
    rec: bool = fixed(True, source="ablation: embeddings rebuild the mean of their input")
    div: bool = fixed(True, source="ablation: embeddings of two modalities are to be unlike")
    weight_aux: float = fixed(0.3, source="ours")
    weight_rec: float = fixed(0.1, source="ours")
    weight_div: float = fixed(0.01, source="ours")


class CPSL(EmbedsByEncoders):
    """Gated fusion whose dominant encoder has its task gradient scaled down, and whose embeddings tell input statistics."""

    Params = CPSLParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "no equation, weight, schedule or size of the paper is known: all are ours, after its abstract and a third "
            "party's summary; encoders of mmbench, not DeBERTa"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without CP": {"cp": "none"},
        "constant factor": {"cp": "constant"},
        "constant rate": {"cp": "constant", "cp_place": "update"},
        "CP after the optimiser": {"cp_place": "update"},
        "CP on the weakest": {"cp": "inverse"},
        "without SL": {"sl": "none"},
        "SL on moments of predictions": {"sl": "batch"},
        "without both": {"cp": "none", "sl": "none"},
        "fusion alone": {"cp": "none", "sl": "none", "aux": False, "rec": False, "div": False},
    }
    needs_modalities = 2  # with one there is nothing that its gradient could be compared with
    params: CPSLParams
    path: Tensor  # [modality], the length of the way that each encoder's parameters have gone
    factor: Tensor  # [modality], the mean factor of CP so far
    norms: Tensor  # [modality], the mean norm of the task's gradient so far
    unimodal_error: Tensor  # [modality], running mean of the auxiliary heads' errors
    taken: Tensor  # int64, steps of the optimiser
    measured: Tensor  # int64, batches whose gradients were measured

    def __init__(self, params: CPSLParams, spec: Spec) -> None:
        super().__init__(params, spec)
        if params.residual == "strongest" and not params.aux:
            raise ValueError(
                "residual=strongest needs the auxiliary heads: leave aux=false out, or take residual=first"
            )
        self.names = tuple(spec.modalities)
        count, width = len(self.names), embedding_width(spec, params.width)
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        self.gates = ChannelGates(count, width) if params.ame else nn.Identity()
        self.cross = CrossModalGate(width) if params.gcf and count > 1 else None
        self.reduce = nn.Linear(count * width, width)
        self.inject = nn.Linear(width, width, bias=False) if params.residual != "none" else None
        self.out = nn.Linear(width, outputs(spec))
        has_heads = params.aux or params.sl == "batch"
        self.unimodal = Stacked(count, lambda: nn.Linear(width, outputs(spec))) if has_heads else None
        #: Those whose batches hold features and not raw media: of media there are no statistics.
        self.described = tuple(m for m in self.names if m not in spec.tuned)
        sizes = spec.modalities
        self.decoders = nn.ModuleList(
            nn.Linear(width, sizes[m]) for m in (self.described if params.rec else ())
        )
        tells = params.sl == "input" and self.described
        self.tellers = StatisticsHeads(spec, self.described, width, params.stat) if tells else None
        for name in ("path", "norms", "unimodal_error"):
            self.register_buffer(name, torch.zeros(count))
        self.register_buffer("factor", torch.ones(count))
        for name in ("taken", "measured"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))
        self.share = 1.0
        self._sl = torch.zeros(count, 2)  # of the epoch: the sum of SL's errors, and how many there were
        self._before: list[list[Tensor]] = []  # the encoders' parameters before the step
        self._factors: list[Tensor] = []  # of each batch of the step

    # --- the forward path -------------------------------------------------------------------------------

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Gates, fuses and predicts, from the embeddings [batch, width] of ``encode``."""
        known, gated = self.gated(embeddings, batch)
        fused = self.fused(gated, known)
        # moments of a batch alone do not make a head tell the label of a sample
        heads = self.unimodal if self.params.aux else None
        said = {} if heads is None else dict(zip(self.names, heads(gated).unbind(1), strict=True))
        told = {}
        if self.tellers is not None:
            told = {f"sl_error/{m}": error for m, (error, _) in self.tellers(gated, batch).items()}
        return Output(
            prediction=as_prediction(self.out(fused), self.spec),
            embeddings={m: gated[:, i] for i, m in enumerate(self.names)},
            fused=fused,
            unimodal={m: as_prediction(raw, self.spec) for m, raw in said.items()},
            diagnostics=told,
        )

    def gated(self, embeddings: Mapping[str, Tensor], batch: Batch) -> tuple[Tensor, Tensor]:
        """What is known, [batch, modality] bool, and the gated embeddings h, [batch, modality, width], 0 elsewhere.

        Args:
            embeddings: as ``encode`` gives them.
            batch: the samples.
        """
        known = known_modalities(batch, self.names)
        stacked = torch.stack([embeddings[m] for m in self.names], dim=1).where(known.unsqueeze(-1), 0)
        return known, self.gates(stacked)

    def fused(self, gated: Tensor, known: Tensor) -> Tensor:
        """What the head reads, [batch, width]: ReLU(W_f [f_1; ...]) + W_r h of one modality.

        Args:
            gated: h, [batch, modality, width].
            known: [batch, modality], bool.
        """
        crossed = gated if self.cross is None else self.cross(gated, known).where(known.unsqueeze(-1), 0)
        hidden = F.relu(self.reduce(crossed.flatten(1)))
        if self.inject is None:
            return hidden
        strongest = self.params.residual == "strongest"
        place = int(self.unimodal_error.argmin()) if strongest else 0
        return hidden + self.inject(gated[:, place])

    # --- the loss ---------------------------------------------------------------------------------------

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Before the first epoch, the mean and deviation over the training split of what SL predicts; then the schedule."""
        self.share = max(0.0, 1 - 2 * done) if self.params.schedule == "decay" else 1.0
        self._sl = torch.zeros(len(self.names), 2, device=self.path.device)
        if self.tellers is not None:
            self.tellers.fit(batches)

    def epoch_diagnostics(self) -> Mapping[str, float | Tensor]:
        """Of each modality: the way that its encoder has gone so far, the mean factor and norm of its task gradient so far,
        and SL's error over the epoch, before its weight."""
        told = {}
        for i, m in enumerate(self.names):
            told[f"path/{m}"] = self.path[i]
            told[f"cp_factor/{m}"] = self.factor[i]
            if self.measured > 0:
                told[f"gradient_norm/{m}"] = self.norms[i]
            if self._sl[i, 1] > 0:
                told[f"sl_error/{m}"] = self._sl[i, 0] / self._sl[i, 1]
        return told

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task, and the terms that are switched on; ``sl`` is the one that CP protects."""
        return self.terms(self.encode_all(batch), batch)

    def terms(self, embeddings: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms, from the embeddings of ``encode``.

        Args:
            embeddings: modality -> [batch, width].
            batch: the samples.
        """
        s, spec, target = self.params, self.spec, batch.target
        known, gated = self.gated(embeddings, batch)
        terms = {"task": task_loss(as_prediction(self.out(self.fused(gated, known)), spec), target, spec)}
        raw = None if self.unimodal is None else self.unimodal(gated)
        if s.aux and raw is not None:
            said = [as_prediction(one, spec) for one in raw.unbind(1)]
            errors = torch.stack([task_errors(one, target, spec) for one in said], dim=1)
            terms["aux"] = s.weight_aux * masked_mean(errors, known)
            if self.training and s.residual == "strongest":
                self._note_strengths(said, target, known)
        if s.rec and self.decoders:
            terms["rec"] = s.weight_rec * self.reconstruction_loss(gated, batch)
        if s.div and len(self.names) > 1:
            terms["div"] = s.weight_div * likeness(gated, known)
        if self.tellers is not None:
            told = self.tellers(gated, batch)
            terms["sl"] = s.weight_sl * torch.stack([masked_mean(*one) for one in told.values()]).mean()
            for m, (error, defined) in told.items() if self.training else ():
                own = (error.detach().where(defined, 0).sum(), defined.sum())
                self._sl[self.names.index(m)] += torch.stack([value.to(self._sl.dtype) for value in own])
        elif s.sl == "batch" and raw is not None:
            scores = spec.kind == "regression"
            goal = target.unsqueeze(1) if scores else F.one_hot(target, spec.classes).to(raw.dtype)
            terms["sl"] = s.weight_sl * moment_gap(raw if scores else raw.softmax(dim=-1), goal, known)
        return terms

    def reconstruction_loss(self, gated: Tensor, batch: Batch) -> Tensor:
        """The squared error of the mean input that each embedding rebuilds; a mean over modalities, samples and features.

        Args:
            gated: h, [batch, modality, width].
            batch: the samples.
        """
        errors = []
        for m, decoder in zip(self.described, self.decoders, strict=True):
            goal, defined = input_statistics(batch, m, over_features=False)
            size = self.spec.modalities[m]
            rebuilt = decoder(gated[:, self.names.index(m)])
            errors.append(masked_mean((rebuilt - goal[:, :size]).square(), defined[:, :size]))
        return torch.stack(errors).mean()

    @torch.no_grad()
    def _note_strengths(self, said: Sequence[Tensor], target: Tensor, known: Tensor) -> None:
        for i, one in enumerate(said):
            if bool(known[:, i].any()):
                error = masked_mean(plain_errors(one, target, self.spec), known[:, i])
                start = error if self.unimodal_error[i] == 0 else self.unimodal_error[i]
                self.unimodal_error[i] = 0.9 * start + 0.1 * error

    # --- the gradients ----------------------------------------------------------------------------------

    def slowed(self) -> list[list[nn.Parameter]]:
        """The trained parameters of each encoder; those of an encoder of raw media that is tuned along are not among them."""
        return [
            [p for name, p in part.named_parameters() if p.requires_grad and not name.startswith("media.")]
            for part in self.encoders.parts
        ]

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """The gradients k_m g + q of each encoder: g of all terms but SL's, q of SL's; of the rest their plain sum.

        Under ``cp_place=update`` the gradients are plain, and ``after_step`` scales what the optimiser did.

        Returns:
            The loss terms.
        """
        if not self._before:
            self._before = [[p.detach().clone() for p in part] for part in self.slowed()]
        if self.params.cp == "none" or len(self.names) == 1:
            return super().backward(batch)
        embeddings = self.encode_all(batch)
        cut = {m: values.detach().requires_grad_() for m, values in embeddings.items()}
        terms = self.terms(cut, batch)
        main = torch.stack([value for name, value in terms.items() if name != "sl"]).sum()
        upper = gradients_above(main, cut, keep="sl" in terms)
        trained = [p for p in self.encoders.parameters() if p.requires_grad]
        first = gradients_below(embeddings, trained, upper, keep="sl" in terms)
        factors = self.factors(first, upper, batch)
        if self.params.cp_place == "gradient":
            for part, factor in zip(self.slowed(), factors, strict=True):
                for p in part if float(factor) < 1 else ():
                    if first.get(p) is not None:
                        first[p] = factor * first[p]
        second: dict[nn.Parameter, Tensor] = {}
        if "sl" in terms:
            upper = gradients_above(terms["sl"], cut)
            second = gradients_below(embeddings, trained, upper)
        for p in trained:
            parts = [found[p] for found in (first, second) if p in found]
            p.grad = torch.stack(parts).sum(dim=0) if len(parts) > 1 else parts[0] if parts else None
        self._factors.append(factors)
        return terms

    @torch.no_grad()
    def factors(
        self, gradients: Mapping[nn.Parameter, Tensor], upper: Mapping[str, Tensor], batch: Batch
    ) -> Tensor:
        """k [modality], float32, of a batch; and notes how large the gradients are.

        Args:
            gradients: g of the encoders' parameters.
            upper: g of the embeddings.
            batch: a modality that no sample has takes no part.
        """
        s = self.params
        norms, has = [], known_modalities(batch, self.names).any(dim=0)
        for i, part in enumerate(self.slowed()):
            own = [gradients[p] for p in part if p in gradients]
            has[i] &= bool(own)
            measured = own if s.measure == "parameters" else [upper[self.names[i]]]
            size = sum(values.numel() for values in measured)
            squares = [values.float().square().sum() for values in measured]
            norms.append((torch.stack(squares).sum() / size).sqrt() if size else self.norms.new_zeros(()))
        measured_norms = torch.stack(norms)
        self.measured += 1
        self.norms += (measured_norms.where(has & measured_norms.isfinite(), 0) - self.norms) / self.measured
        ratios = norm_ratios(measured_norms, has)
        if s.cp == "constant":
            factors = torch.ones_like(ratios)
            factors[self.norms.argmax()] = s.k
            return factors.where(has, 1.0)
        factors = penalties(ratios, s.strength * self.share, s.kappa, s.k_min)
        if s.cp == "inverse":
            weakest = ratios.where(has, torch.inf).argmin()
            factors = torch.ones_like(factors).scatter(0, weakest.view(1), factors.min().view(1))
        return factors

    @torch.no_grad()
    def after_step(self) -> None:
        """Under ``cp_place=update`` shortens the optimiser's step by k_m; notes how far each encoder has gone.

        Of a step of several batches k_m is their mean.
        """
        if not self._before:
            return
        factors = torch.stack(self._factors).mean(dim=0) if self._factors else torch.ones_like(self.factor)
        for i, (part, before) in enumerate(zip(self.slowed(), self._before, strict=True)):
            if self.params.cp_place == "update" and float(factors[i]) < 1:
                for p, old in zip(part, before, strict=True):
                    p.copy_(old + factors[i] * (p - old))
            squares = [(p - old).float().square().sum() for p, old in zip(part, before, strict=True)]
            if squares:
                self.path[i] += torch.stack(squares).sum().sqrt()
        self.taken += 1
        self.factor += (factors - self.factor) / self.taken
        self._before, self._factors = [], []
