"""Pictures: upright, without transparency, resized without aliasing, cut as documented."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.datasets.media.clip import FrameView, MediaError, Piece
from mmbench.datasets.media.decode import decode
from mmbench.datasets.media.pictures import PICTURES, resize_picture
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional

from .media_files import cut_off, write_picture, write_video


def picture_of(file: Path, view: FrameView) -> np.ndarray:
    found = np.asarray(decode(Piece((file,)), "frames", view))
    assert found.dtype == np.uint8
    assert found.shape == (view.frames, 3, view.size, view.size)
    return found[0]


def scene(height: int, width: int, fine: float = 20) -> np.ndarray:
    """A picture with coarse and, where wished, fine structure, [height, width, 3]."""
    draw = np.random.default_rng(0)
    coarse = Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((width, height))
    noise = draw.normal(0, fine, (height, width, 3))
    return (np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)


def test_a_picture_at_its_own_size_is_unchanged(tmp_path: Path) -> None:
    picture = scene(64, 64)
    file = write_picture(tmp_path / "a.png", picture)
    found = np.asarray(decode(Piece((file,)), "frames", FrameView(64, frames=3, crop="squash")))
    np.testing.assert_array_equal(found, np.stack([picture.transpose(2, 0, 1)] * 3))


@pytest.mark.parametrize(("height", "width"), [(512, 640), (640, 512), (512, 512)])
def test_a_center_crop_agrees_with_torchvision(height: int, width: int) -> None:
    picture = scene(height, width)
    found = resize_picture(picture, FrameView(224, crop="center", crop_share=0.875))
    values = torch.from_numpy(picture.transpose(2, 0, 1).copy())
    small = functional.resize(values, [256], functional.InterpolationMode.BICUBIC, antialias=True)
    wanted = functional.center_crop(small, [224, 224]).numpy()
    assert np.abs(found.astype(int) - wanted).max() <= 2


@settings(max_examples=20, deadline=None)
@given(height=st.integers(30, 300), width=st.integers(30, 300), size=st.integers(16, 96))
def test_squashing_agrees_with_torchvision(height: int, width: int, size: int) -> None:
    picture = scene(height, width)
    values = torch.from_numpy(picture.transpose(2, 0, 1).copy()).double()
    bicubic = functional.InterpolationMode.BICUBIC
    wanted = functional.resize(values, [size, size], bicubic, antialias=True).clamp(0, 255).numpy()
    away = np.abs(resize_picture(picture, FrameView(size, crop="squash")) - wanted)
    assert away.mean() < 0.5  # Pillow rounds between rows and columns
    assert np.quantile(away, 0.99) < 2


@settings(max_examples=30, deadline=None)
@given(height=st.integers(40, 300), width=st.integers(40, 300), share=st.floats(0.3, 1))
def test_a_center_crop_shows_the_middle_undistorted(height: int, width: int, share: float) -> None:
    """The picture is its own ruler: red grows with the row, green with the column."""
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack([rows * 255 / height, columns * 255 / width, 0 * rows], axis=-1).astype(np.uint8)
    found = resize_picture(picture, FrameView(32, crop="center", crop_share=share)).astype(float)
    side = min(height, width) * share
    steps = (np.arange(32) + 0.5) / 32 * side - 0.5
    inside = slice(2, -2)
    wanted_rows = ((height - side) / 2 + steps) * 255 / height
    wanted_columns = ((width - side) / 2 + steps) * 255 / width
    assert np.abs(found[0, :, 16] - wanted_rows)[inside].max() < 3
    assert np.abs(found[1, 16] - wanted_columns)[inside].max() < 3


def test_fine_stripes_become_grey_and_no_coarse_ones(tmp_path: Path) -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    small = picture_of(write_picture(tmp_path / "a.png", stripes), FrameView(100, 1, crop="squash"))
    assert np.abs(small[:, 2:-2, 2:-2].astype(int) - 127).max() <= 6


def test_what_is_transparent_shows_white(tmp_path: Path) -> None:
    picture = np.zeros((32, 32, 4), np.uint8)
    picture[..., 0], picture[:16, :, 3] = 200, 255
    found = picture_of(write_picture(tmp_path / "a.png", picture), FrameView(32, 1, crop="squash"))
    np.testing.assert_array_equal(found[:, 4, 4], [200, 0, 0])
    np.testing.assert_array_equal(found[:, 28, 4], [255, 255, 255])


def test_a_photograph_is_turned_as_its_exif_data_say(tmp_path: Path) -> None:
    lying = np.zeros((32, 64, 3), np.uint8)
    lying[:, :32] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter, clockwise
    file = tmp_path / "a.jpg"
    Image.fromarray(lying).save(file, exif=exif, quality=95)
    upright = picture_of(file, FrameView(32, 1, crop="squash")).mean(axis=0)
    assert upright[:14].min() > 240
    assert upright[18:].max() < 15


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "I;16"])
def test_other_kinds_of_pictures_become_colours(tmp_path: Path, mode: str) -> None:
    grey = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(file)
    else:
        Image.fromarray(grey).convert("RGB" if mode in ("P", "CMYK") else "L").convert(mode).save(file)
    found = picture_of(file, FrameView(64, 1, crop="squash"))
    assert np.abs(found.mean(axis=0)[:, ::8].mean(axis=0) - grey[0, ::8]).max() < (70 if mode == "1" else 14)


def test_a_picture_of_a_video_is_resized_like_a_picture(tmp_path: Path) -> None:
    picture = scene(128, 160, fine=0)
    video = write_video(tmp_path / "a.mp4", [picture] * 3)
    view = FrameView(64, 1)
    away = np.abs(picture_of(video, view).astype(int) - resize_picture(picture, view))
    assert away.mean() < 2


def test_pictures_that_cannot_be_read_are_named_as_what_they_are(tmp_path: Path) -> None:
    def reason(file: Path) -> str:
        with pytest.raises(MediaError) as caught:
            decode(Piece((file,)), "frames", FrameView())
        assert str(tmp_path) not in str(caught.value)
        return str(caught.value)

    for suffix in ("png", "jpg"):
        file = write_picture(tmp_path / f"a.{suffix}", scene(200, 200))
        assert "cannot be read as a picture" in reason(cut_off(file, file.stat().st_size // 2))
        assert "cannot be read as a picture" in reason(cut_off(file, 10))
        assert reason(cut_off(file, 0)) == "the file is empty"
    assert reason(tmp_path / "none.png") == "there is no such file"
    huge = bytearray(write_picture(tmp_path / "huge.png", scene(8, 8)).read_bytes())
    huge[16:24] = (60_000).to_bytes(4, "big") * 2  # few bytes that claim many pixels
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    (tmp_path / "huge.png").write_bytes(huge)
    assert "cannot be read as a picture" in reason(tmp_path / "huge.png")


def test_a_picture_of_a_kind_that_is_not_read_is_told_which_are(tmp_path: Path) -> None:
    """A GIF is read as a video, of one frame where it does not move."""
    grey = [Image.fromarray(np.full((64, 64, 3), 40 * step, np.uint8)) for step in range(6)]
    grey[0].save(tmp_path / "still.gif")
    grey[0].save(tmp_path / "moving.gif", save_all=True, append_images=grey[1:], duration=100)
    moving = np.asarray(decode(Piece((tmp_path / "moving.gif",)), "frames", FrameView(16, 6)))
    assert (np.abs(moving.mean(axis=(1, 2, 3)) - 40 * np.arange(6)) < 4).all()
    still = np.asarray(decode(Piece((tmp_path / "still.gif",)), "frames", FrameView(16, 2)))
    assert still.shape == (2, 3, 16, 16)
    assert (still == 0).all()
    for suffix in (".svg", ".jxl"):
        (tmp_path / f"still{suffix}").write_text("<svg/>")
        with pytest.raises(MediaError) as caught:
            decode(Piece((tmp_path / f"still{suffix}",)), "frames", FrameView(16))
        _, _, said = str(caught.value).partition(f"; {suffix} is not read as a picture; pictures are ")
        assert said.split(", ") == sorted(PICTURES)
    with pytest.raises(MediaError, match=r"^there is no such file$"):
        decode(Piece((tmp_path / "none.gif",)), "frames", FrameView(16))


def of_any_name(folder: Path, name: str, content: bytes) -> np.ndarray:
    (folder / name).write_bytes(content)
    view = FrameView(64, 1, crop="squash")
    return np.asarray(decode(Piece((folder / name,)), "frames", view))[0]


@pytest.mark.parametrize("wrong", ["a.jpg", "a.png", "a.mp4", "a", "a.gif"])
@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp"])
def test_the_content_of_a_picture_decides_and_not_its_name(tmp_path: Path, kind: str, wrong: str) -> None:
    file = write_picture(tmp_path / f"right.{kind}", scene(64, 64, fine=0))
    right = picture_of(file, FrameView(64, 1, crop="squash"))
    np.testing.assert_array_equal(of_any_name(tmp_path, wrong, file.read_bytes()), right)


def test_a_video_named_as_a_picture_is_read(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv"):
        file = write_video(tmp_path / f"a.{suffix}", [scene(64, 64, fine=0)] * 3)
        right = picture_of(file, FrameView(64, 1, crop="squash"))
        np.testing.assert_array_equal(of_any_name(tmp_path, "a.png", file.read_bytes()), right)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_malformed_entry_beside_the_orientation_does_no_harm(tmp_path: Path, orientation: int) -> None:
    """A resolution of -1 / 0, which cannot be written back."""
    entries = [(0x112, 3, 1, struct.pack("<I", orientation)), (0x11A, 10, 1, struct.pack("<I", 38))]
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2)
    exif += b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    exif += struct.pack("<I", 0) + struct.pack("<ii", -1, 0)
    picture = Image.fromarray(scene(64, 96, fine=0))
    plain = Image.Exif()
    plain[0x112] = orientation
    picture.save(tmp_path / "odd.png", exif=exif)
    picture.save(tmp_path / "plain.png", exif=plain)
    with Image.open(tmp_path / "plain.png") as opened:
        wanted = resize_picture(np.asarray(ImageOps.exif_transpose(opened)), FrameView(64, 1))
    for name in ("odd.png", "plain.png"):
        np.testing.assert_array_equal(picture_of(tmp_path / name, FrameView(64, 1)), wanted)


def png16(pixels: np.ndarray, transparent: bytes = b"") -> bytes:
    """A PNG with 16 bits for each grey value [height, width] or colour [height, width, 3]."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    extra = chunk(b"tRNS", transparent) if transparent else b""
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + data + chunk(b"IEND", b"")


def test_pictures_of_16_bits_keep_their_brightness_and_transparency(tmp_path: Path) -> None:
    grey = np.full((64, 64), 0x1234, np.uint16)
    grey[:, 32:] = 0xFEDC
    colours = np.stack([grey, grey // 2, grey // 4], axis=-1)
    found = of_any_name(tmp_path, "grey.png", png16(grey))
    np.testing.assert_array_equal(found[:, 5, [5, 60]], [[0x12, 0xFE]] * 3)
    found = of_any_name(tmp_path, "colours.png", png16(colours))
    np.testing.assert_array_equal(found[:, 5, 60], [0xFE, 0x7F, 0x3F])
    found = of_any_name(tmp_path, "grey-t.png", png16(grey, struct.pack(">H", 0x1234)))
    np.testing.assert_array_equal(found[:, 5, [5, 60]], [[255, 0xFE]] * 3)
    found = of_any_name(
        tmp_path, "colours-t.png", png16(colours, struct.pack(">HHH", *colours[0, 0].tolist()))
    )
    np.testing.assert_array_equal(found[:, 5, 5], [255] * 3)
    np.testing.assert_array_equal(found[:, 5, 60], [0xFE, 0x7F, 0x3F])


def test_a_palette_with_transparency_shows_white(tmp_path: Path) -> None:
    picture = Image.new("P", (64, 64), 1)
    picture.putpalette([0, 0, 0, 200, 10, 30])
    picture.paste(0, (0, 0, 64, 32))
    picture.save(tmp_path / "a.png", transparency=0)
    found = picture_of(tmp_path / "a.png", FrameView(64, 1, crop="squash"))
    assert found[:, 5, 5].tolist() == [255, 255, 255]
    assert found[:, 60, 5].tolist() == [200, 10, 30]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.linspace(0, 1, 4096, dtype=np.float32), "floating numbers"),
        (np.linspace(0, 255, 4096, dtype=np.float32), "floating numbers"),
        (np.arange(4096, dtype=np.int32) - 7, "beyond 16 bits"),
        (np.arange(4096, dtype=np.int32) * 1000, "beyond 16 bits"),
    ],
)
def test_numbers_whose_white_is_unknown_are_refused(tmp_path: Path, values: np.ndarray, reason: str) -> None:
    file = write_picture(tmp_path / "a.tif", values.reshape(64, 64))
    with pytest.raises(MediaError, match=reason):
        decode(Piece((file,)), "frames", FrameView(64, 1))


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_a_picture_that_moves_is_not_read_by_its_first_alone(tmp_path: Path, suffix: str) -> None:
    file, one = tmp_path / f"a.{suffix}", Image.fromarray(scene(32, 32))
    one.save(file, save_all=True, append_images=[one.rotate(180), one.rotate(90)])
    with pytest.raises(MediaError, match="holds 3 pictures: save the one that is meant, or a video"):
        picture_of(file, FrameView(32))


def test_a_small_copy_behind_a_picture_is_no_second_picture(tmp_path: Path) -> None:
    file, one = tmp_path / "a.tif", Image.fromarray(scene(32, 32))
    one.save(file, save_all=True, append_images=[one.resize((8, 8))])
    found = picture_of(file, FrameView(32, crop="squash"))
    np.testing.assert_array_equal(found, np.asarray(one).transpose(2, 0, 1))


@pytest.mark.parametrize("brightest", [1, 255, 1023, 4095])
def test_grey_of_few_bits_in_sixteen_is_named(tmp_path: Path, brightest: int) -> None:
    file, grey = tmp_path / "a.png", np.linspace(0, brightest, 32 * 32).reshape(32, 32)
    Image.fromarray(grey.astype(np.uint16)).save(file)
    with pytest.raises(MediaError, match=f"brightest number is {brightest} of 65535"):
        picture_of(file, FrameView(32))
    Image.fromarray((grey * (65535 // brightest)).astype(np.uint16)).save(file)
    assert picture_of(file, FrameView(32)).max() >= 240
    Image.fromarray(np.zeros((32, 32), np.uint16)).save(file)  # black is black
    assert not picture_of(file, FrameView(32)).any()


def test_a_picture_that_is_transparent_everywhere_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(np.dstack([scene(32, 32), np.zeros((32, 32), np.uint8)])).save(file)
    with pytest.raises(MediaError, match="transparent everywhere"):
        picture_of(file, FrameView(32))
