"""TRACE: what is missing of a series is drawn from what is there and what other modalities say (Kan et al. 2026).

arXiv 2606.06285. Stage 1 trains a conditional diffusion for each modality (``shared/completion.py``: CSDI with a gated
context), stage 2 a classifier on the completed series, with a mixture of experts over the embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..erm import ERM
from ..losses import task_loss
from ..method import Output, fixed
from ..shared.completion import Completion
from ..shared.diffusion import DiffusionSizes
from ..shared.experts import SparseExperts
from ..shared.fill_memory import FillMemory
from ..shared.networks import SharedNetworkParams, known_modalities

#: The factor of the experts' balance in what is minimised (TRACE's code).
_BALANCE = 0.01


@dataclass(frozen=True)
class TRACEParams(SharedNetworkParams):
    """The diffusion of each modality, the experts, and the size of the shared network.

    ``context=none`` draws a modality from itself alone (CSDI), ``uniform`` weighs all other modalities alike;
    ``impute=mean``, ``forward`` or ``linear`` fills by a rule, without a diffusion; ``moe=false`` leaves the experts out;
    ``targets`` are the modalities that are completed, such as ``vitals+labs``. ``channels`` to ``diffusion_dropout`` are of the
    denoiser, ``chain`` the steps of its chain, ``draws`` how many samples the median is taken of.
    """

    context: Literal["gate", "uniform", "none"] = fixed("gate", source="Kan et al. 2026")
    impute: Literal["diffusion", "mean", "forward", "linear"] = fixed("diffusion", source="Kan et al. 2026")
    moe: bool = fixed(True, source="Kan et al. 2026")
    targets: str = fixed("all", source="ours; published: the series alone")
    chain: int = fixed(25, least=1, source="ours, for a CPU; published: 50")
    schedule: Literal["quad", "published"] = fixed("quad", source="CSDI: the chain ends in noise")
    draws: int = fixed(4, least=1, source="ours, for a CPU; published: 20")
    channels: int = fixed(24, least=1, source="ours, for a CPU; published: 64")
    denoiser_layers: int = fixed(2, least=1, source="ours, for a CPU; published: 4")
    heads: int = fixed(4, least=1, divides="channels", source="ours; published: 8")
    time_width: int = fixed(32, least=2, step=2, source="ours; published: 128")
    feature_width: int = fixed(16, least=1, source="ours; published: 64")
    step_width: int = fixed(32, least=2, step=2, source="ours; published: 128")
    context_width: int = fixed(32, least=1, source="ours; published: 128")
    context_hidden: int = fixed(64, least=1, source="ours; published: 256")
    diffusion_dropout: float = fixed(0.0, least=0, below=1, source="ours; published: 0.1")
    experts: int = fixed(8, least=1, source="ours; published: 16")
    expert_width: int = fixed(64, least=1, source="ours; published: 512")
    expert_dropout: float = fixed(0.1, least=0, below=1, source="FuseMoE")
    top: int = fixed(2, least=1, most="experts", source="FuseMoE")
    router: Literal["laplace", "gaussian", "softmax"] = fixed("laplace", source="FuseMoE")


class TRACE(ERM):
    """ERM on completed series, with a mixture of experts over the embeddings of the modalities.

    In the first stage the denoisers alone are trained, on observed entries of source training samples that are hidden
    from them; predictions are then those of the series as they are, as no epoch of it is ever tested. In the second the
    denoisers stand still, and every training sample is completed once. What a sample is completed with depends on its own
    content and id alone.
    """

    Params = TRACEParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    needs_modalities: ClassVar[int] = 2
    stages = (0.5, 0.5)
    train_missing: ClassVar[str] = "entries and modalities hidden from the diffusion"
    passes_of_params: ClassVar[Mapping[str, Mapping[Any, tuple[str, ...]]]] = {
        "impute": {"diffusion": ("chain", "draws")}
    }
    as_published: ClassVar[Mapping[str, Any]] = {
        "chain": 50,
        "schedule": "published",
        "draws": 20,
        "channels": 64,
        "denoiser_layers": 4,
        "heads": 8,
        "time_width": 128,
        "feature_width": 64,
        "step_width": 128,
        "context_width": 128,
        "context_hidden": 256,
        "diffusion_dropout": 0.1,
        "experts": 16,
        "expert_width": 512,
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "by the authors' development code, as no results are public: the diffusion is trained on source training samples "
            "alone, where the release trains it on all splits merged; every modality is completed, not the series alone; "
            "imputed steps are read, attention passes padding over, samples of a batch are not mixed, and what lacks all "
            "context has a learned vector; 30 % of training samples are wholly hidden and 10 % of the context; experts read "
            "one embedding a modality and not a flattened grid of 48 steps, once and not in three layers, and their outputs are summed; "
            "mmbench's encoders in place of mTAND, one learning rate for both stages"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without context": {"context": "none"},
        "uniform context": {"context": "uniform"},
        "mean": {"impute": "mean"},
        "forward": {"impute": "forward"},
        "linear": {"impute": "linear"},
        "without experts": {"moe": False},
    }
    params: TRACEParams
    completes: Tensor

    def __init__(self, params: TRACEParams, spec: Spec) -> None:
        super().__init__(params, spec)
        targets = () if params.targets == "all" else tuple(params.targets.split("+"))
        rule = None if params.impute == "diffusion" else params.impute
        self.completion = Completion(spec, sizes_of(params), params.context, targets, rule)
        if rule or not self.completion.targets:
            self.stages = (1.0,)
        self.completion.memory = FillMemory(self.completion)  # there, as no checkpoint holds it
        # whether what is told by the denoisers is read: they have been trained
        self.register_buffer("completes", torch.tensor(len(self.stages) == 1))
        self.norm = nn.LayerNorm(self.width)
        self.experts = SparseExperts(
            self.width,
            params.expert_width,
            params.experts,
            params.top,
            params.router,
            "sum",
            params.expert_dropout,
        )

    @property
    def memory(self) -> FillMemory:
        """What the samples of training and validation were completed with."""
        assert isinstance(self.completion.memory, FillMemory)
        return self.completion.memory

    def begin_stage(self, stage: int) -> None:
        """From the second stage on series are completed."""
        if stage == len(self.stages) - 1:
            self.completes.fill_(True)
            self.memory.forget()

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Measures what is fixed before the first epoch, and completes the training samples before the second stage's."""
        if done == 0:
            self.completion.measure(batches)
        if self.completes and not self.memory:
            self.memory.learn(batches)

    def forward(self, batch: Batch) -> Output:
        """Predicts from the completed series."""
        return self._predicted(batch)[0]

    def _predicted(self, batch: Batch) -> tuple[Output, Tensor]:
        """The output, and the balance of the experts."""
        weights = self.completion.weights(batch)
        if self.completes:
            batch = self.memory.complete(batch, self.training)
        embeddings = self.encode_all(batch)
        balance = torch.zeros((), device=batch.target.device)
        if self.params.moe:
            names = tuple(self.spec.modalities)
            known = known_modalities(batch, names)
            tokens = torch.stack([embeddings[name] for name in names], dim=1).where(known.unsqueeze(-1), 0)
            routed = self.experts(self.norm(tokens), known)
            mixed = tokens + routed.said
            embeddings = {name: mixed[:, place] for place, name in enumerate(names)}
            balance = routed.balance
        output = self.fuse(embeddings, batch)
        gates = {f"context_{target}/{one}": weight.float() for (target, one), weight in weights.items()}
        return replace(output, diagnostics=gates), balance

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """First stage: ``diffusion/MODALITY``. Second: the task's loss, and the experts' balance."""
        if not self.completes:
            return self.completion.losses(batch)
        output, balance = self._predicted(batch)
        terms = {"task": task_loss(output.prediction, batch.target, self.spec)}
        return terms | ({"balance": _BALANCE * balance} if self.params.moe else {})

    def imputations(self, batch: Batch, modality: str) -> Tensor | None:
        """Draws of what was not observed.

        Args:
            batch: the samples.
            modality: its name.

        Returns:
            [draw, batch, time, feature]; None for a modality that is not completed.
        """
        if not self.completes or modality not in self.completion.targets:
            return None
        return self.completion.draws(batch, modality)


def sizes_of(params: TRACEParams) -> DiffusionSizes:
    """The sizes of the denoisers that parameters ask for."""
    return DiffusionSizes(
        params.chain,
        params.schedule,
        params.draws,
        params.channels,
        params.denoiser_layers,
        params.heads,
        params.time_width,
        params.feature_width,
        params.step_width,
        params.context_width,
        params.context_hidden,
        params.diffusion_dropout,
    )
