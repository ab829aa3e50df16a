"""Sound at another rate: a windowed sinc filter, whose cost is bounded for every pair of rates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..libraries import import_guard

if TYPE_CHECKING:
    from torch import Tensor

#: torchaudio's filter: zero crossings on either side, and its cutoff as a share of the lower rate's half.
CROSSINGS, ROLLOFF = 6, 0.99
#: torchaudio holds one filter for each of ``after / gcd`` phases, each ``before / gcd`` long, zeros included. All
#: usual rates share a divisor that leaves 1280 or fewer of both.
_MOST_PHASES = 2048
#: Products of a sample and a tap that are in memory at a time.
_BLOCK = 1 << 20


def has_few_phases(before: int, after: int) -> bool:
    """Whether two rates share so large a divisor that a table of all filters between them is small.

    Args:
        before, after: in Hz, whole numbers above 0.
    """
    return max(before, after) // math.gcd(before, after) <= _MOST_PHASES


def resample(sound: Tensor, before: int, after: int) -> Tensor:
    """Sound at another rate, as ``torchaudio.functional.resample`` returns it.

    Usual rates are given to torchaudio. The others, such as 11127 or 44101 Hz, would cost it memory and time that grow
    with ``before * after / gcd ** 2``; for these the same filter is evaluated at each step of the result alone,
    in double precision, so that values agree with those of torchaudio to 1e-4 of full scale (its own
    float32 filters are no more exact; with sound in double precision both agree to 1e-9).

    Args:
        sound: [..., time], floating; zeros are taken to lie around it.
        before: its rate in Hz, a whole number above 0.
        after: the wanted one.

    Returns:
        [..., time * after / before, rounded up].

    Raises:
        LibraryError: torchaudio is needed and cannot be imported.
    """
    if not has_few_phases(before, after):
        return resample_by_steps(sound, before, after)
    with import_guard("torchaudio", "resampling of sound"):
        from torchaudio.functional import resample as by_torchaudio

    return by_torchaudio(sound, before, after)


def resample_by_steps(sound: Tensor, before: int, after: int) -> Tensor:
    """The same as ``resample``, each step from its own filter: memory is bounded, and time grows with the length.

    Args:
        sound: [..., time], floating.
        before: its rate in Hz.
        after: the wanted one.

    Returns:
        [..., time * after / before, rounded up].
    """
    import torch
    import torch.nn.functional as F

    divisor = math.gcd(before, after)
    before, after = before // divisor, after // divisor
    lower = min(before, after) * ROLLOFF
    width = math.ceil(CROSSINGS * before / lower)
    taps = 2 * width + 2
    steps = -(-sound.shape[-1] * after // before)
    rows = sound.reshape(-1, sound.shape[-1])
    windows = F.pad(rows, (width, width + 2)).unfold(-1, taps, 1)
    along = torch.arange(-width, width + 2, device=sound.device, dtype=torch.float64)
    result = sound.new_empty(len(rows), steps)
    block = max(1, _BLOCK // (taps * max(len(rows), 1)))
    for first in range(0, steps, block):
        place = torch.arange(first, min(first + block, steps), device=sound.device) * before
        sample, rest = place // after, place % after  # exact: a step lies at sample + rest / after
        distance = (along - (rest.double() / after).unsqueeze(1)) * (lower / before)
        distance = distance.clamp(-CROSSINGS, CROSSINGS)
        taper = torch.cos(distance * (math.pi / CROSSINGS / 2)) ** 2
        filters = (torch.sinc(distance) * taper * (lower / before)).to(sound.dtype)
        result[:, first : first + len(place)] = (windows[:, sample] * filters).sum(dim=-1)
    return result.reshape(*sound.shape[:-1], steps)
