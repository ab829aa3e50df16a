"""What files of a known layout have in common once they are found."""

from __future__ import annotations

from dataclasses import asdict

from ..dataset import Located
from ..fingerprint import fingerprint


class KnownFiles:
    """A dataset in files whose layout is known, all modalities sequences. ``Located`` says what else it has."""

    @property
    def encoders(self) -> dict[str, str]:
        """All are sequences."""
        return {}

    def fingerprint(self: Located) -> str:
        """SHA-256 (hex) over the files' contents and the target; not over their place or the dataset's name."""
        return fingerprint([self.format, asdict(self.target)], self.files)
