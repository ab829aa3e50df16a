"""Language models that are trained or read as methods."""
