"""Decision trees as tensors: a stored forest that is read without running a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

#: Samples that are sent down the trees at a time.
_CHUNK = 512


@dataclass(frozen=True)
class Tree:
    """One decision tree. Node 0 is the root; a sample goes left where its feature is at most the threshold.

    Attributes:
        feature: [nodes], int, the column that is compared; -1 at a leaf.
        threshold: [nodes], float64.
        left, right: [nodes], int, the next node.
        value: [nodes, outputs], float64, what a leaf says.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray


def as_tensors(trees: Sequence[Tree]) -> dict[str, Tensor]:
    """All nodes of the trees, one tree after the other.

    Returns:
        ``feature``, ``left`` and ``right``, int32 [nodes]; ``threshold``, float64 [nodes]; ``value``, float32
        [nodes, outputs]; ``root``, int32 [trees]. ``left`` and ``right`` of a leaf are the leaf itself.
    """
    sizes = [len(tree.feature) for tree in trees]
    roots = np.cumsum([0, *sizes[:-1]])
    links: dict[str, list[np.ndarray]] = {"left": [], "right": []}
    for tree, root in zip(trees, roots, strict=True):
        own = np.arange(len(tree.feature))
        for side, nodes in links.items():
            nodes.append(root + np.where(tree.feature < 0, own, getattr(tree, side)))

    def joined(parts: Sequence[np.ndarray], kind: type) -> Tensor:
        return torch.from_numpy(np.concatenate(parts).astype(kind))

    return {
        "feature": joined([tree.feature for tree in trees], np.int32),
        "threshold": joined([tree.threshold for tree in trees], np.float64),
        "left": joined(links["left"], np.int32),
        "right": joined(links["right"], np.int32),
        "value": joined([tree.value for tree in trees], np.float32),
        "root": torch.from_numpy(roots.astype(np.int32)),
    }


def sum_of_trees(columns: Tensor, learned: Mapping[str, Tensor], groups: int = 1) -> Tensor:
    """The sum of what the trees say, float64 [samples, groups x outputs].

    Args:
        columns: [samples, columns], float32.
        learned: what ``as_tensors`` returned.
        groups: tree t belongs to group t mod ``groups``, and the groups are summed apart: boosting has a tree for each
            class in every round.
    """
    sums = []
    for part in columns.split(_CHUNK):
        node = learned["root"].long().expand(len(part), -1)
        while True:
            feature = learned["feature"][node]
            inner = feature >= 0
            if not bool(inner.any()):
                break
            value = part.double().gather(1, feature.long().clamp(min=0))
            goes_left = value <= learned["threshold"][node]
            node = torch.where(goes_left, learned["left"][node], learned["right"][node]).long()
        said = learned["value"][node].double()  # [samples, trees, outputs]
        said = said.reshape(len(part), -1, groups, said.shape[2]).sum(1)
        sums.append(said.flatten(1))
    return torch.cat(sums)
