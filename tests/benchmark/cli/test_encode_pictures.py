"""Pictures as a modality of their own: files as Pillow writes them, through ``mmbench data encode``."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from mmbench.datasets.layout.open_layout import locate_open
from PIL import Image

from ..conftest import Call

#: A real network with random weights: what is equal stays so, what is not does not.
ENCODER = (
    "--encoder",
    "image=efficientnet-lite,frames=1,size=32,weights=random,seed=1",
    "--dtype",
    "float32",
)
SIDE = 48


def scene() -> Image.Image:
    """A picture in few colours, none of its turns alike."""
    draw = np.random.default_rng(0)
    blocks = draw.integers(0, 2, (6, 6, 3), dtype=np.uint8) * 255
    return Image.fromarray(blocks.repeat(SIDE // 6, 0).repeat(SIDE // 6, 1))


def write_good(folder: Path) -> dict[str, list[str]]:
    """Names of files that show the same, by what they show."""
    colours = scene()
    grey = Image.fromarray(np.asarray(colours)[..., 0])
    colours.save(folder / "plain.png")
    colours.save(folder / "plain.tif")
    colours.save(folder / "plain.bmp")
    colours.convert("P", palette=Image.Palette.ADAPTIVE, colors=16).save(folder / "palette.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    colours.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png", exif=exif)
    opaque = colours.convert("RGBA")
    opaque.save(folder / "opaque.png")
    colours.convert("CMYK").save(folder / "cmyk.tif")
    colours.save(folder / "named-wrongly.jpg", format="PNG")
    grey.save(folder / "grey.png")
    grey.convert("1").save(folder / "bits.png")
    grey.convert("LA").save(folder / "grey-alpha.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(folder / "grey16.png")
    veil = Image.new("L", colours.size, 0)
    veil.paste(255, (0, 0, SIDE, SIDE // 2))
    half = colours.copy()
    half.putalpha(veil)
    half.save(folder / "half.png")
    white = colours.copy()
    white.paste((255, 255, 255), (0, SIDE // 2, SIDE, SIDE))
    white.save(folder / "half-white.png")
    return {
        "colours": [
            *("plain.png", "plain.tif", "plain.bmp", "palette.png", "turned.png", "opaque.png"),
            *("cmyk.tif", "named-wrongly.jpg"),
        ],
        "grey": ["grey.png", "bits.png", "grey-alpha.png", "grey16.png"],
        "half": ["half.png", "half-white.png"],
    }


def write_bad(folder: Path) -> dict[str, str]:
    """File -> what is said of it."""
    draw = np.random.default_rng(0)
    noise = Image.fromarray(draw.integers(0, 256, (200, 200, 3), dtype=np.uint8))
    for name in ("cut.png", "cut.jpg"):
        noise.save(folder / name)
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
    noise.save(folder / "huge.png")
    claimed = bytearray((folder / "huge.png").read_bytes())
    claimed[16:24] = (60_000).to_bytes(4, "big") * 2  # few bytes that claim many pixels
    claimed[29:33] = zlib.crc32(claimed[12:29]).to_bytes(4, "big")
    (folder / "huge.png").write_bytes(claimed)
    Image.fromarray(np.ones((8, 8), np.float32)).save(folder / "floating.tif")
    for name in ("pages.tif", "moving.png", "moving.webp"):
        scene().save(folder / name, save_all=True, append_images=[scene().rotate(90)])
    (folder / "page.jpg").write_text("<html>404</html>")
    (folder / "empty.png").touch()
    return {
        "cut.png": "truncated",
        "cut.jpg": "truncated",
        "huge.png": "exceeds limit",
        "floating.tif": "floating numbers",
        **dict.fromkeys(("pages.tif", "moving.png", "moving.webp"), "holds 2 pictures"),
        "page.jpg": "cannot be read as a picture",
        "empty.png": "the file is empty",
    }


def test_pictures_of_every_kind_are_right_or_refused(call: Call, tmp_path: Path):
    folder = tmp_path / "memes"
    folder.mkdir()
    shown = write_good(folder)
    bad = write_bad(folder)
    names = [name for group in shown.values() for name in group]
    rows = [f"{name},{name},{place % 2}" for place, name in enumerate([*names, *bad])]
    (folder / "memes.csv").write_text("\n".join(["sample_id,image,label", *rows, ""]))
    (folder / "media.yaml").write_text(
        "table: memes.csv\nmodalities: {image: frames}\nsplit: none\n"
        "task: {kind: classification, classes: [calm, loud]}\n"
    )
    words = ("data", "encode", "memes", *ENCODER, "--data-root", tmp_path)
    code, said = call(*words)
    assert code == 1
    for name, reason in bad.items():
        (line,) = [line for line in said.splitlines() if line.startswith(f"{name} ")]
        assert reason in line
    assert not (folder / "dataset.yaml").exists()
    code, said = call(*words, "--skip-broken")
    assert code == 0, said
    samples = locate_open(folder / "dataset.yaml").load()["train"]
    assert samples.sample_id.tolist() == names
    features = dict(zip(names, samples.features["image"][:, 0], strict=True))
    for group in shown.values():
        for name in group[1:]:
            np.testing.assert_allclose(features[name], features[group[0]], rtol=1e-3, atol=1e-4, err_msg=name)
    first = [features[group[0]] for group in shown.values()]
    scale = np.abs(first[0]).max()
    assert all(
        np.abs(one - other).max() > 0.01 * scale
        for one, other in zip(first, first[1:] + first[:1], strict=True)
    )


def test_a_picture_that_two_memes_have_is_told_and_encoded(call: Call, tmp_path: Path):
    folder = tmp_path / "chipsal"
    (folder / "images").mkdir(parents=True)
    rows = [f"m{number},word,{number % 2}" for number in range(4)]
    (folder / "train.csv").write_text("\n".join(["index,text,label", *rows, ""]))
    for number in range(4):
        Image.new("RGB", (8, 8), (number % 3, 0, 0)).save(folder / "images" / f"m{number}.png")
    words = ("data", "encode", "chipsal", *ENCODER, "--data-root", tmp_path)
    code, said = call(*words)
    assert code == 0, said
    (line,) = [line for line in said.splitlines() if line.startswith("m3 ")]
    assert "the same picture as m0, under another label" in line
    assert locate_open(folder / "dataset.yaml").load()["train"].sample_id.tolist() == ["m0", "m1", "m2", "m3"]
    assert "nothing to do" in call(*words)[1]
    (folder / "images" / "m2.png").unlink()  # a fault beside it
    code, said = call(*words)
    assert code == 1
    assert "1 problem, and nothing is written" in said
