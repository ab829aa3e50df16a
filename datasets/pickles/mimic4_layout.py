"""What FuseMoE's pickles of MIMIC-IV hold: a list of stays, each a dict (``create_ihm_task.ipynb`` of the release).

::

    name, stay_id               numbers of the patient and of the stay
    ts_tt                       [time], hours since admission to the unit
    irg_ts, irg_ts_mask         [time, 30], 0 where not measured; 1 where it was
    text_embeddings             a list of vectors of 768, text_time_to_end their hours since admission, text_missing 0 or 1
    cxr_feats, cxr_time, cxr_missing    the same of X-rays, 1024
    ecg_feats, ecg_time, ecg_missing    the same of electrocardiograms, 256; some hold NaN or infinite numbers
    label                       1 where the patient died in hospital

Other entries (``hadm_id``, ``reg_ts``, ``text_data``) are not read. Imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Vectors:
    """Where the vectors of a modality stand.

    Attributes:
        values, times, missing: the names of the entries.
        width: of a vector.
    """

    values: str
    times: str
    missing: str
    width: int


SERIES_WIDTH = 30
#: Modality -> where its vectors stand.
VECTORS = {
    "text": Vectors("text_embeddings", "text_time_to_end", "text_missing", 768),
    "xray": Vectors("cxr_feats", "cxr_time", "cxr_missing", 1024),
    "ecg": Vectors("ecg_feats", "ecg_time", "ecg_missing", 256),
}
MODALITIES = ("series", *VECTORS)
#: Of more vectors of a modality the last are read, as the release does with notes.
LAST_VECTORS = 5
#: Of more steps of the series the last are read; the release leaves such stays out.
LAST_STEPS = 999
FILE_NAMES = {
    split: f"{part}_ihm-48-cxr-notes-ecg-missingInd_stays.pkl"
    for split, part in (("train", "train"), ("valid", "val"), ("test", "test"))
}
COUNTS = {"train": 24_590, "valid": 5_270, "test": 5_269}
#: Modality -> the share of training stays that lack it, counted by third parties.
MISSING = {"text": 0.0878, "xray": 0.750, "ecg": 0.4781}
SYNTHETIC_KEY = "synthetic"
