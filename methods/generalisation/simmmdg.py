"""SimMMDG (Dong et al., NeurIPS 2023, arXiv 2310.19795): shared and specific halves, on the shared network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import fixed, searched
from ..shared.branches import DeepBranches, DeepBranchParams
from ..shared.contrast import ContrastParams, label_classes
from ..shared.networks import known_modalities
from ..shared.shared_specific import SharedSpecific


@dataclass(frozen=True)
class SimMMDGParams(ContrastParams, DeepBranchParams):
    """The weights of the three terms, and sizes."""

    width: int = fixed(
        40, least=2, step=2, source="MMDG-Bench, late fusion; even: an embedding has two halves"
    )
    extra_width: int = fixed(
        0,
        least=0,
        step=2,
        source="MMDG-Bench 2.2, sentiment and motor faults: 256, of further encoders; even, too",
        since="0.1",
    )
    weight_translation: float = searched(0.1, low=0.0, high=1.0, digits=1, source="MMDG-Bench: alpha_trans")
    weight_apart: float = searched(0.7, low=0.0, high=1.0, digits=1, source="MMDG-Bench: explore_loss_coeff")
    weight_contrast: float = searched(3.0, low=0.0, high=5.0, digits=1, source="MMDG-Bench: alpha_contrast")
    temperature: float = fixed(0.1, above=0, source="MMDG-Bench: tau of SupCon")
    hidden: int = fixed(256, least=1, source="MMDG-Bench, sentiment")
    contrast_width: int = fixed(128, least=1, source="MMDG-Bench 3.3, sentiment; 64 in motor faults")
    raw_halves: bool = fixed(
        False, source="MMDG-Bench 3.3, action recognition: L_dist without norms", since="0.1"
    )
    batch_norm: bool = fixed(
        False, source="MMDG-Bench 3.3: in the projections, in place of layer norms", since="0.2"
    )


class SimMMDG(DeepBranches):
    """Splits each embedding in a shared and a specific half, aligns the shared ones by class, translates.

    L = task + a_t L_trans + a_c SupCon({g_m(s_m)}) + a_e L_dist, where e_m = [s_m, p_m], n is the L2 norm and
    g_m a projection:

    * L_trans = mean over ordered pairs of E || n(T_ab(e_a)) - n(e_b) ||_2, the goal with its gradient;
    * SupCon with every known modality as a view; of a regression the classes are negative, neutral, positive;
    * L_dist = - mean over m of MSE(n(s_m), n(p_m)), on normalised halves, so that it is bounded.

    With one modality L_trans is off. The number of sources does not matter.

    Under ``as-published`` (sections 2.2, 2.3, 3.3): batch norms in the projections; in sentiment the whole network's
    embeddings, further encoders of 256 and 3 tanh; in HUST the further encoders and the released contrast, whose
    positives are at chance; in action recognition an L_dist of raw halves, which has no lower bound.
    """

    Params = SimMMDGParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "action": (
            "mmbench's own network (40 wide, 8,448 parameters in a head of three modalities) in "
            "place of trunks that are trained along, embeddings of 2,304, 2,048 and 512, and a head "
            "of 2,494,984; projections and translators 256 wide, not 2,048"
        ),
    }
    as_published: ClassVar[Mapping[str, Any]] = {"batch_norm": True}
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "released_encoder": True,
            "whole_network": True,
            "extra_width": 256,
            "bounded": True,
            "head_dropout": 0.0,
        },
        "hust": {"extra_width": 256, "contrast": "released", "contrast_width": 64},
        "action": {"raw_halves": True},
    }
    params: SimMMDGParams

    def __init__(self, params: SimMMDGParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.halves = SharedSpecific(
            len(self.names),
            self.seen,
            params.hidden,
            params.contrast_width,
            params.raw_halves,
            params.batch_norm,
            params.contrast,
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss and the three terms."""
        s, output = self.params, self(batch)
        embeddings = torch.stack([output.embeddings[m] for m in self.names], dim=1)
        translation, contrast, apart = self.halves.terms(
            embeddings,
            embeddings,
            known_modalities(batch, self.names),
            label_classes(batch.target, self.spec),
            s.temperature,
        )
        return {
            "task": task_loss(output.prediction, batch.target, self.spec),
            "translation": s.weight_translation * translation,
            "contrast": s.weight_contrast * contrast,
            "apart": s.weight_apart * apart,
        }
