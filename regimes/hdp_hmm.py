"""HDP-HMM (Teh, Jordan, Beal, Blei 2006, JASA 101, 1566): the control of the sticky one, without a preference for staying."""

from __future__ import annotations

from typing import ClassVar

from .sticky_hdp_hmm import StickyHdpHmm


class HdpHmm(StickyHdpHmm):
    """The sticky HDP-HMM with kappa = 0."""

    stickiness: ClassVar[tuple[float, float] | None] = None
