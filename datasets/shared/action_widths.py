"""The widths of the features that the action-recognition datasets come with."""

from __future__ import annotations

#: Modality -> width of the features that the backbones of MMDG-Bench (arXiv 2605.06643) give.
WIDTHS = {"video": 2304, "audio": 512, "flow": 2048}
