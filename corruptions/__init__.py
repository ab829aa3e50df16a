"""What breaks an input. Name -> ``"module:Class"``, nothing imported until used.

The last part of the module is the name of the group: ``--corruptions features`` asks for all of its kinds.
"""

CORRUPTIONS = {
    "missing": "mmbench.corruptions.missing:Missing",
    "gaussian-noise": "mmbench.corruptions.features:GaussianNoise",
    "frame-dropout": "mmbench.corruptions.features:FrameDropout",
    "block-dropout": "mmbench.corruptions.features:BlockDropout",
    "freeze": "mmbench.corruptions.features:Freeze",
    "time-shift": "mmbench.corruptions.features:TimeShift",
    "jitter": "mmbench.corruptions.features:Jitter",
    "irregular-sampling": "mmbench.corruptions.features:IrregularSampling",
    "channel-dropout": "mmbench.corruptions.features:ChannelDropout",
    "quantisation": "mmbench.corruptions.features:Quantisation",
    "drift": "mmbench.corruptions.features:Drift",
    "spikes": "mmbench.corruptions.features:Spikes",
    "word-replacement": "mmbench.corruptions.features:WordReplacement",
    "token-drop": "mmbench.corruptions.text:TokenDrop",
    "token-replacement": "mmbench.corruptions.text:TokenReplacement",
    "keyboard-typos": "mmbench.corruptions.text:KeyboardTypos",
    "speech-errors": "mmbench.corruptions.text:SpeechErrors",
    "white-noise": "mmbench.corruptions.audio:WhiteNoise",
    "pink-noise": "mmbench.corruptions.audio:PinkNoise",
    "wind": "mmbench.corruptions.audio:Wind",
    "babble": "mmbench.corruptions.audio:Babble",
    "reverberation": "mmbench.corruptions.audio:Reverberation",
    "clipping": "mmbench.corruptions.audio:Clipping",
    "band-limit": "mmbench.corruptions.audio:BandLimit",
    "packet-loss": "mmbench.corruptions.audio:PacketLoss",
    "gain": "mmbench.corruptions.audio:Gain",
    "resampling": "mmbench.corruptions.audio:Resampling",
    "random-modality": "mmbench.corruptions.missing_rates:RandomModality",
    "random-frames": "mmbench.corruptions.missing_rates:RandomFrames",
    "reliability": "mmbench.corruptions.reliability:Reliability",
}
