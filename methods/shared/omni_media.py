"""Sound and frames for a model of the Qwen2.5-Omni kind: what it reads, and the tokens that stand for it in a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

#: The fewest steps of a spectrogram that the audio encoder makes a token of, and zeros after a sound, so that what
#: its last steps are does not depend on what it is batched with.
_STEPS, _AFTER = 4, 400


@dataclass
class MediaInputs:
    """The sound and the frames of the samples of a batch, in order, as the model's arguments.

    Attributes:
        spectra: of each sample with sound, [mel, step] float32.
        patches: of each sample with frames, [patch, value] float32.
        grids: of each, its patches in time, height and width, int64 [3].
        seconds: that a patch in time lasts.
    """

    seconds: float
    spectra: list[Tensor] = field(default_factory=list)
    patches: list[Tensor] = field(default_factory=list)
    grids: list[Tensor] = field(default_factory=list)

    def arguments(self, device: torch.device) -> dict[str, Tensor]:
        """What the model is called with beside ids and mask; empty where there are no media.

        Args:
            device: where the model is.
        """
        found: dict[str, Tensor] = {}
        if self.spectra:
            steps = torch.tensor([one.shape[1] for one in self.spectra])
            longest = int(steps.max())
            padded = [F.pad(one, (0, longest - one.shape[1])) for one in self.spectra]
            found["input_features"] = torch.stack(padded)
            found["feature_attention_mask"] = (torch.arange(longest) < steps[:, None]).long()
        if self.patches:
            found["pixel_values_videos"] = torch.cat(self.patches)
            found["video_grid_thw"] = torch.stack(self.grids)
            found["video_second_per_grid"] = torch.full((len(self.grids),), self.seconds)
        return {name: value.to(device) for name, value in found.items()}


class OmniMedia:
    """Prepares media for one model.

    Args:
        processor: of the model; its ``feature_extractor`` and ``video_processor`` are used.
        frames: the most frames of a sample; of more, so many are taken evenly.
        rate: frames a second that the model is told.
    """

    def __init__(self, processor: Any, frames: int, rate: float) -> None:
        self._hear, self._see = processor.feature_extractor, processor.video_processor
        tokens = processor.tokenizer

        def token(name: str) -> int:
            return int(tokens.convert_tokens_to_ids(getattr(processor, name)))

        self._sound = token("audio_bos_token"), token("audio_token"), token("audio_eos_token")
        self._film = token("vision_bos_token"), token("video_token"), token("vision_eos_token")
        self._frames = frames
        self._seconds = self._see.temporal_patch_size / rate

    @property
    def sound_rate(self) -> int:
        """Samples a second of the sound that the model hears."""
        return int(self._hear.sampling_rate)

    def empty(self) -> MediaInputs:
        """The media of no sample yet."""
        return MediaInputs(self._seconds)

    def add_sound(self, sound: Tensor, inputs: MediaInputs) -> list[int]:
        """Adds the sound of the next sample.

        Args:
            sound: [time, channel], float32 in -1 to 1, at ``sound_rate``.
            inputs: what the sample's spectrogram is added to.

        Returns:
            The ids that stand for it.
        """
        step = int(self._hear.hop_length)
        mono = sound.float().mean(dim=1).cpu()
        mono = F.pad(mono, (0, max(_STEPS * step - len(mono), 0)))[: int(self._hear.n_samples)]
        steps = -(-len(mono) // step)
        heard = self._hear(
            F.pad(mono, (0, _AFTER)).numpy(),
            sampling_rate=self._hear.sampling_rate,
            padding=False,
            truncation=False,
            return_tensors="pt",
        )
        inputs.spectra.append(heard["input_features"][0][:, :steps])
        count = ((steps - 1) // 2 + 1 - 2) // 2 + 1  # of the encoder's two strides
        return [self._sound[0], *[self._sound[1]] * count, self._sound[2]]

    def add_frames(self, frames: Tensor, inputs: MediaInputs) -> list[int]:
        """Adds the frames of the next sample.

        Args:
            frames: [time, channel, height, width], uint8, or float32 in 0 to 1.
            inputs: what the sample's patches are added to.

        Returns:
            The ids that stand for it.
        """
        chosen = frames[evenly(len(frames), self._frames)].cpu()
        if chosen.is_floating_point():
            chosen = (chosen * 255).round().clamp(0, 255).to(torch.uint8)
        seen = self._see(videos=[chosen], do_sample_frames=False, return_tensors="pt")
        grid = seen["video_grid_thw"][0]
        inputs.patches.append(seen["pixel_values_videos"])
        inputs.grids.append(grid)
        count = int(grid.prod()) // self._see.merge_size**2
        return [self._film[0], *[self._film[1]] * count, self._film[2]]


def evenly(count: int, most: int) -> Sequence[int]:
    """The places of at most ``most`` of ``count`` frames, spread evenly, the first and the last among them."""
    if count <= most:
        return range(count)
    return [round(place * (count - 1) / max(most - 1, 1)) for place in range(most)]
