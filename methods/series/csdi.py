"""CSDI: what is missing of a series is drawn from what is there of it (Tashiro et al., NeurIPS 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..method import fixed
from .trace import TRACE, TRACEParams


@dataclass(frozen=True)
class CSDIParams(TRACEParams):
    """As ``trace``, whose context is left out; ``schedule=quad`` is CSDI's own."""

    context: Literal["none"] = fixed("none", source="Tashiro et al. 2021")


class CSDI(TRACE):
    """TRACE without the other modalities: each is completed by a diffusion that is given what was observed of it alone.

    CSDI itself imputes and predicts nothing; what reads the completed series is TRACE's second stage.
    """

    Params = CSDIParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    needs_modalities: ClassVar[int] = 1
    as_published: ClassVar[Mapping[str, Any]] = {
        "chain": 50,
        "draws": 100,
        "channels": 64,
        "denoiser_layers": 4,
        "heads": 8,
        "time_width": 128,
        "step_width": 128,
        "diffusion_dropout": 0.1,
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "the paper imputes; what predicts here is ours, as in trace; a diffusion for each modality, 30 % of training samples "
            "wholly hidden; attention passes padding and unobserved entries over in training; one learning rate for both stages"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "mean": {"impute": "mean"},
        "forward": {"impute": "forward"},
        "linear": {"impute": "linear"},
        "without experts": {"moe": False},
    }
