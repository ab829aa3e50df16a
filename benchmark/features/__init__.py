"""Raw media to features, and back to raw media where they are to be broken."""
