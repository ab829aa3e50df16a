"""Datasets: one file each. Name -> ``"module:Class"``, nothing imported until used."""

DATASETS = {
    "mosi": "mmbench.datasets.mosi:Mosi",
    "mosei": "mmbench.datasets.mosei:Mosei",
    "sims": "mmbench.datasets.sims:Sims",
    "simsv2": "mmbench.datasets.simsv2:SimsV2",
    "epic": "mmbench.datasets.epic:Epic",
    "hac": "mmbench.datasets.hac:Hac",
    "chipsal": "mmbench.datasets.chipsal:Chipsal",
    "chipsal_sentiment": "mmbench.datasets.chipsal:ChipsalSentiment",
    "hust": "mmbench.datasets.hust:Hust",
    "mimic4": "mmbench.datasets.mimic4:Mimic4",
    "physionet2012": "mmbench.datasets.physionet2012:Physionet2012",
}
