"""States, speeds, modalities and files of the HUST motor data, by name and in their order."""

from __future__ import annotations

#: As the files are named; their order is that of the classes.
STATES = ("H", "BF", "BOW", "BROKEN", "MISAL", "UNBAL")
#: Revolutions a second; their order is that of the published loads 1 to 4.
SPEEDS = (5, 10, 20, 30)
DOMAINS = tuple(f"{speed}hz" for speed in SPEEDS)
MODALITIES: tuple[str, ...] = ("vibration", "acoustic")
MAT_FILES = ("Motor_Vib.mat", "Motor_Aud.mat")
ENCODERS: dict[str, str] = dict.fromkeys(MODALITIES, "cnn1d")
SPLIT_RULES = ("fair", "as-published")


def recording_name(state: str, speed: int) -> str:
    """The published name of a recording: ``BOW_10HZ.txt``.

    Args:
        state: one of ``STATES``.
        speed: in Hz.
    """
    return f"{state}_{speed}HZ.txt"
