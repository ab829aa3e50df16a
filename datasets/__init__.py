"""Datasets: one file each. Name -> ``"module:Class"``, nothing imported until used."""

DATASETS = {
    "mosi": "mmbench.datasets.mosi:Mosi",
    "mosei": "mmbench.datasets.mosei:Mosei",
    "sims": "mmbench.datasets.sims:Sims",
    "hust": "mmbench.datasets.hust:Hust",
}
