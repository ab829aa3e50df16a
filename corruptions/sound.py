"""What damage to sound is made of: filters, spectra, a stated signal-to-noise ratio, another rate, voices.

Sound is [batch, channel, time] here. What is computed for a step depends on a stretch around it whose length
does not depend on the padding; ``convolve_response`` takes the Fourier transform of the whole, but of a linear
convolution, which is the same for any length up to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets.libraries import import_guard
from ..datasets.media.resampling import has_few_phases, resample_by_steps
from .random import Stream


def silence_padding(sound: Tensor, valid: Tensor) -> Tensor:
    """Sound with zeros at padding, whatever was there.

    Args:
        sound: [batch, channel, time].
        valid: [batch, time], bool.
    """
    return sound if _complete(valid) else torch.where(valid.unsqueeze(1), sound, sound.new_zeros(()))


def noise_of(stream: Stream, tag: str, steps: int, channels: int) -> Tensor:
    """Standard normal numbers that stay what they are when ``steps`` grows.

    Args:
        stream: where they come from.
        tag: which draw of the condition this is.
        steps: length in time.
        channels: number of channels.

    Returns:
        [batch, channels, steps].
    """
    return stream.noise(tag, steps, channels).transpose(1, 2).contiguous()


def silence_padding_(sound: Tensor, valid: Tensor) -> Tensor:
    """As ``silence_padding``, in place: for a tensor that nobody else holds.

    Args:
        sound: [batch, channel, time].
        valid: [batch, time], bool.
    """
    return sound if _complete(valid) else sound.masked_fill_(~valid.unsqueeze(1), 0)


def _complete(valid: Tensor) -> bool:
    """Whether there is no padding; by bytes, which on a CPU is 30 times as fast as ``all``."""
    return bool(valid.view(torch.uint8).amin()) if valid.numel() else True


def amplitude(decibels: float) -> float:
    """The factor on amplitudes that a level in dB means."""
    return 10 ** (decibels / 20)


def mix_noise(sound: Tensor, noise: Tensor, snr: float) -> Tensor:
    """Sound with noise at a signal-to-noise ratio, scaled for each sample: the energy of all channels of the sound over all
    valid steps is ``snr`` dB above that of the noise. Where either is silent nothing is added: no scale makes the ratio.

    Args:
        sound: [batch, channel, time], zero at padding.
        noise: of the same shape, zero at padding.
        snr: 10 log10 (energy of the sound / energy of the noise), dB.
    """
    loud, noisy = (torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True) for x in (sound, noise))
    scale = torch.where(noisy > 0, loud / noisy.clamp(min=torch.finfo(noise.dtype).tiny), 0)
    return torch.addcmul(sound, noise, scale * amplitude(-snr))


def convolve_response(sound: Tensor, response: Tensor, first: int = 0, steps: int | None = None) -> Tensor:
    """Linear convolution with an impulse response, by FFT.

    Args:
        sound: [batch, channel, time].
        response: [..., taps], broadcast over batch and channel.
        first: the step of the full convolution that becomes step 0; the response's delay is taken out by it.
        steps: how many are returned; by default as many as ``sound`` has.
    """
    steps = sound.shape[-1] if steps is None else steps
    length = _fast_length(max(sound.shape[-1] + response.shape[-1] - 1 - first, first + steps))
    spectrum = torch.fft.rfft(sound, length).mul_(torch.fft.rfft(response, length))
    return torch.fft.irfft(spectrum, length)[..., first : first + steps]


def _fast_length(least: int) -> int:
    """The smallest product of 2, 3 and 5 that is not below ``least``: of such lengths FFTs are fast."""
    best = 1 << (least - 1).bit_length()
    for fives in range(math.ceil(math.log(least, 5)) + 1 if least > 1 else 1):
        for threes in range(math.ceil(math.log(least, 3)) + 1 if least > 1 else 1):
            odd = 5**fives * 3**threes
            best = min(best, odd << max(0, (-(-least // odd) - 1).bit_length()))
    return best


def low_pass(cutoff: float, rate: int) -> Tensor:
    """A symmetric low-pass filter: a sinc under a Hamming window, -53 dB from 100 Hz above the cut-off on
    (Oppenheim and Schafer, Discrete-Time Signal Processing, section on windowed FIR design).

    Args:
        cutoff: in Hz, where the response is -6 dB.
        rate: samples a second.

    Returns:
        [taps], float32, with the sum 1.
    """
    half = math.ceil(1.65 * rate / 200)  # the transition is 3.3 / taps of the rate wide
    step = torch.arange(-half, half + 1, dtype=torch.float64)
    taps = torch.sinc(2 * cutoff / rate * step) * torch.hamming_window(
        2 * half + 1, periodic=False, dtype=torch.float64
    )
    return (taps / taps.sum()).float()


def colour_filter(spectrum: Tensor) -> Tensor:
    """The filter that gives white noise a spectrum; under a Hann window, without which a steep spectrum ends in the
    window's own.

    Args:
        spectrum: [taps / 2 + 1], amplitudes from 0 Hz to half the sample rate.

    Returns:
        [taps], float32.
    """
    taps = 2 * (len(spectrum) - 1)
    window = torch.hann_window(taps, dtype=torch.float64, device=spectrum.device)
    return (torch.fft.irfft(spectrum.double(), taps).roll(taps // 2) * window).float()


def smooth_course(knots: Tensor, spacing: int, steps: int) -> Tensor:
    """A course through given values, along half a cosine from each to the next.

    Args:
        knots: [..., number], the values.
        spacing: steps from one to the next.
        steps: how many are returned.

    Returns:
        [..., steps].
    """
    along = torch.arange(spacing, device=knots.device) / spacing
    weight = (1 - torch.cos(math.pi * along)) / 2
    left, right = knots[..., :-1, None], knots[..., 1:, None]
    return torch.lerp(left, right, weight).flatten(-2)[..., :steps]


def lost_packets(chance: Tensor, share: float, burst: float) -> Tensor:
    """[batch, packet] bool: which packets a two-state Markov chain loses (Gilbert 1960).

    A packet is lost after one that was not with probability p, and one that was not is next to a lost one with
    probability r = 1 / ``burst``; ``share`` = p / (p + r). One number decides each step: below p the chain is in
    the lossy state and from 1 - r on in the other, whatever it was in before; between the two it stays. So it is
    where the last number outside put it, and more packets are lost, never others, as ``share`` grows.

    Args:
        chance: [batch, packet], uniform in [0, 1).
        share: of the packets that is lost, below 1.
        burst: mean number of packets lost in a row; at least 1.
    """
    recovery = 1 / burst
    lossy = chance < share * recovery / (1 - share)
    lossy[:, :1] = chance[:, :1] < share
    decided = lossy | (chance >= 1 - recovery)
    decided[:, :1] = True
    place = torch.arange(chance.shape[1], device=chance.device)
    return lossy.gather(1, torch.where(decided, place, 0).cummax(dim=1).values)


def resample_by_matrix(sound: Tensor, before: int, after: int) -> Tensor:
    """Sound at another rate: what ``torchaudio.functional.resample`` returns, as one matrix product at usual rates.

    Args:
        sound: [batch, channel, time]; zeros are taken to follow it.
        before: its rate in Hz, a whole number.
        after: the wanted one.

    Returns:
        [batch, channel, at least time * after / before].

    Raises:
        LibraryError: torchaudio cannot be imported.
    """
    if not has_few_phases(before, after):  # a matrix of one period would fill the memory
        return resample_by_steps(sound, before, after)
    matrix, hop, reach = _resampling_matrix(before, after)
    blocks = math.ceil(sound.shape[-1] / hop)
    padded = F.pad(sound, (reach, blocks * hop + reach - sound.shape[-1]))
    return (padded.unfold(-1, hop + 2 * reach, hop) @ matrix.to(sound)).flatten(-2)


@lru_cache(maxsize=64)
def _resampling_matrix(before: int, after: int) -> tuple[Tensor, int, int]:
    """[hop + 2 reach, hop * after / before], hop, reach: how a block of ``hop`` steps and ``reach`` on either side
    are read. Resampling is linear: it is asked of torchaudio for an impulse at each step."""
    with import_guard("torchaudio", "resampling of sound"):
        from torchaudio.functional import resample
    period = before // math.gcd(before, after)
    hop = period * max(1, round(64 / period))
    width = math.ceil(6 * before / (0.99 * min(before, after)))  # torchaudio's kernel: 6 zero crossings
    reach = period * math.ceil((width + 1) / period)
    first, count = reach * after // before, hop * after // before
    impulses = torch.eye(hop + 2 * reach)
    return resample(impulses, before, after)[:, first : first + count].contiguous(), hop, reach


@dataclass(frozen=True)
class Voices:
    """A few samples of a set, that babble is made of, cut into frames.

    Attributes:
        sample_id: [voice], int64.
        frames: [frame, channel * step], of all voices, one after another.
        first: [voice], int64: the first frame of each.
        count: [voice], int64: how many it has, at least 1.
    """

    sample_id: Tensor
    frames: Tensor
    first: Tensor
    count: Tensor

    def mix(self, voice: Tensor, offset: Tensor, frames: int) -> Tensor:
        """The sum of some voices. Each begins again at its first frame where it ends.

        Args:
            voice: [batch, number], int64: which voices.
            offset: [batch, number], int64: the first frame of each.
            frames: how many are returned.

        Returns:
            [batch, frames, channel * step].
        """
        place = torch.arange(frames, device=voice.device).view(1, -1, 1)
        wanted = (offset.unsqueeze(1) + place) % self.count[voice].unsqueeze(1) + self.first[voice].unsqueeze(
            1
        )
        summed = F.embedding_bag(wanted.flatten(0, 1), self.frames, mode="sum")
        return summed.view(len(voice), frames, -1)
