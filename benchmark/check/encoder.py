"""What an encoder must do to take part."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...datasets.encoders.encoder import Encoded, Encoder, EncoderError, EncoderSpec, Media
from ...datasets.media.clip import FrameView, Medium, SoundView, TextView
from ..features.corrupt_media import pad_batch

#: How far two features may lie apart that should be equal: sums over a batch of another size are added in another
#: order. Relative to the largest feature, where that is above 1.
TOLERANCE = 1e-4
#: Medium -> the view that it is decoded to.
VIEWS: dict[Medium, type] = {
    "frames": FrameView,
    "flow": FrameView,
    "waveform": SoundView,
    "text": TextView,
}
SENTENCES = (
    "The plot is thin.",
    "I could not believe how much they paid for it, but both leads were great!",
    "Why?",
    "A quiet film, and a long one: three hours of rain.",
)


@dataclass(frozen=True)
class Subject:
    """An encoder that is checked.

    Attributes:
        encoder_class: its class.
        spec: what is asked of it: name, model, options.
    """

    encoder_class: Any
    spec: EncoderSpec

    def make(self, **options: str) -> Encoder:
        """It, on the CPU, with more options than those of the spec."""
        spec = replace(self.spec, options={**self.spec.options, **options})
        return self.encoder_class(spec, torch.device("cpu"))


def _clips(encoder: Encoder) -> list[Any]:
    """Four clips as they are decoded for an encoder, of its length where its view has one: texts, or arrays
    [time, channel] or [time, channel, height, width]."""
    view = encoder.view
    if isinstance(view, TextView):
        return [text.lower() if view.lower else text for text in SENTENCES]
    if isinstance(view, SoundView):
        lengths = [0.5, 0.31, 0.8, 0.123]
        if view.tile and view.seconds:
            lengths = [view.seconds] * 4
        return [
            _chord(place, max(int(length * view.rate), 1), view.rate) for place, length in enumerate(lengths)
        ]
    channels = 3 if encoder.medium == "frames" else 2
    return [_pictures(place, channels, view.frames, view.size) for place in range(4)]


def _chord(place: int, length: int, rate: int) -> Tensor:
    time = torch.arange(length) / rate
    pitch = 110 * (place + 2)
    return (0.2 * sum(torch.sin(2 * math.pi * pitch * k * time) / k for k in (1, 2, 5))).unsqueeze(-1)  # type: ignore[union-attr]


def _pictures(place: int, channels: int, frames: int, size: int) -> Tensor:
    """An edge and a texture on smooth shading, which move from frame to frame."""
    axis = torch.linspace(0, 1, size)
    down, right = torch.meshgrid(axis, axis, indexing="ij")
    picture = (
        0.2 + 0.5 * right * (down > (place + 1) / 5) + 0.1 * torch.sin(40 * right) * torch.sin(33 * down)
    )
    moving = torch.stack([picture.roll(2 * frame, dims=1) for frame in range(frames)])
    return moving[:, None].repeat(1, channels, 1, 1).clamp(0, 1)


def _media(clips: Sequence[Any]) -> Media:
    """Clips as one batch, the shorter ones padded with zeros."""
    if isinstance(clips[0], str):
        return Media(texts=list(clips))
    return Media(*pad_batch([clip.numpy() for clip in clips]))


def _rows(encoded: Encoded) -> list[Tensor]:
    """The valid steps of each clip, [steps, feature]."""
    rows = zip(encoded.features.detach(), encoded.length.tolist(), strict=True)
    return [row[:length] for row, length in rows]


def _assert_close(left: Sequence[Tensor], right: Sequence[Tensor], what: str) -> None:
    for place, (one, other) in enumerate(zip(left, right, strict=True)):
        assert one.shape == other.shape, (
            f"{what}: clip {place} has {tuple(one.shape)} steps and features, then {tuple(other.shape)}"
        )
        limit = TOLERANCE * max(1.0, float(one.abs().max()) if one.numel() else 1.0)
        difference = float((one - other).abs().max()) if one.numel() else 0.0
        assert difference <= limit, f"{what}: features of clip {place} differ by {difference:.3g}"


def _check_encoded(encoder: Encoder, encoded: Encoded, count: int) -> None:
    features, length = encoded.features, encoded.length
    assert features.ndim == 3, f"features have {features.ndim} axes, not 3: [batch, time, feature]"
    assert features.shape[0] == count, f"{features.shape[0]} clips come back of {count}"
    assert features.shape[2] == encoder.width, (
        f"{features.shape[2]} features a step, and width is {encoder.width}"
    )
    assert features.dtype == torch.float32, f"features are {features.dtype}, not float32"
    assert not features.requires_grad, "features take gradients: encode without them"
    assert length.shape == (count,), f"lengths have the shape {tuple(length.shape)}, not ({count},)"
    assert length.dtype == torch.int64, f"lengths are {length.dtype}, not int64"
    assert bool((length >= 1).all()), "a clip has no valid step"
    assert bool((length <= features.shape[1]).all()), "a length is greater than the number of steps"
    for row in _rows(encoded):
        assert bool(torch.isfinite(row).all()), "features are not finite"


def medium_and_view_fit(subject: Subject) -> None:
    """It says what media it reads, the view that they are decoded to, and how many features it makes."""
    encoder = subject.make()
    assert encoder.medium in VIEWS, f"medium is {encoder.medium!r}: should be one of {', '.join(VIEWS)}"
    wanted = VIEWS[encoder.medium]
    assert isinstance(encoder.view, wanted), f"view is {encoder.view!r}: should be a {wanted.__name__}"
    assert isinstance(encoder.width, int), f"width is {encoder.width!r}"
    assert encoder.width >= 1, f"width is {encoder.width}"


def features_have_the_stated_shape(subject: Subject) -> None:
    """Features are [batch, time, width], float32 and finite, with one valid step or more for each clip."""
    encoder = subject.make()
    clips = _clips(encoder)
    _check_encoded(encoder, encoder.encode(_media(clips)), len(clips))


def features_are_determined(subject: Subject) -> None:
    """The same media give the same features, again and by an encoder that is made anew."""
    encoder = subject.make()
    media = _media(_clips(encoder))
    first = _rows(encoder.encode(media))
    _assert_close(first, _rows(encoder.encode(media)), "encoded twice")
    _assert_close(first, _rows(subject.make().encode(media)), "encoded by a second encoder")


def clips_are_independent(subject: Subject) -> None:
    """A clip's features do not depend on what it is batched with, nor on its place in the batch."""
    encoder = subject.make()
    clips = _clips(encoder)
    together = _rows(encoder.encode(_media(clips)))
    alone = [_rows(encoder.encode(_media([clip])))[0] for clip in clips]
    _assert_close(alone, together, "alone and in a batch")
    _assert_close(together[::-1], _rows(encoder.encode(_media(clips[::-1]))), "in another order")


def padding_is_not_read(subject: Subject) -> None:
    """Values after a clip's end do not change its features."""
    encoder = subject.make()
    media = _media(_clips(encoder))
    if media.values is None or media.mask is None or bool(media.mask.all()):
        return
    there = media.mask.reshape(*media.mask.shape, *[1] * (media.values.ndim - 2))
    other = replace(media, values=torch.where(there, media.values, 0.7))
    _assert_close(_rows(encoder.encode(media)), _rows(encoder.encode(other)), "other values after the end")


def shortest_clip_is_encoded(subject: Subject) -> None:
    """A clip of one step is encoded: one sample of sound, one frame, one letter."""
    encoder = subject.make()
    clips = _clips(encoder)
    shortest = clips[0][:1]
    _check_encoded(encoder, encoder.encode(_media([shortest])), 1)
    mixed = encoder.encode(_media([clips[1], shortest]))
    _check_encoded(encoder, mixed, 2)


def silence_is_encoded(subject: Subject) -> None:
    """Silence, black pictures, or a text of one full stop, have finite features."""
    encoder = subject.make()
    clips = ["." if isinstance(clip, str) else torch.zeros_like(clip) for clip in _clips(encoder)[:2]]
    _check_encoded(encoder, encoder.encode(_media(clips)), 2)


def no_clips_are_no_features(subject: Subject) -> None:
    """A batch without clips gives features of the same width for none."""
    encoder = subject.make()
    media = _media(_clips(encoder))
    empty = Media() if media.values is None or media.mask is None else Media(media.values[:0], media.mask[:0])
    encoded = encoder.encode(empty)
    assert encoded.features.ndim == 3, f"features have {encoded.features.ndim} axes, not 3"
    assert (len(encoded.features), len(encoded.length)) == (0, 0), "features come back of no clip"
    assert encoded.features.shape[2] == encoder.width, (
        f"{encoded.features.shape[2]} features, not {encoder.width}"
    )


def media_are_left_alone(subject: Subject) -> None:
    """Encoding leaves the media as they were."""
    encoder = subject.make()
    media, copy = _media(_clips(encoder)), _media(_clips(encoder))
    encoder.encode(media)
    if media.values is None or copy.values is None or media.mask is None or copy.mask is None:
        assert list(media.texts) == list(copy.texts), "it changed the texts"
        return
    assert torch.equal(media.values, copy.values), "it changed the values"
    assert torch.equal(media.mask, copy.mask), "it changed the mask"


def identity_names_the_recipe(subject: Subject) -> None:
    """Its identity is text, names the encoder and the version of its code, and is the same for one made alike."""
    identity = dict(subject.make().identity())
    wrong = [f"{key}={value!r}" for key, value in identity.items() if not isinstance(value, str)]
    assert not wrong, f"not text: {', '.join(wrong)}"
    named = identity.get("encoder")
    assert named == subject.spec.encoder, f"encoder is {named!r}: should be {subject.spec.encoder!r}"
    assert identity.get("version"), "version is missing: raise it where the code comes to make other features"
    assert identity == dict(subject.make().identity()), "made twice, its identity differs"
    json.dumps(asdict(subject.make().view))  # the view is part of the recipe, too


def options_are_described(subject: Subject) -> None:
    """Every option has a default, and a line in the documentation of its class."""
    options: Any = getattr(subject.encoder_class, "Options", None)
    if options is None:
        return
    assert isinstance(options, type), "Options is not a class"
    assert is_dataclass(options), "Options is not a dataclass"
    options()  # without a default it cannot be made
    text = " ".join(base.__doc__ or "" for base in inspect.getmro(options))
    missing = [item.name for item in fields(options) if item.name not in text]
    assert not missing, f"not described in the documentation of Options: {', '.join(missing)}"


def unknown_option_is_refused(subject: Subject) -> None:
    """An option that it does not have is an EncoderError that names it."""
    message = ""
    try:
        subject.make(no_such_option="1")
    except EncoderError as error:
        message = str(error)
    assert message, "an unknown option is taken: read options with datasets.encoders.spec.fill"
    assert "no_such_option" in message, f"the message does not name the option: {message}"


ENCODER_CHECKS: tuple[Callable[[Subject], None], ...] = (
    medium_and_view_fit,
    features_have_the_stated_shape,
    features_are_determined,
    clips_are_independent,
    padding_is_not_read,
    shortest_clip_is_encoded,
    silence_is_encoded,
    no_clips_are_no_features,
    media_are_left_alone,
    identity_names_the_recipe,
    options_are_described,
    unknown_option_is_refused,
)
