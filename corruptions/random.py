"""Random numbers that depend on (seed, name, sample id, position) alone.

A counter is hashed with a key of the sample, so that a whole batch is drawn at once on its device, and a
sample gets the same numbers in any batch, order, worker and method.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Steps that share a hashed number in ``Stream.noise``.
_BLOCK = 512


@dataclass(frozen=True)
class Stream:
    """The random numbers of one condition for the samples of a batch.

    Attributes:
        seed: of the corruption.
        name: of the condition without its severity: severities share their draws, so that the damage of a
            higher one contains that of a lower one.
        sample_id: [batch], int64.
    """

    seed: int
    name: str
    sample_id: Tensor

    def uniform(self, tag: str, *shape: int) -> Tensor:
        """[batch, *shape], float32 in [0, 1).

        Numbers at a position stay what they are when the first of ``shape`` grows: padding changes nothing.

        Args:
            tag: which draw of the condition this is.
            shape: of each sample's numbers; empty for one number a sample.
        """
        return _unit(self._bits(tag, shape))

    def normal(self, tag: str, *shape: int) -> Tensor:
        """[batch, *shape], float32, standard normal (Box and Muller 1958); as ``uniform``."""
        radius = torch.sqrt(-2 * torch.log1p(-self.uniform(tag + "/radius", *shape)))
        return radius.mul_(torch.cos(self.uniform(tag + "/angle", *shape).mul_(2 * math.pi)))

    def integers(self, tag: str, high: int | Tensor, *shape: int) -> Tensor:
        """[batch, *shape], int64 in [0, high); ``high`` broadcasts; 0 where it is 0."""
        high = torch.as_tensor(high, device=self.sample_id.device)
        drawn = (self.uniform(tag, *shape).double() * high).long()
        return torch.minimum(drawn, (high - 1).clamp(min=0))

    def noise(self, tag: str, steps: int, channels: int = 1) -> Tensor:
        """[batch, channels, steps], float32: standard normal numbers in steps of 1/65536 of their distribution
        (below 4.2), at a sixth of the cost of ``normal``; for signals, which have many steps.

        Numbers stay what they are when ``steps`` grows. The bits of two steps are the hash of the sum of a number
        of their block and one of their place in it; each half goes through the inverse of the normal distribution.
        """
        blocks = -(-steps // _BLOCK)
        block = self._bits(f"{tag}/block", (blocks, channels)).transpose(1, 2).contiguous().unsqueeze(-1)
        place = self._bits(f"{tag}/place", (_BLOCK // 2,)).view(-1, 1, 1, _BLOCK // 2)
        drawn = torch.empty(len(block), channels, blocks * _BLOCK, device=block.device)
        # On a CPU as many samples at a time as stay in its cache.
        rows = max(1, 2**18 // max(1, channels * steps) if block.device.type == "cpu" else len(block))
        for first in range(0, len(block), rows):
            some = slice(first, first + rows)
            halves = _mix32(block[some] + place[some]).view(-1).view(torch.int16)
            unit = drawn[some].copy_(halves.view_as(drawn[some])).add_(0.5).mul_(2.0**-15)  # within -1 to 1
            unit.erfinv_().mul_(math.sqrt(2))
        return drawn[..., :steps]

    def _bits(self, tag: str, shape: Sequence[int]) -> Tensor:
        """[batch, *shape], int32: hashed counters."""
        digest = hashlib.blake2b(f"{self.seed}/{self.name}/{tag}".encode(), digest_size=8).digest()
        key = _mix64(self.sample_id ^ int.from_bytes(digest, "little", signed=True))
        low, high = _halves(key)
        counter = torch.arange(math.prod(shape), dtype=torch.int32, device=key.device)
        bits = _mix32(counter ^ low.unsqueeze(1))
        return _mix32(bits.add_(high.unsqueeze(1))).view(len(key), *shape)


def _unit(bits: Tensor) -> Tensor:
    """int32 -> float32 in [0, 1): the upper 24 bits."""
    return (bits >> 8).bitwise_and_(0xFFFFFF).float().mul_(2.0**-24)


def _halves(key: Tensor) -> tuple[Tensor, Tensor]:
    """int64 -> its lower and upper 32 bits as int32."""
    halves = key.contiguous().view(torch.int32).view(-1, 2)
    return halves[:, 0], halves[:, 1]


def _mix32(bits: Tensor) -> Tensor:
    """A bijection of 32 bits in which every input bit changes every output bit with probability near 1/2
    (constants of Wellons' "triple32" family of hash functions, two rounds); in place."""
    bits ^= (bits >> 16).bitwise_and_(0xFFFF)
    bits *= 0x21F0AAAD
    bits ^= (bits >> 15).bitwise_and_(0x1FFFF)
    bits *= 0x735A2D97
    bits ^= (bits >> 15).bitwise_and_(0x1FFFF)
    return bits


def _mix64(bits: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014) on int64."""
    bits = bits ^ ((bits >> 30) & 0x3FFFFFFFF)
    bits = bits * -0x40A7B892E31B1A47
    bits = bits ^ ((bits >> 27) & 0x1FFFFFFFFF)
    bits = bits * -0x6B2FB644ECCEEE15
    return bits ^ ((bits >> 31) & 0x1FFFFFFFF)
