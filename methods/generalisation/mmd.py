"""MMD: the domains' features have the same distribution (Li et al., CVPR 2018, as an added loss)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from ...datasets.batch import Batch
from ..erm import ERM
from ..losses import task_loss
from ..method import searched
from ..shared.divergences import mmd
from ..shared.domains import mean_over_pairs
from ..shared.networks import SharedNetworkParams

#: Of L2-normalised features, whose squared distances are at most 4 (arXiv 2606.00891: 2 * 2^i, i = 0..4).
GAMMAS = (2.0, 4.0, 8.0, 16.0, 32.0)


@dataclass(frozen=True)
class MMDParams(SharedNetworkParams):
    """How strongly the domains are drawn together."""

    weight: float = searched(
        0.05,
        choices=(0.01, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0),
        source="arXiv 2606.00891, multimodal first; range: our choice, up to the 10 of DomainBed's mmd_gamma",
    )


class MMD(ERM):
    """ERM with weight * MMD^2 between the source domains' fused features, the mean over pairs of domains.

    MMD^2(X, Y) = mean k(x, x') + mean k(y, y') - 2 mean k(x, y), k the mean of five Gaussian kernels, on
    L2-normalised fused features. With one source domain it is ERM.
    """

    Params = MMDParams
    version = 2
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "five kernels on normalised fused features",
    }
    compares_domains: ClassVar[bool] = True
    needs_domains: ClassVar[int] = 2
    params: MMDParams

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and the distance between domains."""
        if self.spec.domains < self.needs_domains:
            return super().loss(batch)
        output = self(batch)
        assert output.fused is not None
        features = F.normalize(output.fused, dim=-1, eps=1e-6)
        distance = mean_over_pairs(lambda x, y: mmd(x, y, GAMMAS), features, batch.domain)
        task = task_loss(output.prediction, batch.target, self.spec)
        return {"task": task, "mmd": self.params.weight * distance}
