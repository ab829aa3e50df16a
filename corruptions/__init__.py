"""What breaks an input: group -> name -> ``"module:Class"``, nothing imported until used.

A group is what ``--corruptions GROUP`` asks for. It is named here and not by the file that defines a kind, so that a
file may move. A new kind of damage is a file and a line here.
"""

GROUPS = {
    "missing": {
        "missing": "mmbench.corruptions.missing:Missing",
    },
    "features": {
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
    },
    "missing-entries": {
        "missing-points": "mmbench.corruptions.missing_entries:MissingPoints",
        "missing-blocks": "mmbench.corruptions.missing_entries:MissingBlocks",
        "missing-steps": "mmbench.corruptions.missing_entries:MissingSteps",
    },
    "text": {
        "token-drop": "mmbench.corruptions.text:TokenDrop",
        "token-replacement": "mmbench.corruptions.text:TokenReplacement",
        "keyboard-typos": "mmbench.corruptions.text:KeyboardTypos",
        "speech-errors": "mmbench.corruptions.text:SpeechErrors",
    },
    "audio": {
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
    },
    "missing-rates": {
        "random-modality": "mmbench.corruptions.missing_rates:RandomModality",
        "random-frames": "mmbench.corruptions.missing_rates:RandomFrames",
    },
    "imbalanced-rates": {
        "imbalanced-rates": "mmbench.corruptions.missing_rates:ImbalancedRates",
    },
    "conflict": {
        "conflict": "mmbench.corruptions.conflict:Conflict",
    },
    "missing-not-at-random": {
        "missing-by-label": "mmbench.corruptions.not_at_random:MissingByLabel",
        "missing-by-value": "mmbench.corruptions.not_at_random:MissingByValue",
    },
    "reliability": {
        "reliability": "mmbench.corruptions.reliability:Reliability",
    },
    "frames": {
        "pixel-noise": "mmbench.corruptions.frames.noise:PixelNoise",
        "shot-noise": "mmbench.corruptions.frames.noise:ShotNoise",
        "impulse-noise": "mmbench.corruptions.frames.noise:ImpulseNoise",
        "defocus-blur": "mmbench.corruptions.frames.blur:DefocusBlur",
        "glass-blur": "mmbench.corruptions.frames.blur:GlassBlur",
        "motion-blur": "mmbench.corruptions.frames.blur:MotionBlur",
        "zoom-blur": "mmbench.corruptions.frames.blur:ZoomBlur",
        "snow": "mmbench.corruptions.frames.weather:Snow",
        "frost": "mmbench.corruptions.frames.weather:Frost",
        "fog": "mmbench.corruptions.frames.weather:Fog",
        "brightness": "mmbench.corruptions.frames.weather:Brightness",
        "contrast": "mmbench.corruptions.frames.digital:Contrast",
        "elastic": "mmbench.corruptions.frames.digital:Elastic",
        "pixelate": "mmbench.corruptions.frames.digital:Pixelate",
        "jpeg": "mmbench.corruptions.frames.digital:Jpeg",
        "frame-drop": "mmbench.corruptions.frames.video:FrameDrop",
        "frame-freeze": "mmbench.corruptions.frames.video:FrameFreeze",
        "frame-reorder": "mmbench.corruptions.frames.video:FrameReorder",
    },
}

#: Further group -> the group that it is a part of, and the kinds of that which are not in it. They are named after what
#: is broken before it is encoded.
PARTS = {
    "image": ("frames", ("frame-drop", "frame-freeze", "frame-reorder")),
    "audio-wave": ("audio", ()),
    "words": ("text", ("token-drop", "token-replacement")),
}

#: Name -> ``"module:Class"``, of all groups.
CORRUPTIONS = {name: target for kinds in GROUPS.values() for name, target in kinds.items()}
