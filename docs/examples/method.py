"""Modality dropout: ERM that trains with modalities taken away at random (Neverova et al., ModDrop, 2016)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmbench.datasets.batch import Batch
from mmbench.methods.erm import ERM
from mmbench.methods.losses import task_loss
from mmbench.methods.method import fixed, searched
from torch import Tensor

METHODS = {"modality_dropout": "ModalityDropout"}


@dataclass(frozen=True)
class ModalityDropoutParams:
    """How often a modality is taken away, and the size of the shared network."""

    probability: float = searched(0.2, low=0.0, high=0.5, digits=2, source="our choice; 0 is ERM")
    width: int = fixed(40, source="the same as ERM's")
    layers: int = fixed(5, source="the same as ERM's")


class ModalityDropout(ERM):
    """ERM whose training samples each lose every modality with a probability, anew in every step."""

    Params = ModalityDropoutParams
    version = 1  # raise it when a change alters results: jobs of another version are other jobs
    train_missing = "each modality, with one probability"  # what the audit table says
    params: ModalityDropoutParams

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss of samples from which modalities were taken."""
        stay = {
            name: present & (torch.rand(len(batch), device=present.device) >= self.params.probability)
            for name, present in batch.present.items()
        }
        output = self(batch.with_present(stay))
        return {"task": task_loss(output.prediction, batch.target, self.spec)}
