"""The command ``mmbench``."""
