"""Methods for modalities that are missing or of unequal quality."""
