"""From raw media to features, and back to raw media where these are to be corrupted."""
