"""What the files of the PhysioNet / Computing in Cardiology Challenge 2012 hold. Imports nothing."""

from __future__ import annotations

HEADER = ("Time", "Parameter", "Value")
OUTCOME_HEADER = ("RecordID", "SAPS-I", "SOFA", "Length_of_stay", "Survival", "In-hospital_death")
#: What describes a stay, in the order of its file. ``RecordID`` names it and ``ICUType`` is its domain; the others are the
#: features of the modality ``static``.
DESCRIPTORS = ("RecordID", "Age", "Gender", "Height", "ICUType", "Weight")
STATIC = ("Age", "Gender", "Height", "Weight")
#: Modality -> its variables, in the order of its features.
MEASURED = {
    "vitals": (
        "HR",
        "NIDiasABP",
        "NIMAP",
        "NISysABP",
        "DiasABP",
        "MAP",
        "SysABP",
        "RespRate",
        "Temp",
        "GCS",
        "SaO2",
        "FiO2",
        "MechVent",
        "Urine",
        "Weight",
    ),
    "labs": (
        "Albumin",
        "ALP",
        "ALT",
        "AST",
        "Bilirubin",
        "BUN",
        "Cholesterol",
        "Creatinine",
        "Glucose",
        "HCO3",
        "HCT",
        "K",
        "Lactate",
        "Mg",
        "Na",
        "PaCO2",
        "PaO2",
        "pH",
        "Platelets",
        "TroponinI",
        "TroponinT",
        "WBC",
    ),
}
MODALITIES = (*MEASURED, "static")
#: ICUType -> the type of unit: coronary care, cardiac surgery recovery, medical, surgical.
DOMAINS = {1: "CCU", 2: "CSRU", 3: "MICU", 4: "SICU"}
SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}
SPLIT_RULE = (
    "60, 20 and 20 % of each type of unit and outcome, by a hash of the record; no parts are published"
)
