"""Encoders: what makes features of raw media. Name -> ``"module:Class"``, nothing imported until used."""

ENCODERS: dict[str, str] = {
    "log-mel": "mmbench.datasets.encoders.spectra:LogMel",
    "log-spectrogram": "mmbench.datasets.encoders.spectra:LogSpectrogram",
}
