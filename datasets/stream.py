"""Random numbers that depend on (seed, name, sample id, position) alone.

A counter is hashed with a key of the sample, so that a whole batch is drawn at once on its device, and a
sample gets the same numbers in any batch, order, worker and method. Corruptions draw their damage from it, and a method
that samples when it predicts draws from ``Batch.stream``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

#: How many numbers of a thread are worked on at a time: what its cache holds beside the spare copy.
PIECE = 1 << 16


@dataclass(frozen=True)
class Stream:
    """The random numbers of one name for the samples of a batch: of a condition, or of what a method draws.

    Attributes:
        seed: of the corruption, or of the method.
        name: what they are for. That of a condition is without its severity: severities share their draws, so that
            the damage of a higher one contains that of a lower one.
        sample_id: [batch], int64.
    """

    seed: int
    name: str
    sample_id: Tensor

    def uniform(self, tag: str, *shape: int) -> Tensor:
        """[batch, *shape], float32 in [0, 1).

        Numbers at a position stay what they are when the first of ``shape`` grows: padding changes nothing.

        Args:
            tag: which draw of that name this is.
            shape: of each sample's numbers; empty for one number a sample.
        """
        numbers = self._empty(shape)
        key = self._key(tag)
        for (rows, columns), scratch in _pieces(numbers):
            _unit(_bits(key[rows], columns, scratch), numbers[rows, columns])
        return numbers.view(len(numbers), *shape)

    def normal(self, tag: str, *shape: int) -> Tensor:
        """Standard normal numbers, float32 (Box and Muller 1958).

        Args:
            tag, shape: as of ``uniform``.

        Returns:
            [batch, *shape].
        """
        numbers = self._empty(shape)
        radius_key, angle_key = self._key(tag + "/radius"), self._key(tag + "/angle")
        for (rows, columns), scratch in _pieces(numbers):
            radius = _unit(_bits(radius_key[rows], columns, scratch), numbers[rows, columns])
            radius.neg_().log1p_().mul_(-2).sqrt_()
            angle = _unit(_bits(angle_key[rows], columns, scratch), torch.empty_like(radius))
            radius.mul_(angle.mul_(2 * math.pi).cos_())
        return numbers.view(len(numbers), *shape)

    def coarse(self, tag: str, *shape: int) -> Tensor:
        """Numbers in [0, 1), float32, with 16 bits each: one of (i + 1/2) / 65,536. Faster than ``uniform``.

        For pictures and sound, which have no more levels themselves. Each hash makes two numbers.

        Args:
            tag, shape: as of ``uniform``.

        Returns:
            [batch, *shape].
        """
        return self._by_halves(tag, shape, lambda places, out: out.copy_(places).add_(0.5).mul_(2.0**-16))

    def noise(self, tag: str, *shape: int) -> Tensor:
        """Normal numbers, float32, from the quantiles of ``coarse``; several times as fast as ``normal``.

        The largest number is 4.33, the variance 0.999.

        Args:
            tag, shape: as of ``uniform``.

        Returns:
            [batch, *shape].
        """
        quantiles = _quantiles(self.sample_id.device)
        return self._by_halves(
            tag, shape, lambda places, out: torch.index_select(quantiles, 0, places, out=out)
        )

    def _by_halves(self, tag: str, shape: Sequence[int], fill: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """[batch, *shape], made by ``fill`` from the 16-bit halves of the hashes, 0 to 65,535 as int32 [n]."""
        width = math.prod(shape)
        numbers = self._empty((width + width % 2,))
        key = self._key(tag)
        for (rows, columns), scratch in _pieces(numbers[:, ::2]):
            halves = _bits(key[rows], columns, scratch).view(torch.int16)
            places = halves.int().add_(1 << 15)
            fill(places.view(-1), numbers[rows, 2 * columns.start : 2 * columns.stop].view(-1))
        return numbers[:, :width].reshape(len(numbers), *shape)

    def integers(self, tag: str, high: int | Tensor, *shape: int) -> Tensor:
        """Whole numbers, int64.

        Args:
            tag, shape: as of ``uniform``.
            high: the numbers are below it; broadcasts with the result. Where it is 0, so is the number.

        Returns:
            [batch, *shape].
        """
        high = torch.as_tensor(high, device=self.sample_id.device)
        numbers = (self.uniform(tag, *shape).double() * high).long()
        return torch.minimum(numbers, (high - 1).clamp(min=0))

    def _empty(self, shape: Sequence[int]) -> Tensor:
        """[batch, numbers of a sample], to be filled."""
        return torch.empty(
            len(self.sample_id), math.prod(shape), dtype=torch.float32, device=self.sample_id.device
        )

    def _key(self, tag: str) -> Tensor:
        """[batch], int64: of a draw of each sample."""
        digest = hashlib.blake2b(f"{self.seed}/{self.name}/{tag}".encode(), digest_size=8).digest()
        return _mix64(self.sample_id ^ int.from_bytes(digest, "little", signed=True))


def _pieces(drawn: Tensor) -> Iterator[tuple[tuple[slice, slice], tuple[Tensor, Tensor]]]:
    """Covers a matrix by pieces (rows, columns), each with two int32 tensors of its shape to work in.

    The hash passes over its numbers some twenty times: on a CPU a piece stays in the cache meanwhile.
    """
    (count, width), device = drawn.shape, drawn.device
    size = PIECE * torch.get_num_threads() if device.type == "cpu" else max(count * width, 1)
    columns = max(min(width, size), 1)
    rows = max(size // columns, 1)
    scratch = torch.empty(2, min(rows, count) * columns, dtype=torch.int32, device=device)
    for top in range(0, count, rows):
        for left in range(0, width, columns):
            high, wide = min(rows, count - top), min(columns, width - left)
            one, other = scratch[:, : high * wide].view(2, high, wide)
            yield (slice(top, top + high), slice(left, left + wide)), (one, other)


def _bits(key: Tensor, columns: slice, scratch: tuple[Tensor, Tensor]) -> Tensor:
    """The first of ``scratch``, [rows, columns] int32, filled with the counters hashed with each row's key."""
    low, high = _halves(key)
    bits, spare = scratch
    counter = torch.arange(columns.start, columns.stop, dtype=torch.int32, device=key.device)
    torch.bitwise_xor(counter, low.unsqueeze(1), out=bits)
    _mix32(bits, spare)
    return _mix32(bits.add_(high.unsqueeze(1)), spare)


@cache
def _quantiles(device: torch.device) -> Tensor:
    """[65536], float32: of the standard normal distribution, at the middle of equal steps of probability."""
    middles = (torch.arange(1 << 16, dtype=torch.float64) + 0.5) / (1 << 16)
    return torch.special.ndtri(middles).float().to(device)


def _unit(bits: Tensor, out: Tensor) -> Tensor:
    """int32 -> ``out``, float32 in [0, 1): the upper 24 bits; ``bits`` is used up."""
    return out.copy_(bits.bitwise_right_shift_(8).bitwise_and_(0xFFFFFF)).mul_(2.0**-24)


def _halves(key: Tensor) -> tuple[Tensor, Tensor]:
    """int64 -> its lower and upper 32 bits as int32."""
    halves = key.contiguous().view(torch.int32).view(-1, 2)
    return halves[:, 0], halves[:, 1]


def _mix32(bits: Tensor, spare: Tensor) -> Tensor:
    """A bijection of 32 bits in which every input bit changes every output bit with probability near 1/2
    (constants of Wellons' "triple32" family of hash functions, two rounds); in place, using up ``spare``."""
    _fold(bits, 16, spare)
    bits *= 0x21F0AAAD
    _fold(bits, 15, spare)
    bits *= 0x735A2D97
    return _fold(bits, 15, spare)


def _fold(bits: Tensor, places: int, spare: Tensor) -> Tensor:
    """``bits ^= bits >> places``, the sign not being drawn in."""
    torch.bitwise_right_shift(bits, places, out=spare)
    return bits.bitwise_xor_(spare.bitwise_and_((1 << (32 - places)) - 1))


def _mix64(bits: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014) on int64."""
    bits = bits ^ ((bits >> 30) & 0x3FFFFFFFF)
    bits = bits * -0x40A7B892E31B1A47
    bits = bits ^ ((bits >> 27) & 0x1FFFFFFFFF)
    bits = bits * -0x6B2FB644ECCEEE15
    return bits ^ ((bits >> 31) & 0x1FFFFFFFF)
