"""The field's published ``.pkl`` files, read by a restricted unpickler that executes nothing."""
