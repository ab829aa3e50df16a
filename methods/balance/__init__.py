"""Methods that balance what the modalities learn."""
