"""Segmenters of conversations into emotional regimes: one file each. Name -> ``"module:Class"``, nothing imported until
used. They read numpy arrays and need no torch."""

SEGMENTERS = {
    "sticky-hdp-hmm": "mmbench.regimes.sticky_hdp_hmm:StickyHdpHmm",
    "hdp-hmm": "mmbench.regimes.hdp_hmm:HdpHmm",
    "gaussian-hmm": "mmbench.regimes.gaussian_hmm:GaussianHmm",
    "sticky-map-hmm": "mmbench.regimes.sticky_map_hmm:StickyMapHmm",
    "kmeans": "mmbench.regimes.kmeans:KMeans",
    "changepoint": "mmbench.regimes.changepoint:ChangePoint",
    "constant": "mmbench.regimes.constant:Constant",
    "per-utterance": "mmbench.regimes.per_utterance:PerUtterance",
}
#: What every segmenter is compared with before its idea counts.
CONTROLS = ("constant", "per-utterance")
