"""How long an encoder waits for decoding, and how fast videos are decoded beside a plain loop of PyAV.

    python tests/speed/media.py

Videos of 10 s, 320 x 240, 25 frames a second, key frames 50 apart, H.264. Waiting: a ViT-tiny with random weights
encodes 64 clips of 8 frames at 224 x 224, a batch of 8 clips at a time, on one thread of two cores, while one
thread decodes two batches ahead; what counts is the share of all time that it waits for the next clip. Beside it is the share
where nothing is decoded ahead. Throughput: the same 8 frames of a clip, against decoding the whole file and
resizing those frames, in processor time; then one second at the end of the file, which a plain loop decodes all of.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
import timm
import torch
from measure import Row, estimate, median, print_machine, print_table, scratch
from mmbench.datasets.media.clip import FrameView, Piece
from mmbench.datasets.media.decode import Item, decode, decode_ahead
from PIL import Image
from torch import nn

CLIPS, BATCH, FILES, TURNS = 64, 8, 8, 5
SECONDS, RATE, WIDTH, HEIGHT = 10, 25, 320, 240
VIEW = FrameView(224, frames=8, crop="squash")


def write_video(file: Path, seed: int) -> Piece:
    """A texture that moves, so that there is something to predict and something to store."""
    texture = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    large = np.asarray(Image.fromarray(texture).resize((2 * WIDTH, 2 * HEIGHT), Image.Resampling.BICUBIC))
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = 50
        for number in range(SECONDS * RATE):
            across, down = number % WIDTH, number % HEIGHT
            picture = np.ascontiguousarray(large[down : down + HEIGHT, across : across + WIDTH])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return Piece((file,))


def plain(piece: Piece, wanted: set[int]) -> np.ndarray:
    """Some frames by number, as a loop over the whole file gives them."""
    found = []
    with av.open(str(piece.files[0])) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                picture = frame.reformat(format="rgb24", threads=1).to_image()
                found.append(np.asarray(picture.resize((VIEW.size,) * 2, Image.Resampling.BICUBIC)))
    return np.stack(found).transpose(0, 3, 1, 2)


def waiting(network: nn.Module, clips: Iterable[object]) -> float:
    """The share of time that a network waits for the next clip."""
    source: Iterator[object] = iter(clips)
    begun, waited, batch = time.perf_counter(), 0.0, []
    for _ in range(CLIPS):
        asked = time.perf_counter()
        clip = next(source)
        waited += time.perf_counter() - asked
        assert isinstance(clip, np.ndarray), clip
        batch.append(torch.from_numpy(clip))
        if len(batch) == BATCH:
            with torch.inference_mode():
                network(torch.cat(batch).float() / 255)
            batch = []
    return waited / (time.perf_counter() - begun)


def throughput(name: str, pieces: list[Piece], wanted: set[int]) -> Row:
    """Our time for a stretch of each file, relative to a plain loop's; they take turns."""
    times: list[tuple[float, float]] = []
    plain(pieces[0], wanted)
    decode(pieces[0], "frames", VIEW)
    for piece in pieces * TURNS:
        begun = time.process_time()
        decode(piece, "frames", VIEW)
        between = time.process_time()
        plain(piece, wanted)
        times.append((between - begun, time.process_time() - between))
    ours, theirs = (1e3 * float(np.median(column)) for column in zip(*times, strict=True))
    ratio = estimate({"pair": times}, lambda medians: float(medians["pair"][0] / medians["pair"][1]))
    return Row(name, *ratio, "x", note=f"ours {ours:.1f} ms, plain loop {theirs:.1f} ms a clip")


def main() -> None:
    torch.set_num_threads(1)
    print_machine()
    if len(os.sched_getaffinity(0)) > 2:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    network = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0).eval()
    with scratch() as folder:
        pieces = [write_video(folder / f"{number}.mp4", number) for number in range(FILES)]
        items: list[Item] = [(piece, "frames", VIEW) for piece in pieces * (CLIPS // FILES)]
        waiting(network, decode_ahead(items, 1, 2 * BATCH))
        ahead, here = [], []
        for _ in range(TURNS):
            ahead.append(waiting(network, decode_ahead(items, 1, 2 * BATCH)))
            here.append(waiting(network, (decode(*item) for item in items)))
        print_table(
            f"Waiting of a ViT-tiny, {CLIPS} clips of {VIEW.frames} frames, share of all time",
            [
                Row("one thread decodes ahead", *median(ahead), "x", promised=0.2),
                Row("decoded when asked for", *median(here), "x"),
            ],
        )
        part = SECONDS * RATE / VIEW.frames
        spread = {int((place + 0.5) * part) for place in range(VIEW.frames)}
        late = [Piece(piece.files, SECONDS - 1.0, float(SECONDS)) for piece in pieces]
        last = {
            RATE * (SECONDS - 1) + int((place + 0.5) * RATE / VIEW.frames) for place in range(VIEW.frames)
        }
        for piece, numbers in ((pieces[0], spread), (late[0], last)):
            np.testing.assert_allclose(
                np.asarray(decode(piece, "frames", VIEW)), plain(piece, numbers), atol=2
            )
        print_table(
            "Decoding, ours / a plain loop of PyAV, processor time",
            [
                throughput("8 frames spread over the file", pieces, spread),
                throughput("8 frames of its last second", late, last),
            ],
        )


if __name__ == "__main__":
    main()
