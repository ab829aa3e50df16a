"""How valence and arousal of a modality are observed. Name -> ``"module:function"``, nothing imported until used.

A function takes the arrays of a modality, by the entries of ``dataset.yaml``, and the rate of its waveforms; it returns
[samples, 2], valence and arousal, NaN where nothing can be said. All but ``given`` are proxies.

Beside these, ``ridge:DATASET`` predicts valence from the features of a modality, by a regression that is fitted to the scores of
another dataset (``ridge.py``)."""

OBSERVERS = {
    "given": "mmbench.regimes.observe.given:given",
    "vader": "mmbench.regimes.observe.vader:vader",
    "energy": "mmbench.regimes.observe.energy:energy",
}
#: Observer -> the entries of ``dataset.yaml`` of which it needs one.
NEEDS = {"given": ("valence", "arousal"), "vader": ("transcript",), "energy": ("waveform",)}
#: The observer that is followed by a colon and the dataset whose scores it is fitted to.
RIDGE = "ridge"
