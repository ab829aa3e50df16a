"""A synthetic stand-in for the HUST motor data: 24 recordings with planted structure, in the published layouts.

What is planted, state c of 0..5 at a speed of f revolutions a second (all constants below):

* vibration rings at one of three carriers, which tells c // 2; sound at one of three others, which tells c % 3.
  Each alone leaves two states that cannot be told apart; both together tell all six.
* both carriers are modulated at the state's fault frequency, FAULT[c] times f.
* cross-modal interaction: in every block of BLOCK points, a tone in vibration is there or not (a coin), and one in
  sound is there where the coin and the parity of c agree. Neither tone tells anything alone; that they come
  together tells the parity of c.
* shift between speeds: carriers and tones move up by STRETCH, and noise grows by NOISE.
* vibration's three axes are one movement along a fixed direction around an offset, so that their norm is the
  movement again; a sensor's noise is added to each axis.

All that is random comes from (seed, state, speed): the same seed gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..atomic_write import write_atomic
from ..dataset import SYNTHETIC_MARK, DataError, Target
from ..layout.write import write_open_layout
from .hust_names import ENCODERS, SPEEDS, STATES, recording_name
from .hust_windows import LENGTH, Recording, draw_windows, mat_variables, windows

RATE = 25_600.0  # points a second
SMALL_LENGTH = 25_600  # points of a small recording
VIBRATION_CARRIERS = (700.0, 1400.0, 2600.0)  # Hz at the lowest speed
ACOUSTIC_CARRIERS = (1000.0, 2000.0, 3600.0)
VIBRATION_TONE, ACOUSTIC_TONE = 4500.0, 6500.0  # of the interaction
FAULT = (1.0, 3.6, 2.0, 5.4, 1.5, 4.3)  # fault frequency, in revolutions
DEPTH = 0.4  # of its modulation
STRETCH = (1.0, 1.15, 1.35, 1.6)  # at 5, 10, 20, 30 Hz
NOISE = (0.6, 0.7, 0.85, 1.0)
TONE = 0.8  # amplitude, of a carrier's 1
BLOCK = 4096
WANDER = 0.02  # radians a step, of a carrier's phase
OFFSET, DIRECTION = 10.0, (0.6, 0.64, 0.48)  # of length 1


def write_stand_in(folder: Path, target: Target, seed: int, size: str, format: str) -> list[Path]:
    """Writes a stand-in for the HUST motor data: see ``Hust.synthesize``.

    Args:
        folder: where to.
        target: the six states.
        seed: of everything.
        size: ``"small"`` or ``"full"``.
        format: ``"txt"``, ``"mat"`` or ``"open"``.

    Returns:
        The files written.

    Raises:
        DataError: an unknown size or format, or a dataset that cannot be written.
    """
    if size not in ("small", "full"):
        raise DataError(f"hust: no stand-in of size {size!r}; expected small or full")
    length = LENGTH if size == "full" else SMALL_LENGTH
    tables = ((place, recording_table(*place, length, seed)) for place in _places())
    if format == "txt":
        folder.mkdir(parents=True, exist_ok=True)
        return [_write_text(folder, place, table, seed) for place, table in tables]
    recordings = {
        place: Recording(folder / recording_name(STATES[place[1]], SPEEDS[place[0]]), *rounded_signals(table))
        for place, table in tables
    }
    if format == "mat":
        folder.mkdir(parents=True, exist_ok=True)
        variables = mat_variables(draw_windows(recordings))
        return [_write_mat(folder / name, content) for name, content in variables.items()]
    if format == "open":
        title = f"hust ({SYNTHETIC_MARK})"
        splits = windows(recordings)
        return write_open_layout(
            folder,
            splits,
            target,
            name="hust",
            title=title,
            synthetic=True,
            encoders=ENCODERS,
            overwrite=True,
        )
    raise DataError(f"hust: no stand-in in format {format!r}; expected txt, mat or open")


def _places() -> Iterable[tuple[int, int]]:
    return ((speed, state) for speed in range(len(SPEEDS)) for state in range(len(STATES)))


def rounded_signals(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signals with the digits that a text file keeps.

    Args:
        table: [points, 5], as ``recording_table`` returns it.

    Returns:
        Vibration (the norm of its axes) and sound, [points] each, float64.
    """
    written = table.round(6)
    return np.linalg.norm(written[:, 1:4], axis=1), written[:, 4]


def recording_table(speed: int, state: int, length: int, seed: int = 0) -> np.ndarray:
    """A recording [points, 5]: time in seconds, three axes of vibration, sound; float64.

    Args:
        speed, state: indices.
        length: points.
        seed: another one gives another recording of the same kind.
    """
    draw = np.random.default_rng(np.random.SeedSequence([seed, speed, state]))
    time = np.arange(length) / RATE
    fault = 1 + DEPTH * np.sin(2 * np.pi * FAULT[state] * SPEEDS[speed] * time + draw.uniform(0, 2 * np.pi))
    coins = draw.choice([False, True], -(-length // BLOCK))
    coin = np.repeat(coins, BLOCK)[:length]
    agrees = coin == bool(state % 2)

    def wave(frequency: float) -> np.ndarray:
        """A tone whose phase wanders, so that no two windows are copies."""
        phase = draw.uniform(0, 2 * np.pi) + np.cumsum(WANDER * draw.standard_normal(length))
        return np.sin(2 * np.pi * STRETCH[speed] * frequency * time + phase)

    noise = NOISE[speed] * draw.standard_normal((2, length))
    movement = fault * wave(VIBRATION_CARRIERS[state // 2]) + TONE * coin * wave(VIBRATION_TONE) + noise[0]
    sound = fault * wave(ACOUSTIC_CARRIERS[state % 3]) + TONE * agrees * wave(ACOUSTIC_TONE) + noise[1]
    axes = (OFFSET + movement)[:, None] * np.array(DIRECTION) + 0.02 * draw.standard_normal((length, 3))
    return np.column_stack([time, axes, sound])


def _write_text(folder: Path, place: tuple[int, int], table: np.ndarray, seed: int) -> Path:
    speed, state = place
    header = (
        f"Title: {SYNTHETIC_MARK}, {STATES[state]} at {SPEEDS[speed]} Hz, seed {seed}\n"
        f"Frequency: {RATE:g} Hz\nNumber of points: {len(table)}\nTime (s)\tX\tY\tZ\tSound"
    )
    text = io.StringIO()
    np.savetxt(text, table, fmt="%.6f", delimiter="\t", header=header, comments="")
    content = text.getvalue().encode()
    return write_atomic(folder / recording_name(STATES[state], SPEEDS[speed]), content)


def _write_mat(file: Path, content: dict[str, np.ndarray]) -> Path:
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, content)
    # The first 116 bytes are free text; scipy writes the time of day there.
    text = f"MATLAB 5.0 MAT-file, {SYNTHETIC_MARK}".ljust(116).encode()
    return write_atomic(file, text + stream.getvalue()[116:])
