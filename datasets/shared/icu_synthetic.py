"""A synthetic stand-in for PhysioNet 2012: stays with planted structure, in the published text files.

What is planted (all constants below), for a stay with two hidden numbers a, b ~ N(0, 1), independent of each other:

* heart rate rises and blood pressure falls with a, the more the later the hour; the GCS falls with a. Vital signs alone tell a.
* lactate, creatinine and urea rise with b. Laboratory values alone tell b.
* the log odds of death are SLOPE (a + b) + AGE (age - 65) / 15 + BASE: vital signs, laboratory values and age each tell a part.
* laboratory values are drawn more often where b is high: what was observed tells something, too.
* shift between the types of unit: levels of heart rate and blood pressure, and how many measurements there are.

Variables of a modality are measured together, to the minute, some of them at a time; a stay in a hundred has no laboratory values and another no vital
signs. All that is random comes from (seed, record): the same seed gives the same bytes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from ..atomic_write import write_atomic
from ..dataset import SYNTHETIC_FILE, SYNTHETIC_MARK
from .icu_names import DOMAINS, HEADER, MEASURED, OUTCOME_HEADER

COUNTS = {"small": 400, "full": 4000}
FIRST_RECORD = 900_001  # none of the real ones is so large
SLOPE, AGE, BASE = 1.3, 0.5, -2.6
#: Variable -> level, deviation, and what a unit of a (vital signs) or b (laboratory values) adds.
LEVELS: dict[str, tuple[float, float, float]] = {
    "HR": (85.0, 6.0, 9.0),
    "NISysABP": (120.0, 8.0, -8.0),
    "NIDiasABP": (58.0, 6.0, -4.0),
    "NIMAP": (78.0, 6.0, -5.0),
    "SysABP": (118.0, 8.0, -8.0),
    "DiasABP": (58.0, 6.0, -4.0),
    "MAP": (79.0, 6.0, -5.0),
    "RespRate": (19.0, 3.0, 1.0),
    "Temp": (37.0, 0.4, 0.1),
    "GCS": (12.0, 1.0, -1.5),
    "SaO2": (97.0, 1.0, 0.0),
    "FiO2": (0.5, 0.08, 0.0),
    "MechVent": (1.0, 0.0, 0.0),
    "Urine": (110.0, 40.0, -12.0),
    "Weight": (82.0, 0.5, 0.0),
    "Lactate": (2.2, 0.3, 0.8),
    "Creatinine": (1.3, 0.15, 0.4),
    "BUN": (26.0, 3.0, 8.0),
    "K": (4.1, 0.3, 0.1),
    "Na": (139.0, 2.0, 0.0),
    "Glucose": (140.0, 20.0, 5.0),
    "HCO3": (23.0, 1.5, -1.2),
    "HCT": (31.0, 2.0, 0.0),
    "WBC": (12.0, 2.0, 0.6),
    "Platelets": (190.0, 25.0, -10.0),
    "Mg": (2.0, 0.2, 0.0),
    "pH": (7.37, 0.03, -0.02),
    "PaO2": (150.0, 30.0, 0.0),
    "PaCO2": (40.0, 4.0, 0.0),
}
#: Modality -> times in two days at which some of its variables are measured.
ROUNDS = {"vitals": 55, "labs": 10}
#: Variable -> the share of these times at which it is; 0.25 of those that are not named.
OFTEN = {
    **{
        "HR": 0.8,
        "NISysABP": 0.35,
        "NIDiasABP": 0.35,
        "NIMAP": 0.35,
        "SysABP": 0.45,
        "DiasABP": 0.45,
        "MAP": 0.45,
    },
    **{
        "Urine": 0.5,
        "Weight": 0.05,
        "pH": 0.5,
        "PaO2": 0.5,
        "PaCO2": 0.5,
        "Cholesterol": 0.01,
        "TroponinI": 0.01,
    },
    **{"TroponinT": 0.04, "Albumin": 0.05, "ALP": 0.08, "ALT": 0.08, "AST": 0.08, "Bilirubin": 0.08},
}
#: ICUType -> what it adds to heart rate and systolic pressure, and by what it multiplies measurements.
UNITS = {1: (-4.0, 4.0, 0.8), 2: (2.0, -6.0, 1.3), 3: (5.0, 0.0, 1.0), 4: (0.0, 8.0, 1.1)}
_SHARES = (0.14, 0.22, 0.37, 0.27)  # of the types of unit, about as in set a
_MINUTES = 48 * 60


def write_stand_in(folder: Path, seed: int, count: int) -> list[Path]:
    """Writes a stand-in of set a; one that is there is replaced.

    Args:
        folder: where to.
        seed: of everything.
        count: of stays.

    Returns:
        The file that says so, the outcomes, and the folder of the stays.
    """
    stays = folder / "set-a"
    stays.mkdir(parents=True, exist_ok=True)
    mark = write_atomic(folder / SYNTHETIC_FILE, f"{SYNTHETIC_MARK}\n".encode())
    shutil.rmtree(stays)
    stays.mkdir()
    outcomes = [",".join(OUTCOME_HEADER)]
    for record in range(FIRST_RECORD, FIRST_RECORD + count):
        lines, died, days = stay_lines(seed, record)
        (stays / f"{record}.txt").write_text("\n".join([*lines, ""]), encoding="ascii")
        outcomes.append(f"{record},-1,-1,{days},{days if died else -1},{int(died)}")
    return [mark, write_atomic(folder / "Outcomes-a.txt", "\n".join([*outcomes, ""]).encode()), stays]


def stay_lines(seed: int, record: int) -> tuple[list[str], bool, int]:
    """One stay.

    Args:
        seed: of the stand-in.
        record: its number.

    Returns:
        The lines of its file, whether the patient died, and the days of the stay.
    """
    draw = np.random.default_rng(np.random.SeedSequence([seed, record]))
    a, b = draw.standard_normal(2)
    unit = int(draw.choice(list(DOMAINS), p=_SHARES))
    age = int(np.clip(draw.normal(65, 15), 15, 90))
    odds = SLOPE * (a + b) + AGE * (age - 65) / 15 + BASE
    died = bool(draw.random() < 1 / (1 + np.exp(-odds)))
    lacking = {0: "labs", 1: "vitals"}.get(int(draw.integers(100)))
    height = -1 if draw.random() < 0.47 else int(draw.normal(170, 10))
    weight = -1 if draw.random() < 0.08 else round(float(draw.normal(*LEVELS["Weight"][:2])), 1)
    described = {"RecordID": record, "Age": age, "Gender": int(draw.integers(2)), "Height": height}
    lines = [f"00:00,{name},{value}" for name, value in described.items()]
    lines += [f"00:00,ICUType,{unit}", f"00:00,Weight,{weight}"]
    hidden = {"vitals": float(a), "labs": float(b)}
    measured = [
        one
        for modality in MEASURED
        if modality != lacking
        for one in _measurements(draw, modality, hidden[modality], unit)
    ]
    lines += [f"{at // 60:02d}:{at % 60:02d},{name},{value:g}" for at, name, value in sorted(measured)]
    return [",".join(HEADER), *lines], died, int(draw.integers(3, 30))


def _measurements(
    draw: np.random.Generator, modality: str, hidden: float, unit: int
) -> list[tuple[int, str, float]]:
    """Minute, name and value of each measurement of a modality in one stay: several variables at a time."""
    rate, pressure, more = UNITS[unit]
    rounds = ROUNDS[modality]
    often = more * (1.0 if modality == "vitals" else np.exp(0.3 * hidden))
    minutes = np.unique(draw.integers(1, _MINUTES, draw.poisson(rounds * often)))
    found: list[tuple[int, str, float]] = []
    for name in MEASURED[modality]:
        level, spread, slope = LEVELS.get(name, (50.0, 5.0, 0.0))
        level += rate if name == "HR" else pressure if name in ("SysABP", "NISysABP") else 0.0
        at = minutes[draw.random(len(minutes)) < OFTEN.get(name, 0.25)]
        late = 0.5 + at / _MINUTES if modality == "vitals" else np.ones(len(at))
        values = level + slope * hidden * late + spread * draw.standard_normal(len(at))
        values = np.clip(values, 3, 15).round() if name == "GCS" else np.maximum(values, 0).round(2)
        found += [(int(minute), name, float(value)) for minute, value in zip(at, values, strict=True)]
    return found
