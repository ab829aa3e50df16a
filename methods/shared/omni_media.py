"""Sound and frames for a model that reads them: what it is given, and the tokens that stand for it in a prompt.

What differs between families of models is said in ``datasets/encoders/base_model.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...datasets.encoders.base_model import Family

#: The fewest steps of a spectrogram, of which the audio encoder makes a token, or two where its family takes a single one for
#: a place that it is to fill up itself; and zeros after a sound, so that what its last steps are does not depend on what it is
#: batched with.
_STEPS, _STEPS_OF_TWO, _AFTER = 4, 8, 400


@dataclass
class MediaInputs:
    """The sound and the frames of the samples of a batch, in order, as the model's arguments.

    Attributes:
        spectra: of each sample with sound, [mel, step] float32.
        steps: of each, those that are no silence at its end.
        patches: of each sample with frames, [patch, value] float32.
        grids: of each, its patches in time, height and width, int64 [3].
        seconds: that a patch in time lasts.
        told: the argument that says so; empty where there is none.
    """

    seconds: float
    told: str = ""
    spectra: list[Tensor] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    patches: list[Tensor] = field(default_factory=list)
    grids: list[Tensor] = field(default_factory=list)

    def arguments(self, device: torch.device) -> dict[str, Tensor]:
        """What the model is called with beside ids and mask; empty where there are no media.

        Args:
            device: where the model is.
        """
        found: dict[str, Tensor] = {}
        if self.spectra:
            steps, longest = torch.tensor(self.steps), max(one.shape[1] for one in self.spectra)
            padded = [F.pad(one, (0, longest - one.shape[1])) for one in self.spectra]
            found["input_features"] = torch.stack(padded)
            found["feature_attention_mask"] = (torch.arange(longest) < steps[:, None]).long()
        if self.patches:
            found["pixel_values_videos"] = torch.cat(self.patches)
            found["video_grid_thw"] = torch.stack(self.grids)
            if self.told:
                found[self.told] = torch.full((len(self.grids),), self.seconds)
        return {name: value.to(device) for name, value in found.items()}


class OmniMedia:
    """Prepares media for one model.

    Attributes:
        film: the id that stands for frames in a prompt; None where the model does not see.
    """

    def __init__(self, family: Family, processor: Any, config: Any, frames: int, rate: float) -> None:
        """Looks up the tokens that stand for media.

        Args:
            family: of the model.
            processor: of the model; its ``feature_extractor`` and ``video_processor`` are used.
            config: of the model.
            frames: the most frames of a sample; of more, so many are taken evenly.
            rate: frames a second that the model is told.
        """

        def ids(names: Sequence[str]) -> list[int]:
            stated = [getattr(processor, name, None) or getattr(config, name) for name in names]
            known = processor.tokenizer.convert_tokens_to_ids
            return [one if isinstance(one, int) else int(known(one)) for one in stated]

        self._family, self._frames = family, frames
        self._hear = processor.feature_extractor if family.sound else None
        self._see = processor.video_processor if family.film else None
        self._sound, self._film = ids(family.sound), ids(family.film)
        self.film = self._film[1] if self._film else None
        self._seconds = self._see.temporal_patch_size / rate if self._see else 0.0

    @property
    def sound_rate(self) -> int:
        """Samples a second of the sound that the model hears; 0 where it hears none."""
        return int(self._hear.sampling_rate) if self._hear else 0

    def empty(self) -> MediaInputs:
        """The media of no sample yet."""
        return MediaInputs(self._seconds, self._family.seconds)

    def add_sound(self, sound: Tensor, inputs: MediaInputs) -> list[int]:
        """Adds the sound of the next sample.

        Args:
            sound: [time, channel], float32 in -1 to 1, at ``sound_rate``.
            inputs: what the sample's spectrogram is added to.

        Returns:
            The ids that stand for it.
        """
        assert self._hear is not None  # or the modality was refused
        whole, step, longest = self._family.whole, int(self._hear.hop_length), int(self._hear.n_samples)
        mono = sound.float().mean(dim=1).cpu()
        fewest = _STEPS_OF_TWO if whole else _STEPS
        mono = F.pad(mono, (0, max(fewest * step - len(mono), 0)))[:longest]
        steps = -(-len(mono) // step)
        heard = self._hear(
            F.pad(mono, (0, longest - len(mono) if whole else _AFTER)).numpy(),
            sampling_rate=self._hear.sampling_rate,
            padding=False,
            truncation=False,
            return_tensors="pt",
        )
        spectrum = heard["input_features"][0]
        inputs.spectra.append(spectrum if whole else spectrum[:, :steps])
        inputs.steps.append(steps)
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
        assert self._see is not None  # or the modality was refused
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
