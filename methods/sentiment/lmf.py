"""LMF: a tensor of low rank over the modalities' vectors (Liu et al., ACL 2018, arXiv 1806.00064)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import Output, ParameterGroup, fixed, searched
from ..shared.embedded import Embeds
from ..shared.networks import SharedNetworkParams, as_prediction, available, outputs
from ..shared.subnetworks import Subnetworks
from ..shared.tensor_fusion import LowRankTensor

#: Modality -> hidden width and width of its vector: MMSA's settings for MOSI. Audio's are those of any other modality.
SIZES = {
    "released": {"text": (128, 64), "audio": (16, 16), "vision": (128, 128), "": (16, 16)},
    "mosei": {"text": (128, 64), "audio": (16, 16), "vision": (128, 128), "": (16, 16)},
    "sims": {"text": (64, 32), "audio": (16, 16), "vision": (64, 64), "": (16, 16)},
    "simsv2": {"text": (64, 32), "audio": (32, 32), "vision": (64, 64), "": (32, 32)},
}


@dataclass(frozen=True)
class LMFParams(SharedNetworkParams):
    """Sizes, the rank, and a fault of the released code."""

    subnets: Literal["shared", "released", "mosei", "sims", "simsv2"] = fixed(
        "shared",
        source="ours: mmbench's encoders; released: MMSA's networks and sizes for MOSI; the others: for that data set",
    )
    rank: int = searched(3, choices=(1, 3, 4, 8), least=1, source="MMSA, MOSI; range: our choice")
    weights_trained: bool = fixed(
        True, source="paper; in MMSA neither the weights of the ranks nor the bias are given to the optimiser"
    )
    factor_rate: float = fixed(
        1.0, above=0, source="MMSA, MOSI: the rate of the factors in that of the rest; 0.25 for SIMS"
    )
    subnet_dropout: float = fixed(
        0.3, least=0, below=1, source="MMSA, MOSI: of audio and vision; with subnets=released"
    )


class LMF(Embeds):
    """y = sum_r w_r prod_m ([1; h_m] F_m^r) + b: the linear map of TFN's product, without building it.

    An absent modality has h_m = 0 and gives a learned constant to each product, the first row of its factor.
    """

    Params = LMFParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    needs_modalities = 2
    as_published: ClassVar[Mapping[str, Any]] = {"subnets": "released", "weights_trained": False}
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mosei": {"subnets": "mosei", "rank": 4, "subnet_dropout": 0.2},
        "sims": {"subnets": "sims", "rank": 4, "factor_rate": 0.25, "subnet_dropout": 0.2},
        "simsv2": {"subnets": "simsv2", "rank": 4, "factor_rate": 0.25},
    }
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 100,
            "patience": 8,
            "batch_size": 64,
            "learning_rate": 0.001,
            "weight_decay": 0.005,
            "clip_norm": 0.0,
        },
        "mosei": {"batch_size": 32, "weight_decay": 0.001},
        "sims": {"learning_rate": 0.002},
        "simsv2": {"batch_size": 32, "learning_rate": 0.002, "weight_decay": 0.0001},
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "after MMSA's code, not the authors'; audio and vision are averaged over their valid steps, not over padding too; the LSTM "
            "stops at the last word; the fused feature that OOD scores read is what the ranks say; no dropout but in the networks of the "
            "modalities; the settings of MOSI hold for any other data set than MOSEI, SIMS and SIMSv2, and at most 100 epochs, where MMSA "
            "knows no maximum"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "rank one": {"rank": 1},
        "weights not trained": {"weights_trained": False},
    }
    params: LMFParams

    def __init__(self, params: LMFParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        sizes = SIZES.get(params.subnets)
        self.subnets = Subnetworks(spec, params, released=sizes, rate=params.subnet_dropout)
        widths = [self.subnets.widths[name] for name in self.names]
        self.fusion = LowRankTensor(widths, params.rank, outputs(spec), params.weights_trained)

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The same of several modalities."""
        return self.subnets(batch, modalities)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Multiplies and predicts, from h_m of each modality."""
        used = {m: embeddings[m].where(available(batch, m).unsqueeze(-1), 0) for m in self.names}
        products = self.fusion.products(list(used.values()))
        return Output(
            as_prediction(self.fusion.weighted(products), self.spec),
            embeddings=used,
            fused=products.transpose(0, 1).flatten(1),
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss."""
        return {"task": task_loss(self(batch).prediction, batch.target, self.spec)}

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The factors at their own rate, where it is another than that of the rest."""
        if self.params.factor_rate == 1:
            return ()
        return (ParameterGroup(list(self.fusion.factors), rate=self.params.factor_rate),)
