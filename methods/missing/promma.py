"""ProMMA: evaluation before generation (Chen et al., ICME 2026, arXiv 2604.05558), on the shared encoders.

Only the abstract is public: it names four modules and no formula. Every formula here is our reading of it.

* MME, the evaluator, says for a missing modality whether generating it would help, before it is generated.
* MIPD splits shared prompts into private ones of each modality.
* DPW weighs what a modality hears from each other one by how much the two have in common.
* MPDC lets each level of the fusion attend to the shared prompts.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, plain_errors, task_errors, task_loss
from ..method import Output, fixed, searched
from ..shared.bank import Bank
from ..shared.ebmc_parts import draw_pattern
from ..shared.embedded import Embeds
from ..shared.networks import (
    FusionHead,
    SharedNetworkParams,
    Stacked,
    as_prediction,
    embedding_width,
    encoders,
    known_modalities,
    outputs,
)
from ..shared.promma_parts import HIDDEN, Backbone, Judge, mean_of, mlp, what_is_seen
from ..shared.prompts import Attention, PrivatePrompts, binary_by_gain, pairwise_contrast


@dataclass(frozen=True)
class ProMMAParams(SharedNetworkParams):
    """Weights, sizes and ablation switches; nothing of them is published."""

    gate: Literal["soft", "hard", "always", "never", "shuffled"] = fixed(
        "soft", source="ours: the evaluator's share of what is generated; the others are its controls"
    )
    mme_target: Literal["pseudo", "label"] = fixed(
        "pseudo", source="abstract: pseudo labels (ours: what the backbone says of all modalities)"
    )
    mipd: bool = fixed(True, source="ablation: false leaves shared prompts alone")
    dpw: Literal["learned", "available", "uniform"] = fixed("learned", source="ablation and controls")
    mpdc: bool = fixed(True, source="ablation")
    prompts: int = fixed(16, least=0, source="MPLMM's release: prompt length; 0: none")
    rank: int = fixed(4, least=0, source="ours: of private prompts")
    levels: int = fixed(2, least=0, source="ours: self-attention layers over the modalities")
    pattern_probability: float = fixed(0.7, least=0, most=1, source="MPLMM's release: eta")
    first_probability: float = fixed(
        0.2,
        least=0,
        most=1,
        source="ours: the same while the backbone is trained; MPLMM's release: 0, on complete samples",
    )
    weight_evaluator: float = searched(0.1, low=0.0, high=1.0, digits=1, source="ours")
    weight_apart: float = fixed(0.1, source="ours: of MIPD")
    weight_contrast: float = searched(0.05, low=0.0, high=0.5, digits=2, source="ours: of DPW")
    weight_generator: float = searched(1.0, low=0.0, high=2.0, digits=1, source="ours; in stage 0 as well")
    freeze: bool = fixed(True, source="MPLMM's release: prompts are trained on a frozen backbone")
    first_stage: float = fixed(
        0.4, least=0, most=1, source="ours: share of the epochs in which the backbone is trained"
    )
    held_out: float = fixed(
        0.2,
        least=0,
        below=1,
        source="ours: share of the training samples that the evaluator learns from, and the backbone not",
    )


@dataclass(frozen=True)
class Path:
    """One forward pass behind the encoders.

    Attributes:
        made: what is generated for each modality from those seen, [batch, modality, width].
        logits: the evaluator's, [batch, modality].
        trust: 1 for a modality that is seen, else the share of what is generated, [batch, modality].
        scores: of what receiver i hears from source n with every sample j's receiver, [batch, batch, source, receiver].
        weights: of what is heard, [batch, source, receiver]; they sum to 1 over the sources.
        fused: what the head reads, [batch, width].
        prediction: as of ``Output``.
    """

    made: Tensor
    logits: Tensor
    trust: Tensor
    scores: Tensor
    weights: Tensor
    fused: Tensor
    prediction: Tensor


class ProMMA(Embeds):
    """A missing modality is generated as far as an evaluator expects it to help; prompts guide what modalities exchange.

    Stage 0 trains a backbone and generators; its frozen copy then judges, on samples that the backbone has not learned from,
    whether what is generated for a hidden modality brings its answer nearer to that from all modalities. The evaluator
    learns that from what is seen alone; neither it nor the generators learn from the task's loss of stage 1, which trains
    everything else. With one modality the method is its backbone.
    """

    Params = ProMMAParams
    version = 1
    needs_modalities = 2  # with one it is its backbone: there is nothing to generate from
    train_missing = "random patterns at rate 0.7, anew for each sample"
    stages = (0.4, 0.6)
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "only the abstract is public: the four modules are its, every formula, size and weight is ours; encoders and "
            "heads of mmbench in place of an unknown backbone (MPLMM's, as we infer). On planted data generating always is as "
            "good as the evaluator's choice (errors of 0.180 and 0.168, with the defaults 0.164 and 0.158), and the weights of DPW "
            "do not fall with noise on a modality"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "never generated": {"gate": "never"},
        "always generated": {"gate": "always"},
        "shuffled evaluation": {"gate": "shuffled"},
        "evaluated by labels": {"mme_target": "label"},
        "without MIPD": {"mipd": False},
        "uniform weights": {"dpw": "uniform"},
        "weights by availability": {"dpw": "available"},
        "without MPDC": {"mpdc": False},
        "without prompts": {"prompts": 0},
    }
    params: ProMMAParams

    def __init__(self, params: ProMMAParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        count = len(self.names)
        width = self.width = embedding_width(spec, params.width)
        self.several = count > 1
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        self.backbone = Backbone(spec, width)
        self.stages = (params.first_stage, 1 - params.first_stage)
        self.stage = 1
        # In a tuple it is no sub-module: not trained, not saved, not counted.
        self.teacher: tuple[Judge, ...] = ()
        if not self.several:
            return
        self.absent = nn.Parameter(0.02 * torch.randn(count, width))
        inputs = count * (width + 1)
        self.generators = Stacked(count, lambda: mlp(inputs + width, HIDDEN, width))
        self.evaluators = Stacked(count, lambda: mlp(inputs, HIDDEN, 1))
        if params.prompts:
            self.prompts = PrivatePrompts(count, params.prompts, width, params.rank if params.mipd else 0)
            self.recall = Attention(width)
        self.hear = Attention(width)
        self.critic = nn.Linear(width, width, bias=False)
        heads = next(number for number in (4, 2, 1) if width % number == 0)
        self.levels = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 2 * width, dropout=0.1, batch_first=True, norm_first=True
            )
            for _ in range(params.levels)
        )
        if params.mpdc and params.prompts:
            self.connect = nn.ModuleList(Attention(width) for _ in range(params.levels))
            self.strength = nn.Parameter(torch.zeros(params.levels))
        if params.gate == "shuffled":
            self.bank = Bank(count)
        self.head = FusionHead(width, width, outputs(spec))

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> ProMMA:
        for teacher in self.teacher:
            teacher._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def begin_stage(self, stage: int) -> None:
        """Stage 1 starts with a frozen copy of the backbone as the judge."""
        self.stage = stage
        self.teacher = ()
        if stage > 0 and self.several:
            self.teacher = (Judge(copy.deepcopy(self.encoders), copy.deepcopy(self.backbone)).freeze(),)

    # --- the forward path -------------------------------------------------------------------------------

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The same of several modalities, computed as one."""
        return self.backbone.standardise(self.encoders.together(batch, modalities or self.names), batch)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Evaluates, generates, exchanges and predicts; in stage 0 the backbone predicts."""
        encoded = torch.stack([embeddings[name] for name in self.names], dim=1)
        seen = known_modalities(batch, self.names)
        kept = {m: encoded[:, i].where(seen[:, i : i + 1], 0) for i, m in enumerate(self.names)}
        if not self.several or self.stage == 0:
            raw, fused = self.backbone(encoded, seen)
            return Output(as_prediction(raw, self.spec), embeddings=kept, fused=fused)
        path = self.path(encoded, seen, batch)
        heard = path.weights.mean(dim=2)
        diagnostics = {}
        for i, m in enumerate(self.names):
            diagnostics[f"trust/{m}"] = path.trust[:, i]
            diagnostics[f"weight/{m}"] = heard[:, i]
        return Output(path.prediction, embeddings=kept, fused=path.fused, diagnostics=diagnostics)

    def path(self, encoded: Tensor, seen: Tensor, batch: Batch) -> Path:
        """From embeddings to the prediction, by those that are seen alone.

        Args:
            encoded: z, [batch, modality, width]; where not seen it is never read.
            seen: S, [batch, modality], bool.
            batch: the samples, whose ids the shuffled control reads.
        """
        made, logits = self.generate(encoded, seen), self.evaluate(encoded, seen)
        trust = self.trust(logits.detach().sigmoid(), seen, batch)
        share = trust.unsqueeze(-1)
        used = encoded.where(seen.unsqueeze(-1), share * made.detach() + (1 - share) * self.absent)
        heard, scores = self.exchange(used)
        weights = self.weights(torch.diagonal(scores, dim1=0, dim2=1).movedim(-1, 0), trust)
        hidden = (weights.unsqueeze(-1) * heard).sum(dim=1)
        for i, level in enumerate(self.levels):
            hidden = level(hidden)
            if self.params.mpdc and self.params.prompts:
                hidden = hidden + self.strength[i] * self.connect[i](hidden, self.prompts.shared)
        fused = hidden.mean(dim=1)
        return Path(made, logits, trust, scores, weights, fused, as_prediction(self.head(fused), self.spec))

    def generate(self, encoded: Tensor, seen: Tensor) -> Tensor:
        """x^_m = G_m([z_n for n in S; pattern; mean_(n in S) Attn(z_n, P_n)]), [batch, modality, width]; arguments as of
        ``path``."""
        recalled = torch.zeros_like(encoded)
        if self.params.prompts:
            recalled = self.recall(encoded.where(seen.unsqueeze(-1), 0).unsqueeze(2), self.prompts()).squeeze(
                2
            )
        inputs = torch.cat([what_is_seen(encoded, seen), mean_of(recalled, seen)], dim=-1)
        return self.generators(inputs.unsqueeze(1).expand(-1, len(self.names), -1))

    def evaluate(self, encoded: Tensor, seen: Tensor) -> Tensor:
        """Logits of e_m = sigmoid(E_m([z_n for n in S; pattern])), [batch, modality]; arguments as of ``path``."""
        inputs = what_is_seen(encoded, seen)
        return self.evaluators(inputs.unsqueeze(1).expand(-1, len(self.names), -1)).squeeze(-1)

    def trust(self, evaluated: Tensor, seen: Tensor, batch: Batch) -> Tensor:
        """[batch, modality]: 1 where seen, else e_m or what a control has in its place; 0 where nothing is seen.

        Args:
            evaluated: e, [batch, modality], in [0, 1].
            seen: [batch, modality].
            batch: the samples.
        """
        gate = self.params.gate
        if gate == "hard":
            evaluated = (evaluated > 0.5).to(evaluated.dtype)
        elif gate in ("always", "never"):
            evaluated = torch.full_like(evaluated, float(gate == "always"))
        elif gate == "shuffled":
            evaluated = self.bank.exchange(evaluated, batch)
        return evaluated.where(seen.any(dim=1, keepdim=True), 0).masked_fill(seen, 1.0)

    def exchange(self, used: Tensor) -> tuple[Tensor, Tensor]:
        """What each modality hears from each: c_(m<-n) = Attn(u_m; [u_n; P_n]).

        Args:
            used: u, [batch, modality, width].

        Returns:
            c, [batch, source, receiver, width]; and c_(m<-n) W u_m / sqrt d of every sample's c with every sample's u,
            [batch, batch, source, receiver].
        """
        tokens = used.unsqueeze(2)
        if self.params.prompts:
            tokens = torch.cat([tokens, self.prompts().expand(len(used), -1, -1, -1)], dim=2)
        heard = self.hear(used.unsqueeze(1), tokens)
        return heard, torch.einsum("inmd,jmd->ijnm", heard, self.critic(used)) / math.sqrt(self.width)

    def weights(self, scores: Tensor, trust: Tensor) -> Tensor:
        """softmax over sources n of s_(m<-n) + log trust_n, [batch, source, receiver].

        Args:
            scores: s, [batch, source, receiver].
            trust: [batch, modality].
        """
        if self.params.dpw == "uniform":
            return torch.full_like(scores, 1 / len(self.names))
        start = scores if self.params.dpw == "learned" else torch.zeros_like(scores)
        return (start + trust.clamp(min=1e-6).log().unsqueeze(2)).softmax(dim=1)

    # --- the loss ---------------------------------------------------------------------------------------

    def held_out(self, batch: Batch) -> Tensor:
        """[batch] bool: the samples from which the backbone does not learn in stage 0, the same in every epoch."""
        return batch.stream(0, "promma").uniform("held out") < self.params.held_out

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Stage 0: the backbone's. Stage 1: the task's, and one term for each module."""
        s = self.params
        known = known_modalities(batch, self.names)
        probability = s.pattern_probability if self.stage else s.first_probability
        seen = draw_pattern(known, probability) if self.training else known
        frozen = s.freeze and self.stage > 0 and self.several
        encoded = self.judged(batch) if frozen else torch.stack(list(self.encode_all(batch).values()), dim=1)
        if not self.several or self.stage == 0:
            said = as_prediction(self.backbone(encoded, seen)[0], self.spec)
            if not self.several:
                return {"task": task_loss(said, batch.target, self.spec)}
            errors = task_errors(said, batch.target, self.spec)
            hides = draw_pattern(known, s.pattern_probability) if self.training else known
            # Learned from here on, so that encoders keep what others can be generated from.
            return {
                "task": masked_mean(errors, ~self.held_out(batch)),
                "generator": self.generator_loss(self.generate(encoded, hides), encoded, known & ~hides),
            }
        path = self.path(encoded, seen, batch)
        hidden = known & ~seen & seen.any(dim=1, keepdim=True)
        terms = {"task": task_loss(path.prediction, batch.target, self.spec)}
        terms["generator"] = self.generator_loss(path.made, encoded, hidden)
        judged = hidden & self.held_out(batch).unsqueeze(1)
        # A frozen encoder's embeddings are the judge's own, and so is what was made of them.
        goal, made = (encoded, path.made.detach()) if frozen else (self.judged(batch), None)
        gain = self.gain(goal, seen, known, batch.target, made)
        terms["evaluator"] = s.weight_evaluator * binary_by_gain(path.logits, gain, judged)
        if s.prompts and s.mipd:
            terms["apart"] = s.weight_apart * self.prompts.apart()
        if s.dpw == "learned":
            both = seen.unsqueeze(2) & seen.unsqueeze(1)
            terms["contrast"] = s.weight_contrast * pairwise_contrast(path.scores, both)
        return terms

    def generator_loss(self, made: Tensor, encoded: Tensor, hidden: Tensor) -> Tensor:
        """The squared error of what is generated for what was hidden, a scalar.

        Args:
            made: x^, [batch, modality, width].
            encoded: what it is to hit, alike, without gradient.
            hidden: [batch, modality], bool: there, but not seen.
        """
        hidden = hidden & ~hidden.all(dim=1, keepdim=True)
        miss = (made - encoded.detach()).square().mean(dim=-1)
        return self.params.weight_generator * masked_mean(miss, hidden)

    @torch.no_grad()
    def judged(self, batch: Batch) -> Tensor:
        """The frozen backbone's embeddings, [batch, modality, width]."""
        judge = self.teacher[0]
        found = judge.backbone.standardise(judge.encoders.together(batch, self.names), batch)
        return torch.stack(list(found.values()), dim=1)

    @torch.no_grad()
    def gain(
        self, encoded: Tensor, seen: Tensor, known: Tensor, target: Tensor, made: Tensor | None = None
    ) -> Tensor:
        """By how much the frozen backbone's answer gets better when a modality that is not seen is generated.

        G_m = error of F0(S) - error of F0(S and x^_m), in regard to what it says of all modalities, or to the label.

        Args:
            encoded: the frozen backbone's embeddings, [batch, modality, width].
            seen: S, [batch, modality].
            known: what there is, alike.
            target: [batch].
            made: x^, as ``encoded``; generated here by default.

        Returns:
            [batch, modality].
        """
        made = self.generate(encoded, seen) if made is None else made
        inputs, sets = [encoded, encoded], [known, seen]
        for one in torch.eye(len(self.names), dtype=torch.bool, device=seen.device):
            inputs.append(encoded.where(~one.unsqueeze(-1) | seen.unsqueeze(-1), made))
            sets.append(seen | one)
        # one pass of the head for all of them
        goal, before, *filled = (
            self.teacher[0].backbone(torch.cat(inputs), torch.cat(sets))[0].split(len(seen))
        )
        error = self.distance(before, goal, target)
        return torch.stack([error - self.distance(said, goal, target) for said in filled], dim=1)

    def distance(self, said: Tensor, goal: Tensor, target: Tensor) -> Tensor:
        """The error of raw outputs, [batch]: absolute, or a cross-entropy.

        Args:
            said: raw outputs of the backbone.
            goal: those from all modalities: the pseudo label.
            target: the label.
        """
        if self.params.mme_target == "label":
            return plain_errors(as_prediction(said, self.spec), target, self.spec)
        if self.spec.kind == "regression":
            return (said - goal).abs().squeeze(-1)
        return -(goal.softmax(dim=-1) * said.log_softmax(dim=-1)).sum(dim=-1)
